"""Commands that people make: a text or a webhook that answers, for one bot, a server's bots, or all bots."""

import re
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AfterValidator, Field, model_validator

from bot_runtime.contract import BOT_ID_PATTERN, SERVER_NAME_PATTERN
from orchestrator.api.bots.settings_schemas import WebAddress
from orchestrator.api.context import Caller, Session, Visible
from orchestrator.api.schemas import (
    DEFAULT_PAGE,
    BotIdField,
    Limit,
    Page,
    RequestBody,
    ResponseBody,
    ServerNameField,
    no_nul,
    problems,
)
from orchestrator.auth import Identity
from orchestrator.db import bots, commands, servers
from orchestrator.db.commands import Owner
from orchestrator.db.message_models import Command
from orchestrator.db.scope import Scope
from orchestrator.errors import Conflict, Forbidden, NotFound

COMMAND_ID_PATTERN = "^[0-9a-f]{32}$"

router = APIRouter(prefix="/api/commands", tags=["commands"])

CommandName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,31}$", examples=["hours"])]
ResponseText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="`{name}`, `{number}`, `{args}`, `{prefix}` and `{bot}` are filled in.",
        examples=["Hello {name}, we are open from 9 to 17."],
    ),
    AfterValidator(no_nul),
]
Webhook = Annotated[
    WebAddress,
    Field(
        max_length=2000,
        description='Gets a POST for every use, and answers within ten seconds with `{"text": "…"}` or plain text.',
    ),
]


class NewCommand(RequestBody):
    """A command to be made; with neither `botId` nor `serverName` it is for all bots."""

    name: CommandName
    response: ResponseText | None = None
    webhook: Webhook | None = None
    bot_id: BotIdField | None = Field(default=None, description="Only for this bot.")
    server_name: ServerNameField | None = Field(default=None, description="For all bots of this server.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.response is None) == (self.webhook is None):
            raise ValueError("send either response or webhook")
        if self.bot_id is not None and self.server_name is not None:
            raise ValueError("send botId, serverName, or neither")
        return self


class CommandPatch(RequestBody):
    """What to change; a new `response` takes the place of a `webhook`, and the other way round."""

    name: CommandName | None = None
    response: ResponseText | None = None
    webhook: Webhook | None = None

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.response is not None and self.webhook is not None:
            raise ValueError("send either response or webhook")
        if any(getattr(self, field) is None for field in self.model_fields_set):
            raise ValueError("fields must not be null")
        return self


class CommandView(ResponseBody):
    """A command."""

    id: str
    name: str
    scope: str = Field(json_schema_extra={"enum": ["bot", "server", "global"]})
    server_name: str | None
    bot_id: str | None
    response: str | None
    webhook: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Command) -> Self:
        """The view of a row."""
        scope = "global" if row.server_name is None else "server" if row.bot_id is None else "bot"
        return cls(scope=scope, **row.model_dump())


def _command_id(value: Annotated[str, Path(alias="commandId")]) -> str:
    if re.fullmatch(COMMAND_ID_PATTERN, value) is None:
        raise NotFound(f"there is no command {value!r}")
    return value


CommandId = Annotated[str, Depends(_command_id)]


@router.get("", summary="List commands")
async def list_commands(
    session: Session,
    scope: Visible,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=COMMAND_ID_PATTERN, description="`next` of the page before")
    ] = None,
    bot_id: Annotated[str | None, Query(alias="botId", pattern=BOT_ID_PATTERN)] = None,
    server_name: Annotated[str | None, Query(alias="serverName", pattern=SERVER_NAME_PATTERN)] = None,
) -> Page[CommandView]:
    """In the order of their ids: those of the key's server and its bots, and the global ones."""
    rows = await commands.page(session, scope, limit=limit + 1, after=after, bot_id=bot_id, server_name=server_name)
    return Page(
        items=[CommandView.of(row) for row in rows[:limit]], next=rows[limit - 1].id if len(rows) > limit else None
    )


@router.post(
    "",
    status_code=201,
    summary="Make a command",
    responses=problems(
        {
            403: "Global ones are for admins",
            404: "No such bot or server",
            409: "There is one of that name in this scope, or there are too many",
        }
    ),
)
async def create(new: NewCommand, response: Response, caller: Caller, session: Session, scope: Visible) -> CommandView:
    """Running bots have it at once.

    A bot's own wins over its server's of the same name, that over a global one, and built-in ones over all.
    """
    owner = await _owner(new, caller, session, scope)
    row = await commands.create(session, owner, name=new.name, response=new.response, webhook=new.webhook)
    view = CommandView.of(row)
    await session.commit()
    response.headers["Location"] = f"/api/commands/{view.id}"
    return view


@router.get("/{commandId}", summary="Read a command", responses=problems({404: "No such command"}))
async def read(command_id: CommandId, session: Session, scope: Visible) -> CommandView:
    """One command."""
    return CommandView.of(await commands.find(session, scope, command_id))


@router.patch(
    "/{commandId}",
    summary="Change a command",
    responses=problems({403: "Global ones are for admins", 404: "No such command", 409: "The name is taken"}),
)
async def change(
    command_id: CommandId, patch: CommandPatch, caller: Caller, session: Session, scope: Visible
) -> CommandView:
    """Running bots have the change at once."""
    row = await _changeable(command_id, caller, session, scope)
    replaced = patch.response is not None or patch.webhook is not None
    await commands.change(
        session,
        row,
        name=patch.name or row.name,
        response=patch.response if replaced else row.response,
        webhook=patch.webhook if replaced else row.webhook,
    )
    view = CommandView.of(row)
    await session.commit()
    return view


@router.delete(
    "/{commandId}",
    status_code=204,
    summary="Delete a command",
    responses=problems({403: "Global ones are for admins", 404: "No such command"}),
)
async def delete(command_id: CommandId, caller: Caller, session: Session, scope: Visible) -> None:
    """Running bots know it no more."""
    await session.delete(await _changeable(command_id, caller, session, scope))
    await session.commit()


async def _owner(new: NewCommand, caller: Identity, session: Session, scope: Scope) -> Owner:
    if new.bot_id is not None:
        # Not locked: the trigger on commands locks the bots of many commands, always in the same order.
        row = await bots.find(session, scope, new.bot_id)
        if row.bot.deleting:
            raise Conflict(f"bot {row.bot.id!r} is being deleted", code="deleting")
        return Owner(row.bot.server_name, row.bot.id)
    if new.server_name is not None:
        return Owner((await servers.find(session, scope, new.server_name)).server.name, None)
    _require_global(caller)
    return Owner(None, None)


async def _changeable(command_id: str, caller: Identity, session: Session, scope: Scope) -> Command:
    row = await commands.find(session, scope, command_id, for_change=True)
    if row.server_name is None:
        _require_global(caller)
    return row


def _require_global(caller: Identity) -> None:
    if caller.server is not None:
        raise Forbidden("commands of all bots are for admins: send serverName or botId")
