"""The files of messages that have arrived: the bot fetches them from WhatsApp, and they are passed on piece by piece.

What a stranger sent is never shown by a browser as a page of ours: only kinds that carry no script keep their type.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path
from fastapi.responses import StreamingResponse

from bot_runtime.contract import MAX_MEDIA_BYTES
from orchestrator.api.context import Parts, Visible
from orchestrator.api.runtime_errors import from_runtime_error
from orchestrator.api.schemas import BotId, problems
from orchestrator.clients.bot import MediaFile, RuntimeCallError, RuntimeUnreachable
from orchestrator.db import bots
from orchestrator.errors import Conflict, NotFound, TooLarge

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
MESSAGE_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
OCTETS = "application/octet-stream"
_HARMLESS = re.compile(
    r"(image/(jpeg|png|gif|webp)|video/(mp4|3gpp|webm)|audio/(ogg|mpeg|mp4|aac|amr|wav)|application/pdf)"
    r"(; ?codecs=[a-z0-9.]+)?"
)
_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f"/\\:*?<>|\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]')
MAX_NAME_CHARACTERS = 150

router = APIRouter(prefix="/api/bots/{id}/media", tags=["messages"])


def _message_id(
    value: Annotated[str, Path(alias="messageId", description="WhatsApp's id, as in `message-upsert`")],
) -> str:
    if MESSAGE_ID.fullmatch(value) is None or set(value) == {"."}:
        raise NotFound("there is no such message")
    return value


@router.get(
    "/{messageId}",
    summary="Get the file of a message",
    response_class=StreamingResponse,
    responses={
        200: {"content": {OCTETS: {}}, "description": "The file, with its type where that is harmless"},
        **problems(
            {
                404: "No such bot, or the bot knows no such message with a file (any more)",
                409: "The bot does not run, or is not online",
                413: "The file is larger than 16 MiB",
                502: "WhatsApp refused",
                503: "The bot cannot be reached",
                504: "WhatsApp did not answer",
            }
        ),
    },
)
async def get(
    bot_id: BotId, message_id: Annotated[str, Depends(_message_id)], scope: Visible, parts: Parts
) -> StreamingResponse:
    """Of a message that the bot has received (`message-upsert` events with `media`). Fetched when it is asked for."""
    async with parts.database.session() as session:
        row = await bots.find(session, scope, bot_id)
    if row.status.address is None:
        raise Conflict(f"bot {bot_id!r} does not run: only it can fetch the file", code="not-running")
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(parts.runtime(row.bot, row.status.address))
        try:
            file = await stack.enter_async_context(runtime.media(message_id, timeout=TIMEOUT_SECONDS))
        except (RuntimeCallError, RuntimeUnreachable) as exc:
            raise from_runtime_error(exc, bot_id) from exc
        if file.size > MAX_MEDIA_BYTES:
            raise TooLarge("the file is larger than 16 MiB")
        return StreamingResponse(
            _chunks(file, stack.pop_all(), bot_id),
            media_type=safe_type(file.mimetype),
            headers={
                "Content-Length": str(file.size),
                "Content-Disposition": disposition(file.file_name),
                "Content-Security-Policy": "default-src 'none'; sandbox",
            },
        )


async def _chunks(file: MediaFile, stack: AsyncExitStack, bot_id: str) -> AsyncIterator[bytes]:
    async with stack:
        try:
            async for chunk in file.chunks:
                yield chunk
        except RuntimeUnreachable as exc:
            # The status is out already; a body shorter than announced tells the caller.
            log.warning("a file of bot %s broke off: %s", bot_id, exc)


def safe_type(mimetype: str) -> str:
    """The type to answer with: the sender's where nothing can happen with it."""
    mimetype = mimetype.strip().lower()
    return mimetype if _HARMLESS.fullmatch(mimetype) else OCTETS


def disposition(file_name: str | None) -> str:
    """`Content-Disposition` for a name that a stranger chose."""
    name = _UNFIT.sub("_", (file_name or "").encode("utf-8", "replace").decode())
    name = name.strip(" .")[:MAX_NAME_CHARACTERS]
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}" if name else "attachment"
