"""The states, roles and decisions that are stored as words: columns, JSON fields and decisions share these enums."""

from enum import StrEnum


class Approval(StrEnum):
    """Whether an operator has allowed a bot to run. Only approved bots run."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class DesiredState(StrEnum):
    """Whether an approved bot should run."""

    RUNNING = "running"
    STOPPED = "stopped"


class Phase(StrEnum):
    """The one word that sums up a bot's status."""

    PENDING = "pending"
    STOPPED = "stopped"
    STARTING = "starting"
    PAIRING = "pairing"
    ONLINE = "online"
    DEGRADED = "degraded"
    BACKING_OFF = "backing-off"
    CRASH_LOOP = "crash-loop"
    SKIPPED = "skipped"
    LOGGED_OUT = "logged-out"
    OUTDATED = "outdated"
    BANNED = "banned"
    EXPIRED = "expired"
    STOPPING = "stopping"


class Role(StrEnum):
    """What an API key may do."""

    ADMIN = "admin"
    """Everything, on every server."""
    OPERATOR = "operator"
    """Everything on its own server, except managing servers and keys."""
    VIEWER = "viewer"
    """Read-only access to its own server."""


class EventSource(StrEnum):
    """Who recorded an event."""

    BOT = "bot"
    ORCHESTRATOR = "orchestrator"


class MessageState(StrEnum):
    """The delivery state of an outgoing message."""

    QUEUED = "queued"
    """Waiting for its turn, for its slot in the rate limit, or for its bot."""
    SENDING = "sending"
    """The bot may have been asked to send it; the outcome is not known yet."""
    SENT = "sent"
    """Accepted by WhatsApp."""
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


PENDING = (MessageState.QUEUED, MessageState.SENDING)
"""States of messages that are not done."""
