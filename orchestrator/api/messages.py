"""Sending a text through a bot."""

import hashlib
import re
import secrets
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header
from pydantic import AfterValidator, Field

from bot_runtime.contract import SendRequest, Text
from orchestrator.api.context import Parts, Session, Visible
from orchestrator.api.live import of_runtime
from orchestrator.api.schemas import Answer, BotId, Request, no_nul, phone_number, problems
from orchestrator.db import bots
from orchestrator.errors import Conflict
from orchestrator.runtime.client import RuntimeCallError, RuntimeUnreachable

SEND_TIMEOUT_SECONDS = 30.0
MAX_TEXT = 65_536

router = APIRouter(prefix="/api/bots/{id}/messages", tags=["messages"])

_CHAT = re.compile(r"[0-9]{5,20}(-[0-9]{5,20})?@(s\.whatsapp\.net|lid|g\.us)")


def _recipient(value: str) -> str:
    return value if _CHAT.fullmatch(value) else phone_number(value)


class NewMessage(Request):
    """A text to send."""

    to: Annotated[str, AfterValidator(_recipient)] = Field(
        max_length=80,
        description="A phone number in international form, or a chat id (`…@s.whatsapp.net`, `…@lid`, `…@g.us`).",
        examples=["+49 170 1234567"],
    )
    message: Annotated[str, AfterValidator(no_nul)] = Field(min_length=1, max_length=MAX_TEXT, examples=["Hello"])


class MessageView(Answer):
    """A message that WhatsApp has accepted."""

    id: str = Field(description="Ours; the same for the same idempotency key.")
    status: Literal["sent"]
    message_id: str = Field(description="WhatsApp's.")
    timestamp: datetime


@router.post(
    "",
    summary="Send a text",
    responses=problems(
        {
            404: "No such bot",
            409: "The bot is not online",
            502: "WhatsApp refused the message",
            503: "The bot cannot be reached",
            504: "No answer in time: repeat it with the same idempotency key",
        }
    ),
)
async def send(
    bot_id: BotId,
    new: NewMessage,
    session: Session,
    scope: Visible,
    parts: Parts,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="Any text of your own: a call repeated with it sends nothing again.",
        ),
    ] = None,
) -> MessageView:
    """Answers once WhatsApp has accepted the message."""
    row = await bots.find(session, scope, bot_id)
    await session.close()
    if row.status.address is None:
        raise Conflict(f"bot {bot_id!r} is not online: it does not run (phase {row.status.phase})", code="not-online")
    request = SendRequest(client_id=_client_id(idempotency_key), to=new.to, content=Text(text=new.message))
    async with parts.runtime(row.bot, row.status.address) as runtime:
        try:
            result = await runtime.send(request, timeout=SEND_TIMEOUT_SECONDS)
        except (RuntimeCallError, RuntimeUnreachable) as exc:
            raise of_runtime(exc, bot_id) from exc
    return MessageView(id=request.client_id, status="sent", message_id=result.message_id, timestamp=result.timestamp)


def _client_id(idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return secrets.token_hex(16)
    return hashlib.sha256(idempotency_key.encode()).hexdigest()
