"""Whether a bot has room for what arrives. Without room it disconnects, and WhatsApp keeps new messages. Pure."""

from bot_runtime.contract import ConnectionState

SPOOL_BYTES = 256 << 20
"""About half a million messages of ordinary length. A bot with that many unfetched events disconnects."""
SPOOL_RESUME_BYTES = SPOOL_BYTES * 3 // 4
MIN_FREE_BYTES = 32 << 20
MIN_FREE_SHARE = 16
"""A volume is full when less than `MIN_FREE_BYTES` is free, or less than this part of a small one. What is on its way
must still be stored, also by the library, which loses what it cannot store."""


def hold(
    before: ConnectionState | None, *, spool_bytes: int, free_bytes: int, total_bytes: int
) -> ConnectionState | None:
    """The state in which the bot has to stay disconnected; None when it may connect.

    `before` is the last result: a bot that was disconnected waits for more room than one that is connected needs.
    """
    needed = min(MIN_FREE_BYTES, total_bytes // MIN_FREE_SHARE)
    if free_bytes < (2 * needed if before is ConnectionState.DISK_FULL else needed):
        return ConnectionState.DISK_FULL
    if spool_bytes >= (SPOOL_RESUME_BYTES if before is ConnectionState.SPOOL_FULL else SPOOL_BYTES):
        return ConnectionState.SPOOL_FULL
    return None


def explain(held: ConnectionState) -> str:
    """A sentence for the status of the bot."""
    return _MESSAGES[held]


_MESSAGES = {
    ConnectionState.DISK_FULL: (
        "the bot's volume is full, or holds nearly as much as it may (VOLUME_MAX_MB); WhatsApp keeps new messages "
        "until there is room"
    ),
    ConnectionState.DISK_ERROR: (
        "the bot's volume cannot be written; check the disk. WhatsApp keeps new messages until it can"
    ),
    ConnectionState.SPOOL_FULL: (
        f"{SPOOL_BYTES >> 20} MiB of events wait for the controller; WhatsApp keeps new messages until they are stored"
    ),
}
