"""Bots as a pool of WhatsApp sessions, one per company: a thin layer with an API that existing clients know.

Creating a session creates a bot and approves it: a key that can write can approve as well. Malformed company ids are
reported as not found.
"""

import asyncio

import msgspec
from fastapi import APIRouter, Response
from sqlalchemy import func
from sqlmodel import col

from orchestrator.api.bots import qr_image
from orchestrator.api.bots.pairing_wait import pair
from orchestrator.api.context import Caller, Context, Parts, Selected, Session, server_of_new_bot
from orchestrator.api.messages.body import ParsedMessage
from orchestrator.api.messages.routes import accept, settled
from orchestrator.api.pool.schemas import (
    CreatedSessionView,
    DeletedSessionView,
    NewSession,
    PoolMessage,
    PoolMessageView,
    PoolMetrics,
    PoolMetricsView,
    PoolSession,
    PoolSessionsView,
    PoolSessionView,
    SessionStatus,
    session_fields,
    session_status,
)
from orchestrator.api.schemas import BotId, problems
from orchestrator.auth import Identity
from orchestrator.db import bots, fleet
from orchestrator.db.bots import BotRow
from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.scope import Scope
from orchestrator.errors import (
    BotdockError,
    ConflictError,
    NotFoundError,
    TooManyMessagesError,
    UnavailableError,
    WhatsAppRefusedError,
)
from orchestrator.states import PENDING, Approval, DesiredState, MessageState, Phase

QR_WAIT_SECONDS = 20.0
"""A new container takes a second or two until it has a code."""
SEND_WAIT_SECONDS = 30.0
OFFLINE_WAIT_SECONDS = 0.0

router = APIRouter(prefix="/api/whatsapp", tags=["pool"])

_SESSION_COLUMNS = (
    col(Bot.id),
    col(BotStatus.phase),
    col(BotStatus.message),
    col(BotStatus.connected_at),
    func.coalesce(col(BotStatus.paired_number), col(Bot.phone_number)),
)


@router.get("/sessions", summary="List sessions", response_model=PoolSessionsView)
async def list_sessions(session: Session, scope: Selected) -> Response:
    """All sessions that the key has access to, with the metrics of the pool."""
    # Encoded in chunks, so that other requests are handled between them.
    count, parts = 0, []
    async for rows in fleet.chunks(session, scope, *_SESSION_COLUMNS, present_only=True):
        parts.append(msgspec.json.encode([session_fields(*row) for row in rows])[1:-1])
        count += len(rows)
    totals = _metrics(await fleet.totals(session, scope)).model_dump_json(by_alias=True).encode()
    body = b'{"success":true,"count":%d,"sessions":[%b],"metrics":%b}' % (count, b",".join(parts), totals)
    return Response(body, media_type="application/json")


@router.get("/metrics", summary="Read the pool's metrics")
async def metrics(session: Session, scope: Selected) -> PoolMetricsView:
    """Totals of all sessions that the key has access to."""
    return PoolMetricsView(metrics=_metrics(await fleet.totals(session, scope)))


@router.post(
    "/sessions",
    summary="Create a session",
    responses=problems(
        {
            404: "The session was deleted concurrently",
            403: "The key is read-only, or has no access to this server",
            409: "The session is being deleted, or the server is full",
        }
    ),
)
async def create(new: NewSession, caller: Caller, scope: Selected, parts: Parts) -> CreatedSessionView:
    """Creates and approves the company's bot if needed, and starts it. Returns a QR code if one must be scanned.

    Waits up to 20 seconds for the code; repeat the request if there is none yet.
    """
    row = await _ensure(parts, caller, scope, new.company_id)
    scope = scope.narrowed(row.bot.server_name)
    try:
        shown = await _qr(parts, scope, new.company_id, wait=QR_WAIT_SECONDS)
    except BotdockError:
        shown = None  # already paired, or no code yet: see the status
    async with parts.database.session() as session:
        row = await bots.find(session, scope, new.company_id)
    found = PoolSession.of(row)
    if shown is not None:
        found = found.model_copy(update={"status": SessionStatus.QR})
    messages = {SessionStatus.QR: "Scan the QR code", SessionStatus.CONNECTED: "Session is connected"}
    message = messages.get(found.status, "Session is connecting")
    return CreatedSessionView(**found.model_dump(), qr_code=shown, message=message)


@router.get("/sessions/{id}", summary="Read a session", responses=problems({404: "Session not found"}))
async def read(company_id: BotId, session: Session, scope: Selected) -> PoolSessionView:
    """The session's status, phone number and time of connection."""
    return PoolSessionView(**PoolSession.of(await _find(session, scope, company_id)).model_dump())


