"""The events that describe a change of the connection. Pure."""

from typing import Any

from bot_runtime.contract import ConnectionState, EventType, Fault, Qr
from bot_runtime.whatsapp.messages import UNHEALTHY

_SHOWN = {
    ConnectionState.ONLINE: "open",
    ConnectionState.CONNECTING: "connecting",
    ConnectionState.PAIRING: "connecting",
    ConnectionState.RECONNECTING: "connecting",
}

EventData = list[tuple[EventType, dict[str, Any]]]


def state_events(state: ConnectionState, fault: Fault | None) -> EventData:
    """For a new state, and the fault that led to it, if any."""
    events: EventData = []
    data: dict[str, Any] = {"connection": _SHOWN.get(state, "close"), "state": state}
    if fault is not None:
        data["reason"] = fault.code
        events.append((EventType.ERROR, {"code": fault.code, "message": fault.message}))
        if fault.code in UNHEALTHY:
            events.append((EventType.HEALTH_CHECK_FAILED, {"code": fault.code, "message": fault.message}))
    if state is not ConnectionState.PAIRING:  # each QR code is an event of its own
        events.append((EventType.CONNECTION_UPDATE, data))
    return events


def qr_events(qr: Qr) -> EventData:
    """For a new QR code."""
    shown = {"connection": "connecting", "state": ConnectionState.PAIRING, "qr": qr.code}
    return [(EventType.CONNECTION_UPDATE, shown), (EventType.QR, {"qr": qr.code, "expiresAt": qr.expires_at})]
