"""What a bot's connection lacks, in a sentence for people: the last error, the next attempt and what to check."""

from bot_runtime.contract import ConnectionState, Health

MAX_ERROR_CHARACTERS = 400

_WITHOUT_FAULT = {ConnectionState.ONLINE, ConnectionState.PAIRING, ConnectionState.CLOSING}
"""States in which an earlier error is no longer relevant."""
_ATTEMPTING = {ConnectionState.CONNECTING, ConnectionState.RECONNECTING, ConnectionState.RECONNECT_FAILED}
_NETWORK_FAULTS = {"connect-failed", "connect-timeout"}
"""Codes of faults for which the network is the first suspect; with any other, WhatsApp has answered."""
CHECK_NETWORK = "check DNS, proxy and firewall of the bots' network"


def connection_message(health: Health) -> str:
    """Empty when the state of the connection says everything."""
    fault = health.last_error
    if fault is None or health.connection in _WITHOUT_FAULT:
        return ""
    error = fault.message[:MAX_ERROR_CHARACTERS]
    if health.connection not in _ATTEMPTING:
        return error
    if not health.connection_attempts:  # the fault is that of an earlier connection
        return "" if health.connection == ConnectionState.CONNECTING else error
    parts = [f"cannot connect to WhatsApp: {error}"]
    if health.next_attempt_at is not None:
        parts.append(f"next attempt at {health.next_attempt_at:%H:%M:%S} UTC")
    if fault.code in _NETWORK_FAULTS:
        parts.append(CHECK_NETWORK)
    return "; ".join(parts)