@router.delete("/sessions/{id}", summary="Delete a session", responses=problems({404: "Session not found"}))
async def delete(company_id: BotId, session: Session, scope: Selected) -> DeletedSessionView:
    """Deletes the bot with its container, WhatsApp session and history."""
    found = await _find(session, scope, company_id)
    row = await bots.locked(session, scope.narrowed(found.bot.server_name), company_id)
    row.bot.deleting = True
    await bots.saved(session, row)
    return DeletedSessionView(message=f"Session for company {company_id} is deleted")


@router.post(
    "/sessions/{id}/messages",
    summary="Send a text message",
    responses=problems(
        {
            404: "Session not found",
            409: "The session must be paired first (`qrCode`), or is stopped",
            429: "The recipient's rate limit is reached (`retryAfter`)",
            507: "Too many unsent messages of the session",
            502: "WhatsApp rejected the message",
        }
    ),
)
async def send(company_id: BotId, new: PoolMessage, scope: Selected, parts: Parts) -> PoolMessageView:
    """Responds once the message is sent. If the session is reconnecting, `status` is `queued` and it is sent later."""
    async with parts.database.session() as session:
        found = await _find(session, scope, company_id)
    scope = scope.narrowed(found.bot.server_name)
    if _needs_pairing(found):
        raise await _unauthenticated(parts, scope, company_id)
    text = {"type": "text", "text": new.message}
    given = ParsedMessage(to_chat=new.to, content=text, quote=None, file=None, queue=False)
    try:
        bot, row = await accept(parts, scope, company_id, given)
    except TooManyMessagesError as exc:
        raise TooManyMessagesError("Rate limit exceeded", retry_after_ms=exc.retry_after_ms) from exc
    online = found.status.phase == Phase.ONLINE
    row = await settled(parts, bot, row, wait=SEND_WAIT_SECONDS if online else OFFLINE_WAIT_SECONDS)
    if row.state == MessageState.FAILED:
        raise WhatsAppRefusedError(f"Message was not sent: {row.detail or row.reason}", code=row.reason)
    return PoolMessageView(
        company_id=company_id,
        to=row.to_chat,
        status="queued" if row.state in PENDING else "sent",
        message_id=row.whatsapp_id,
        id=row.id,
    )


async def _find(session: Session, scope: Scope, company_id: str) -> BotRow:
    not_found = NotFoundError(f"Session not found for company {company_id}")
    try:
        row = await bots.find(session, scope, company_id)
    except NotFoundError:
        raise not_found from None
    if row.bot.deleting:
        raise not_found
    return row


def _needs_pairing(row: BotRow) -> bool:
    """Whether a QR code must be scanned before anything can be sent."""
    never_paired = row.status.paired_number is None and row.status.phase in {Phase.STARTING, Phase.PENDING}
    return never_paired or session_status(row.status.phase) in {SessionStatus.QR, SessionStatus.LOGGED_OUT}


async def _ensure(parts: Context, caller: Identity, scope: Scope, company_id: str) -> BotRow:
    """The company's bot, approved and desired to run; created if needed."""
    async with parts.database.session() as session:
        try:
            server = (await bots.find(session, scope, company_id)).bot.server_name
        except NotFoundError:
            server = server_of_new_bot(parts, caller, scope.chosen)
            try:
                await bots.create(session, server_name=server, bot_id=company_id, values={"name": company_id})
            except ConflictError as exc:
                if exc.code != "already-exists":
                    raise
                await session.rollback()  # created concurrently
        row = await bots.changeable(session, scope.narrowed(server), company_id)
        row.bot.approval_status = Approval.APPROVED
        row.bot.desired_state = DesiredState.RUNNING
        return await bots.saved(session, row)


async def _qr(parts: Context, scope: Scope, company_id: str, *, wait: float) -> str:
    shown = await pair(parts, scope, company_id, wait=wait, ask=lambda runtime: runtime.qr())
    return await asyncio.to_thread(qr_image.data_url, shown.code)


async def _unauthenticated(parts: Context, scope: Scope, company_id: str) -> ConflictError:
    error = ConflictError("Authentication required", code="authentication-required")
    try:
        error.extra["qrCode"] = await _qr(parts, scope, company_id, wait=0)
    except (ConflictError, UnavailableError):
        pass  # no code at present
    return error


def _metrics(totals: fleet.Totals) -> PoolMetrics:
    return PoolMetrics(
        total_sessions=totals.bots,
        active_connections=totals.online,
        messages_sent=totals.messages_sent,
        messages_received=totals.messages_received,
        errors=totals.errors,
        reconnections=totals.reconnections,
    )
