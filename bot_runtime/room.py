"""Whether a bot has room for what arrives. Without room it disconnects, and WhatsApp keeps new messages. Pure."""

from bot_runtime.contract import ConnectionState

SPOOL_BYTES = 256 << 20
"""About half a million messages of ordinary length. A bot with that many unfetched events disconnects."""
SPOOL_RESUME_BYTES = SPOOL_BYTES * 3 // 4


def hold(before: ConnectionState | None, *, spool_bytes: int) -> ConnectionState | None:
    """The state in which the bot has to stay disconnected; None when it may connect.

    `before` is the last result: a bot that was disconnected waits for more room than one that is connected needs.
    """
    if spool_bytes >= (SPOOL_RESUME_BYTES if before is ConnectionState.SPOOL_FULL else SPOOL_BYTES):
        return ConnectionState.SPOOL_FULL
    return None


def explain(held: ConnectionState) -> str:
    """A sentence for the status of the bot."""
    return _MESSAGES[held]


_MESSAGES = {
    ConnectionState.SPOOL_FULL: (
        f"{SPOOL_BYTES >> 20} MiB of events wait for the controller; WhatsApp keeps new messages until they are stored"
    ),
}
