"""The files of received messages: the bot downloads them from WhatsApp, and the api streams them to the caller.

A browser must never render an untrusted file as a page of ours: only types that cannot carry scripts are passed on.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path
from fastapi.responses import StreamingResponse

from orchestrator.api.context import Parts, Selected
from orchestrator.api.runtime_errors import from_runtime_error
from orchestrator.api.schemas import BotId, problems
from orchestrator.api.turns import LongCall
from orchestrator.clients.bot import MediaFile
from orchestrator.clients.bot_errors import RuntimeCallError, RuntimeUnreachableError
from orchestrator.db import bots
from orchestrator.errors import ConflictError, NotFoundError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
MESSAGE_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
OCTETS = "application/octet-stream"
_SAFE_TYPES = re.compile(
    r"(image/(jpeg|png|gif|webp)|video/(mp4|3gpp|webm)|audio/(ogg|mpeg|mp4|aac|amr|wav)|application/pdf)"
    r"(; ?codecs=[a-z0-9.]+)?"
)
_UNSAFE_CHARACTERS = re.compile(r'[\x00-\x1f\x7f-\x9f"/\\:*?<>|\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]')
MAX_NAME_CHARACTERS = 150

router = APIRouter(prefix="/api/bots/{id}/media", tags=["messages"])


def _message_id(
    value: Annotated[
        str, Path(alias="messageId", description="The message's id in WhatsApp, as in `message-upsert` events")
    ],
) -> str:
    if MESSAGE_ID.fullmatch(value) is None or set(value) == {"."}:
        raise NotFoundError("message not found")
    return value


@router.get(
    "/{messageId}",
    summary="Download the file of a message",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {OCTETS: {}},
            "description": "The file; types that can carry scripts are sent as application/octet-stream",
        },
        **problems(
            {
                404: "Bot not found, or the bot has no such message with a file (any more)",
                409: "The bot is not running, or not online",
                413: "The file is larger than 16 MiB",
                502: "WhatsApp rejected the request",
                503: "The bot is unreachable",
                504: "WhatsApp did not respond",
            }
        ),
    },
)
async def get(
    bot_id: BotId, message_id: Annotated[str, Depends(_message_id)], scope: Selected, parts: Parts
) -> StreamingResponse:
    """The file of a message that the bot received (`message-upsert` events with `media`), downloaded on request."""
    async with parts.database.session() as session:
        row = await bots.find(session, scope, bot_id)
    if row.status.address is None:
        raise ConflictError(
            f"bot {bot_id!r} is not running: start it to download the file (POST /api/bots/{bot_id}/start)",
            code="not-running",
        )
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(parts.runtime(row.bot, row.status.address, call=LongCall.DOWNLOAD))
        try:
            file = await stack.enter_async_context(runtime.media(message_id, timeout_seconds=TIMEOUT_SECONDS))
        except (RuntimeCallError, RuntimeUnreachableError) as exc:
            raise from_runtime_error(exc, bot_id) from exc
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
        except RuntimeUnreachableError as exc:
            # The status has been sent; the caller notices that the body is shorter than Content-Length.
            log.warning("download of a file of bot %s was interrupted: %s", bot_id, exc)


def safe_type(mimetype: str) -> str:
    """The content type to respond with: the sender's if it is known to be safe."""
    mimetype = mimetype.strip().lower()
    return mimetype if _SAFE_TYPES.fullmatch(mimetype) else OCTETS


def disposition(file_name: str | None) -> str:
    """`Content-Disposition` for an untrusted file name."""
    name = _UNSAFE_CHARACTERS.sub("_", (file_name or "").encode("utf-8", "replace").decode())
    name = name.strip(" .")[:MAX_NAME_CHARACTERS]
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}" if name else "attachment"
