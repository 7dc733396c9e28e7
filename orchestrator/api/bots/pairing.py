"""Pairing a bot with a phone: the QR code in four formats, and the pairing code to enter on the phone.

Whoever has a code can pair the bot with their own phone, so viewers have no access.
"""

import asyncio
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from bot_runtime import contract
from orchestrator.api.bots import qr_image
from orchestrator.api.bots.pairing_wait import MAX_WAIT_SECONDS, pair
from orchestrator.api.context import Parts, Selected, Session, writer_only
from orchestrator.api.fields import PhoneNumber
from orchestrator.api.negotiation import best_of
from orchestrator.api.schemas import BotId, RequestBody, ResponseBody, problems
from orchestrator.db import bots
from orchestrator.errors import BotdockError, ConflictError

PAIR_CODE_WAIT_SECONDS = 10.0

router = APIRouter(prefix="/api/bots/{id}", tags=["pairing"])

Wait = Annotated[
    float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait until the bot has a code", examples=[30])
]
_PROBLEMS = problems(
    {
        404: "Bot not found",
        409: "The bot cannot be paired: already paired, stopped, not approved, logged out, no code yet, or no number",
        503: "The bot is unreachable",
    }
)


class QrFormat(StrEnum):
    """The format of a QR code."""

    PNG = "png"
    JSON = "json"
    RAW = "raw"
    TERMINAL = "terminal"


_OFFERS = {
    "application/json": QrFormat.JSON,
    "image/png": QrFormat.PNG,
    "text/html": QrFormat.PNG,  # browsers show the image
    "text/plain": QrFormat.TERMINAL,
}


class NotAcceptableError(BotdockError):
    """None of the accepted formats is available."""

    status = 406
    code = "not-acceptable"


class QrView(ResponseBody):
    """A QR code to scan with the phone."""

    code: str = Field(description="The text inside the QR code.")
    expires_at: datetime
    qr_code: str = Field(description="The image as a data URL.", examples=["data:image/png;base64,iVBORw0KGgo…"])


class PairCodeBody(RequestBody):
    """The phone that the code is for."""

    phone_number: PhoneNumber | None = Field(default=None, description="Default: the bot's own number.")


class PairCodeView(ResponseBody):
    """A code to enter on the phone."""

    code: str = Field(examples=["ABCD-1234"])
    expires_at: datetime


@router.get(
    "/qr",
    summary="Get the QR code",
    dependencies=[writer_only],
    response_class=Response,
    responses={
        **_PROBLEMS,
        200: {
            "model": QrView,
            "content": {"image/png": {}, "text/plain": {}},
            "description": "The QR code: JSON, a PNG, its raw text, or drawn for a terminal",
        },
        **problems({403: "The key is read-only", 406: "None of the accepted formats is available"}),
    },
)
async def qr(
    bot_id: BotId,
    scope: Selected,
    parts: Parts,
    wait: Wait = 0,
    form: Annotated[
        QrFormat | None, Query(alias="format", description="Takes precedence over the header `Accept`")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
) -> Response:
    """The current code to scan with the phone. An expired code is replaced by a new one.

    JSON unless `Accept` prefers `image/png` (browsers get the image) or `text/plain` (drawn for a terminal).
    """
    chosen = form or best_of(accept, _OFFERS)
    if chosen is None:
        raise NotAcceptableError(f"the QR code is available as {', '.join(_OFFERS)}: change the Accept header")
    shown = await pair(parts, scope, bot_id, wait=wait, ask=lambda runtime: runtime.qr())
    response = await asyncio.to_thread(_draw, shown, chosen)
    response.headers["Vary"] = "Accept"
    return response


@router.post(
    "/pair-code",
    summary="Get a pairing code to enter on the phone",
    responses={**_PROBLEMS, **problems({502: "WhatsApp rejected the request", 504: "WhatsApp did not respond"})},
)
async def pair_code(
    bot_id: BotId,
    scope: Selected,
    parts: Parts,
    session: Session,
    body: PairCodeBody | None = None,
    wait: Wait = PAIR_CODE_WAIT_SECONDS,
) -> PairCodeView:
    """Instead of scanning: on the phone, Linked devices, Link a device, Link with phone number instead."""
    row = await bots.find(session, scope, bot_id)
    await session.close()
    number = (body.phone_number if body else None) or row.bot.phone_number
    if number is None:
        raise ConflictError("the bot has no phone number: send phoneNumber", code="phone-number-required")
    scope = scope.narrowed(row.bot.server_name)
    code = await pair(parts, scope, bot_id, wait=wait, ask=lambda runtime: runtime.pair_code(number))
    return PairCodeView(code=code.code, expires_at=code.expires_at)


def _draw(shown: contract.Qr, form: QrFormat) -> Response:
    if form is QrFormat.RAW:
        return Response(shown.code, media_type="text/plain")
    if form is QrFormat.TERMINAL:
        return Response(qr_image.terminal(shown.code), media_type="text/plain")
    if form is QrFormat.PNG:
        return Response(qr_image.png(shown.code), media_type="image/png")
    view = QrView(code=shown.code, expires_at=shown.expires_at, qr_code=qr_image.data_url(shown.code))
    return JSONResponse(view.model_dump(mode="json", by_alias=True))
