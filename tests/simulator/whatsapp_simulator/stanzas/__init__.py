"""What the server does with each stanza of a client: one module per family, found through `registry`.

To teach the simulator a new family, add a module here with `@on` or `@on_iq` handlers and import it below.
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
