"""The shapes of the session pool, as its clients know them. A company is a bot: `companyId` is the bot's id."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator.api.messages.schemas import MAX_TEXT, Recipient
from orchestrator.api.schemas import BotIdField, no_nul
from orchestrator.db.bots import BotRow
from orchestrator.db.models import Phase


class PoolRequest(BaseModel):
    """Bodies of the pool take fields that they do not know: its clients send some of their own."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class PoolAnswer(BaseModel):
    """Answers that worked."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    success: Literal[True] = True


class PoolError(BaseModel):
    """Every refusal of the pool."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    success: Literal[False]
    error: str = Field(examples=["Rate limit exceeded"])
    retry_after: int | None = Field(default=None, description="Milliseconds to wait, with 429.", examples=[45000])
    qr_code: str | None = Field(default=None, description="To be scanned first, as a data URL.")


class SessionStatus(StrEnum):
    """The pool's words for a bot's phase."""

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

_WELL = frozenset({SessionStatus.CONNECTED, SessionStatus.CONNECTING, SessionStatus.QR})
"""What is said of a bot in these is no error."""


class PoolSession(BaseModel):
    """A session of the pool."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    company_id: str = Field(examples=["962302"])
    status: SessionStatus
    connected_at: datetime | None = Field(description="While it is connected.")
    phone_number: str | None = Field(examples=["+79686484488"])
    last_error: str | None = None

    @classmethod
    def of(cls, row: BotRow) -> Self:
        """The session that a bot is."""
        bot, status = row
        number = status.paired_number or bot.phone_number
        word = session_status(row)
        return cls(
            company_id=bot.id,
            status=word,
            connected_at=status.connected_at,
            phone_number=f"+{number}" if number else None,
            last_error=None if word in _WELL else status.message or None,
        )


def session_status(row: BotRow) -> SessionStatus:
    """The pool's word for how a bot is."""
    try:
        return _STATUS.get(Phase(row.status.phase), SessionStatus.DISCONNECTED)
    except ValueError:  # a word of a newer controller
        return SessionStatus.DISCONNECTED


class PoolSessionView(PoolSession):
    """One session."""

    success: Literal[True] = True


class CreatedSessionView(PoolSessionView):
    """A session that was made, or was there."""

    qr_code: str | None = Field(default=None, description="To be scanned, as a data URL, if it is not paired.")
    message: str


class PoolMetrics(BaseModel):
    """Totals since the bots were made."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    total_sessions: int
    active_connections: int
    messages_sent: int = Field(description="Through this API: the bots' own answers to commands are not counted.")
    messages_received: int = Field(description="From others; what the account itself wrote is not counted.")
    errors: int
    reconnections: int


class PoolSessionsView(PoolAnswer):
    """All sessions."""

    count: int
    sessions: list[PoolSession]
    metrics: PoolMetrics


class PoolMetricsView(PoolAnswer):
    """The pool in numbers."""

    metrics: PoolMetrics


class NewSession(PoolRequest):
    """Which company's session to make."""

    company_id: BotIdField


class PoolMessage(PoolRequest):
    """A text to send."""

    to: Recipient
    message: Annotated[str, AfterValidator(no_nul)] = Field(min_length=1, max_length=MAX_TEXT)


class PoolMessageView(PoolAnswer):
    """A message that was taken."""

    company_id: str
    to: str
    status: Literal["queued", "sent"] = Field(description="queued: the bot is away and sends it when it is back.")
    message_id: str | None = Field(description="WhatsApp's id, once it is sent.")
    id: str = Field(description="Ours, for `GET /api/bots/{companyId}/messages/{id}`.")


class DeletedSessionView(PoolAnswer):
    """A session that is gone."""

    message: str
