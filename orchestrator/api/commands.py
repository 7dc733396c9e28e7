"""Custom commands: a fixed text or a webhook that replies, for a bot, the bots of a server, or all bots."""

import re
from datetime import datetime
from typing import Annotated, Self
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from bot_runtime.contract import BOT_ID_PATTERN, SERVER_NAME_PATTERN
from orchestrator.api.context import Caller, Selected, Session, Visible, named_server
from orchestrator.api.fields import BotIdField, PlainText, ServerNameField, Url
from orchestrator.api.schemas import DEFAULT_PAGE, Limit, Page, RequestBody, ResponseBody, problems
from orchestrator.auth import Identity
from orchestrator.db import bots, commands, servers
from orchestrator.db.commands import CommandRow, Owner
from orchestrator.db.scope import Scope
from orchestrator.errors import ConflictError, ForbiddenError, NotFoundError

COMMAND_ID_PATTERN = "^[0-9a-f]{32}$"

router = APIRouter(prefix="/api/commands", tags=["commands"])

CommandName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,31}$", examples=["hours"])]
ResponseText = Annotated[
    PlainText,
    Field(
        min_length=1,
        max_length=4096,
        description="Placeholders: `{name}`, `{number}`, `{args}`, `{prefix}`, `{bot}`.",
        examples=["Hello {name}, we are open from 9 to 17."],
    ),
]
Webhook = Annotated[
    Url,
    Field(
        max_length=2000,
        description='Receives a POST for each use; must respond within ten seconds with `{"text": "…"}` or plain text.',
    ),
]


class NewCommand(RequestBody):
    """A command to create; without `botId` and `serverName` it applies to all bots."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "properties": {"response": {"type": "string"}, "webhook": {"type": "null"}},
                    "required": ["response"],
                },
                {
                    "properties": {"response": {"type": "null"}, "webhook": {"type": "string"}},
                    "required": ["webhook"],
                },
            ],
        }
    )

    name: CommandName
    response: ResponseText | None = None
    webhook: Webhook | None = None
    bot_id: BotIdField | None = Field(default=None, description="Only this bot.")
    server_name: ServerNameField | None = Field(
        default=None,
        description="All bots of this server; with `botId`, the server of that bot, if several have one with this id.",
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.response is None) == (self.webhook is None):
            raise ValueError("send either response or webhook")
        return self


class CommandPatch(RequestBody):
    """Changes to a command; a new `response` replaces a `webhook` and vice versa."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["response", "webhook"]}})

    name: CommandName | SkipJsonSchema[None] = None
    response: ResponseText | SkipJsonSchema[None] = None
    webhook: Webhook | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.response is not None and self.webhook is not None:
            raise ValueError("send either response or webhook")
        if any(getattr(self, field) is None for field in self.model_fields_set):
            raise ValueError("fields must not be null")
        return self


class CommandView(ResponseBody):
    """A custom command."""

    id: str
    name: str
    scope: str = Field(json_schema_extra={"enum": ["bot", "server", "global"]})
    server_name: str | None
    bot_id: str | None
    response: str | None
    webhook: str | None = Field(
        description="Only scheme and host (`https://example.com/…`) for a key that must not change the command: "
        "whoever knows the URL can call it."
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: CommandRow, caller: Identity) -> Self:
        """The view of a database row, as far as the caller may see it."""
        command, bot_id = row
        scope = "global" if command.server_name is None else "server" if bot_id is None else "bot"
        view = cls(scope=scope, bot_id=bot_id, **command.model_dump())
        if view.webhook is None or (caller.may_write and (scope != "global" or caller.server is None)):
            return view
        url = urlsplit(view.webhook)
        return view.model_copy(update={"webhook": f"{url.scheme}://{url.netloc}/…"})


def _command_id(value: Annotated[str, Path(alias="commandId")]) -> str:
    if re.fullmatch(COMMAND_ID_PATTERN, value) is None:
        raise NotFoundError(f"command {value!r} not found")
    return value


CommandId = Annotated[str, Depends(_command_id)]


