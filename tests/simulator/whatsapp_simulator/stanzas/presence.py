"""Presence and typing: accepted, and shown to nobody."""

from __future__ import annotations

from whatsapp_simulator.stanzas.registry import Context, on


@on("presence", "chatstate")
def presence(_: Context) -> None:
    """No contact watches."""
