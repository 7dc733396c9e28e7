"""Sending through a bot: a message is stored before the response and delivered to WhatsApp by the controller."""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse

from orchestrator.api import turns
from orchestrator.api.bots.active import require_active
from orchestrator.api.bots.urls import bot_url
from orchestrator.api.context import Context, Parts, Selected, Session
from orchestrator.api.messages import body
from orchestrator.api.messages.body import ParsedMessage
from orchestrator.api.messages.schemas import RECIPIENT_PATTERN, MessageView, recipient
from orchestrator.api.schemas import DEFAULT_PAGE, BotId, Limit, Page, problems
from orchestrator.api.upload_memory import SMALL_BYTES
from orchestrator.db import bots, messages
from orchestrator.db.bots import BotRow
from orchestrator.db.message_models import Message
from orchestrator.db.messages import RateLimit
from orchestrator.db.models import Bot
from orchestrator.db.scope import Scope
from orchestrator.errors import ConflictError, InvalidInputError, NotFoundError
from orchestrator.settings import Settings
from orchestrator.states import PENDING, MessageState, Phase

MAX_WAIT_SECONDS = 60.0
FIRST_POLL_SECONDS = 0.02
LAST_POLL_SECONDS = 0.25
MAX_CURSOR = 2**63 - 1

router = APIRouter(prefix="/api/bots/{id}/messages", tags=["messages"])

_CANNOT_SEND = frozenset({Phase.LOGGED_OUT, Phase.BANNED, Phase.EXPIRED})
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/MessageBody"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["message", "file"],
                    "properties": {
                        "message": {"type": "string", "description": "A `MessageBody` in JSON."},
                        "file": {"type": "string", "format": "binary", "description": "At most 16 MiB."},
                    },
                }
            },
        },
    }
}

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]+$",
        description="An arbitrary string: a request repeated with the same key sends the message only once.",
    ),
]


def _message_id(value: Annotated[str, Path(alias="messageId", description="Botdock's id of the message")]) -> str:
    if not value.isascii() or not value.isprintable() or len(value) > 64:
        raise NotFoundError("message not found")
    return value


