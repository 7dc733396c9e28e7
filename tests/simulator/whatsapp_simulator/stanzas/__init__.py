"""The server's handlers for client stanzas: one module per family, registered in `registry`.

To support a new family, add a module with `@on` or `@on_iq` handlers and import it below.
"""

from whatsapp_simulator.stanzas import (
    acks,
    app_state,
    calls,
    channels,
    companion,
    groups,
    messages,
    mex,
    prekeys,
    presence,
    profile,
    receipts,
    session,
    usync,
)
from whatsapp_simulator.stanzas.registry import dispatch

__all__ = [
    "acks",
    "app_state",
    "calls",
    "channels",
    "companion",
    "dispatch",
    "groups",
    "messages",
    "mex",
    "prekeys",
    "presence",
    "profile",
    "receipts",
    "session",
    "usync",
]
