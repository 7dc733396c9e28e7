"""The events that a change of the connection makes."""

from typing import Any

from bot_runtime.contract import ConnectionState, EventType, Fault, Qr
from bot_runtime.whatsapp.messages import UNHEALTHY

_SHOWN = {
    ConnectionState.ONLINE: "open",
    ConnectionState.CONNECTING: "connecting",
    ConnectionState.PAIRING: "connecting",
    ConnectionState.RECONNECTING: "connecting",
}

Records = list[tuple[EventType, dict[str, Any]]]


def state_records(state: ConnectionState, fault: Fault | None) -> Records:
    """For a new state, and what went wrong if anything did."""
    records: Records = []
    data: dict[str, Any] = {"connection": _SHOWN.get(state, "close"), "state": state}
    if fault is not None:
        data["reason"] = fault.code
        records.append((EventType.ERROR, {"code": fault.code, "message": fault.message}))
        if fault.code in UNHEALTHY:
            records.append((EventType.HEALTH_CHECK_FAILED, {"code": fault.code, "message": fault.message}))
    if state is not ConnectionState.PAIRING:  # each QR code is an event of its own
        records.append((EventType.CONNECTION_UPDATE, data))
    return records


def qr_records(qr: Qr) -> Records:
    """For a new QR code."""
    shown = {"connection": "connecting", "state": ConnectionState.PAIRING, "qr": qr.code}
    return [(EventType.CONNECTION_UPDATE, shown), (EventType.QR, {"qr": qr.code, "expiresAt": qr.expires_at})]