@router.post(
    "",
    status_code=202,
    summary="Send a message",
    response_model=MessageView,
    openapi_extra=_BODY,
    responses={
        200: {"model": MessageView, "description": "With `wait`: sent or failed"},
        **problems(
            {
                404: "Bot not found",
                409: "The bot is not approved, stopped, logged out, banned or being deleted",
                413: "The file is larger than 16 MiB",
                429: "The recipient's rate limit is reached (`rate-limited`; `retryAfter` is the time to wait in "
                "milliseconds), or too many requests of the server at the same time (`too-many-requests`)",
                503: "Too many concurrent uploads (`busy`), or Postgres is unavailable; see `Retry-After`",
                507: "Too many unsent messages of the bot (`queue-full`), or files of its server (`files-full`)",
            }
        ),
    },
)
async def send(
    bot_id: BotId,
    request: Request,
    scope: Selected,
    parts: Parts,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the result")] = 0,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """The message is stored before the response, and sent as soon as possible: once, and in order within a chat.

    202 while it is queued. With `wait`, 200 once it is sent or has failed. Files are sent in base64 (`data`) or in a
    multipart body. A request repeated with the same `Idempotency-Key` returns the same message.
    """
    size = body.declared_size(request)
    if size > SMALL_BYTES:
        turns.leave()  # the body may take minutes to arrive, and `upload_memory` limits how many do
    async with parts.upload_memory.reserve(size, server=scope.server):
        bot, row = await _accept_request(request, parts, scope, bot_id, idempotency_key)
    row = await settled(parts, bot, row, wait=wait)
    view = MessageView.of(row, bot).model_dump(mode="json", by_alias=True)
    location = {"Location": bot_url(bot, scope, f"/messages/{row.id}")}
    done = wait > 0 and row.state not in PENDING
    return JSONResponse(view, status_code=200 if done else 202, headers=location)


@router.get("", summary="List messages", responses=problems({404: "Bot not found"}))
async def list_messages(
    bot_id: BotId,
    session: Session,
    scope: Selected,
    limit: Limit = DEFAULT_PAGE,
    older: Annotated[
        int | None, Query(alias="next", ge=0, le=MAX_CURSOR, description="`next` of the previous page")
    ] = None,
    state: MessageState | None = None,
    to: Annotated[
        str | None,
        Query(
            max_length=80,
            description="Only messages to this number or chat",
            json_schema_extra={"pattern": RECIPIENT_PATTERN},
        ),
    ] = None,
) -> Page[MessageView]:
    """Messages sent through this API, newest first."""
    try:
        chat = None if to is None else recipient(to)
    except ValueError as exc:
        raise InvalidInputError(f"to: {exc}") from exc
    bot, _ = await bots.find(session, scope, bot_id)
    rows = await messages.page(session, bot.key, limit=limit + 1, before=older, state=state, to_chat=chat)
    return Page(
        items=[MessageView.of(row, bot) for row in rows[:limit]],
        next=str(rows[limit - 1].seq) if len(rows) > limit else None,
    )


@router.get("/{messageId}", summary="Read a message", responses=problems({404: "Bot or message not found"}))
async def read(
    bot_id: BotId, session: Session, scope: Selected, message_id: Annotated[str, Depends(_message_id)]
) -> MessageView:
    """The message and its state: queued, sending, sent, delivered, read, or failed with a reason."""
    bot, _ = await bots.find(session, scope, bot_id)
    return MessageView.of(await messages.find(session, bot, message_id), bot)


@router.delete(
    "/{messageId}",
    summary="Cancel a message",
    responses=problems({404: "Bot or message not found", 409: "The message is no longer queued"}),
)
async def cancel(
    bot_id: BotId, session: Session, scope: Selected, message_id: Annotated[str, Depends(_message_id)]
) -> MessageView:
    """Cancels a queued message: it fails with the reason `cancelled`."""
    bot, _ = await bots.find(session, scope, bot_id)
    return MessageView.of(await messages.cancel(session, bot, message_id), bot)


async def _accept_request(
    request: Request, parts: Context, scope: Scope, bot_id: str, idempotency_key: str | None
) -> tuple[Bot, Message]:
    # A separate function, so that the file's memory is released when it returns.
    parsed = await body.read(request)
    await turns.retake()
    return await accept(parts, scope, bot_id, parsed, idempotency_key=idempotency_key)


async def accept(
    parts: Context, scope: Scope, bot_id: str, message: ParsedMessage, *, idempotency_key: str | None = None
) -> tuple[Bot, Message]:
    """Store a message of a bot that can send; returns both.

    Raises NotFoundError, ConflictError, InvalidInputError, TooManyMessagesError, QuotaError.
    """
    new = messages.NewMessage(
        to_chat=message.to_chat,
        content=message.content,
        quote=message.quote,
        file=message.file,
        request_hash=message.digest(),
        idempotency_key=idempotency_key,
    )
    async with parts.database.session() as session:
        row = await bots.find(session, scope, bot_id)
        session.expunge(row.bot)  # a rollback would expire it
        if (earlier := await messages.earlier(session, row.bot.key, new)) is not None:
            return row.bot, earlier  # whatever the bot's state is by now
        refuse(row)
        limit = rate_limit(row.bot.settings, parts.settings)
        quota = messages.Quota(
            messages_per_bot=parts.settings.queued_messages_per_bot,
            file_bytes_per_server=parts.settings.queued_files_mb << 20,
        )
        return row.bot, await messages.submit(session, row.bot, new, limit, quota, queue=message.queue)


async def settled(parts: Context, bot: Bot, row: Message, *, wait: float) -> Message:
    """The message once it is sent or has failed, or after `wait` seconds. Holds no database connection meanwhile."""
    deadline = time.monotonic() + wait
    pause = FIRST_POLL_SECONDS
    while row.state in PENDING and (left := deadline - time.monotonic()) > 0:
        turns.leave()
        await asyncio.sleep(min(pause, left))
        await turns.retake()
        pause = min(pause * 1.3, LAST_POLL_SECONDS)
        async with parts.database.session() as session:
            row = await messages.find(session, bot, row.id)
    return row


def refuse(row: BotRow) -> None:
    """Raise ConflictError for a bot that cannot send until a person acts."""
    bot, status = row
    require_active(bot)
    if status.phase in _CANNOT_SEND:
        raise ConflictError(f"bot {bot.id!r} is {status.phase} and cannot send", code=status.phase)


def rate_limit(own: Mapping[str, Any], settings: Settings) -> RateLimit:
    """The rate limit of a bot: its own, or that of the installation."""
    window = own.get("rateLimitWindowSeconds", settings.whatsapp_rate_limit_window / 1000)
    return RateLimit(own.get("rateLimitMax", settings.whatsapp_rate_limit_max), timedelta(seconds=window))