@router.get("", summary="List commands")
async def list_commands(
    session: Session,
    scope: Visible,
    caller: Caller,
    limit: Limit = DEFAULT_PAGE,
    after: Annotated[
        str | None, Query(alias="next", pattern=COMMAND_ID_PATTERN, description="`next` of the previous page")
    ] = None,
    bot_id: Annotated[str | None, Query(alias="botId", pattern=BOT_ID_PATTERN)] = None,
    server_name: Annotated[str | None, Query(alias="serverName", pattern=SERVER_NAME_PATTERN)] = None,
) -> Page[CommandView]:
    """Ordered by id: the commands of the key's server and its bots, and global commands."""
    rows = await commands.page(session, scope, limit=limit + 1, after=after, bot_id=bot_id, server_name=server_name)
    return Page(
        items=[CommandView.of(row, caller) for row in rows[:limit]],
        next=rows[limit - 1].command.id if len(rows) > limit else None,
    )


@router.post(
    "",
    status_code=201,
    summary="Create a command",
    responses=problems(
        {
            403: "Global commands need an admin key",
            404: "Bot or server not found",
            409: "The name is taken in this scope, or the scope has too many commands",
        }
    ),
)
async def create(new: NewCommand, response: Response, caller: Caller, session: Session, scope: Selected) -> CommandView:
    """Running bots get the command at once.

    A bot's command takes precedence over one of its server with the same name, a server's over a global one, and
    built-in commands over all of them.
    """
    owner = await _owner(new, caller, session, scope)
    command = await commands.create(session, owner, name=new.name, response=new.response, webhook=new.webhook)
    view = CommandView.of(CommandRow(command, new.bot_id), caller)
    await session.commit()
    response.headers["Location"] = f"/api/commands/{view.id}"
    return view


@router.get("/{commandId}", summary="Read a command", responses=problems({404: "Command not found"}))
async def read(command_id: CommandId, session: Session, scope: Visible, caller: Caller) -> CommandView:
    """A custom command."""
    return CommandView.of(await commands.find(session, scope, command_id), caller)


@router.patch(
    "/{commandId}",
    summary="Change a command",
    responses=problems({403: "Global commands need an admin key", 404: "Command not found", 409: "The name is taken"}),
)
async def change(
    command_id: CommandId, patch: CommandPatch, caller: Caller, session: Session, scope: Visible
) -> CommandView:
    """Running bots get the change at once."""
    row = await _changeable(command_id, caller, session, scope)
    replaced = patch.response is not None or patch.webhook is not None
    await commands.change(
        session,
        row.command,
        name=patch.name or row.command.name,
        response=patch.response if replaced else row.command.response,
        webhook=patch.webhook if replaced else row.command.webhook,
    )
    view = CommandView.of(row, caller)
    await session.commit()
    return view


@router.delete(
    "/{commandId}",
    status_code=204,
    summary="Delete a command",
    responses=problems({403: "Global commands need an admin key", 404: "Command not found"}),
)
async def delete(command_id: CommandId, caller: Caller, session: Session, scope: Visible) -> None:
    """Running bots stop replying to it at once."""
    await session.delete((await _changeable(command_id, caller, session, scope)).command)
    await session.commit()


async def _owner(new: NewCommand, caller: Identity, session: Session, scope: Scope) -> Owner:
    server_name = named_server(scope, new.server_name)
    if new.bot_id is not None:
        # Not locked: the trigger on commands locks the bots of many commands, always in the same order.
        row = await bots.find(session, scope.narrowed(server_name), new.bot_id)
        if row.bot.deleting:
            raise ConflictError(f"bot {row.bot.id!r} is being deleted", code="deleting")
        return Owner(row.bot.server_name, row.bot.key)
    if server_name is not None:
        return Owner((await servers.find(session, scope, server_name)).server.name, None)
    _require_global(caller)
    return Owner(None, None)


async def _changeable(command_id: str, caller: Identity, session: Session, scope: Scope) -> CommandRow:
    row = await commands.find(session, scope, command_id, for_change=True)
    if row.command.server_name is None:
        _require_global(caller)
    return row


def _require_global(caller: Identity) -> None:
    if caller.server is not None:
        raise ForbiddenError("global commands need an admin key: send serverName or botId")
