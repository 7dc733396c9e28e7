"""Request and response bodies of the session pool. A company is a bot: `companyId` is the bot's id."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator.api.fields import BotIdField, PlainText
from orchestrator.api.messages.schemas import MAX_TEXT, Recipient
from orchestrator.db.bots import BotRow
from orchestrator.states import Phase


class PoolRequest(BaseModel):
    """Base of request bodies of the pool; unknown fields are ignored, since existing clients send some."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, frozen=True)


class PoolAnswer(BaseModel):
    """Base of successful responses."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    success: Literal[True] = True


class PoolError(BaseModel):
    """Every error of the session pool."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    success: Literal[False]
    error: str = Field(examples=["Rate limit exceeded"])
    retry_after: int | None = Field(
        default=None, description="Milliseconds to wait before a retry, with 429.", examples=[45000]
    )
    qr_code: str | None = Field(default=None, description="The QR code to scan first, as a data URL.")


class SessionStatus(StrEnum):
    """The status of a session, derived from the bot's phase."""

    CONNECTED = "connected"
    CONNECTING = "connecting"
    QR = "qr"
    RECONNECTING = "reconnecting"
    LOGGED_OUT = "logged_out"
    DISCONNECTED = "disconnected"


_STATUS = {
    Phase.ONLINE: SessionStatus.CONNECTED,
    Phase.STARTING: SessionStatus.CONNECTING,
    Phase.PAIRING: SessionStatus.QR,
    Phase.DEGRADED: SessionStatus.RECONNECTING,
    Phase.BACKING_OFF: SessionStatus.RECONNECTING,
    Phase.CRASH_LOOP: SessionStatus.RECONNECTING,
    Phase.LOGGED_OUT: SessionStatus.LOGGED_OUT,
}

_HEALTHY = frozenset({SessionStatus.CONNECTED, SessionStatus.CONNECTING, SessionStatus.QR})
"""In these statuses the message of a bot is not an error."""


class PoolSession(BaseModel):
    """A WhatsApp session."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    company_id: str = Field(examples=["962302"])
    status: SessionStatus
    connected_at: datetime | None = Field(description="When the session connected; null while it is not connected.")
    phone_number: str | None = Field(examples=["+79686484488"])
    last_error: str | None = None

    @classmethod
    def of(cls, row: BotRow) -> Self:
        """The session of a bot."""
        bot, status = row
        number = status.paired_number or bot.phone_number
        return cls.model_validate(session_fields(bot.id, status.phase, status.message, status.connected_at, number))


def session_fields(
    bot_id: str, phase: str, message: str, connected_at: datetime | None, number: str | None
) -> dict[str, Any]:
    """A `PoolSession` by the names in a response: for lists, in which models for all sessions would take too long."""
    status = session_status(phase)
    return {
        "companyId": bot_id,
        "status": status,
        "connectedAt": connected_at,
        "phoneNumber": f"+{number}" if number else None,
        "lastError": None if status in _HEALTHY else message or None,
    }


def session_status(phase: str) -> SessionStatus:
    """The session status of a bot in this phase."""
    try:
        return _STATUS.get(Phase(phase), SessionStatus.DISCONNECTED)
    except ValueError:  # a phase of a newer controller
        return SessionStatus.DISCONNECTED


class PoolSessionView(PoolSession):
    """A session."""

    success: Literal[True] = True


class CreatedSessionView(PoolSessionView):
    """A session that was created or already existed."""

    qr_code: str | None = Field(
        default=None, description="The QR code to scan, as a data URL, if the session is not paired."
    )
    message: str


class PoolMetrics(BaseModel):
    """Totals since the bots were created."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    total_sessions: int
    active_connections: int
    messages_sent: int = Field(
        description="Messages sent through this API; replies of bots to commands are not counted."
    )
    messages_received: int = Field(description="Messages from others; messages of the account itself are not counted.")
    errors: int
    reconnections: int


class PoolSessionsView(PoolAnswer):
    """A list of sessions."""

    count: int
    sessions: list[PoolSession]
    metrics: PoolMetrics


class PoolMetricsView(PoolAnswer):
    """Metrics of the pool."""

    metrics: PoolMetrics


class NewSession(PoolRequest):
    """A session to create."""

    company_id: BotIdField


class PoolMessage(PoolRequest):
    """A text message to send."""

    to: Recipient
    message: PlainText = Field(min_length=1, max_length=MAX_TEXT)


class PoolMessageView(PoolAnswer):
    """An accepted message."""

    company_id: str
    to: str
    status: Literal["queued", "sent"] = Field(
        description="`queued`: the bot is offline and sends the message once it is online."
    )
    message_id: str | None = Field(description="The message's id in WhatsApp, once sent.")
    id: str = Field(description="Botdock's id, for `GET /api/bots/{companyId}/messages/{id}`.")


class DeletedSessionView(PoolAnswer):
    """The deletion of a session."""

    message: str
