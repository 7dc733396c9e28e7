"""The content of messages, as the end-to-end encrypted protobuf has it."""

from __future__ import annotations

from whatsapp_simulator.protocol import wire

_CONVERSATION = 1
_EXTENDED_TEXT = 6


def text_message(text: str) -> bytes:
    """A plain text message."""
    return wire.encode((_CONVERSATION, text))


def text_of(plaintext: bytes) -> str | None:
    """The text of a message; None if it is of another kind. WireError if it is no message."""
    fields = wire.decode(plaintext)
    if _CONVERSATION in fields:
        return fields.text(_CONVERSATION)
    if _EXTENDED_TEXT in fields:
        return fields.message(_EXTENDED_TEXT).text(1)
    return None
