"""The two kinds of Signal messages on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.curve import KEY_TYPE
from whatsapp_simulator.signal.primitives import SignalError

_VERSION = b"\x33"
_MAC_SIZE = 8


@dataclass(frozen=True, slots=True)
class SignalMessage:
    """A message inside a session ("msg"); body: the bytes that the authentication code covers."""

    ratchet: bytes
    counter: int
    previous_counter: int
    ciphertext: bytes
    body: bytes
    mac: bytes

    @property
    def serialized(self) -> bytes:
        """The message as it is sent."""
        return self.body + self.mac


@dataclass(frozen=True, slots=True)
class PreKeyMessage:
    """A message that also starts the session ("pkmsg")."""

    registration_id: int
    prekey_id: int | None
    signed_prekey_id: int
    base_key: bytes
    identity: bytes
    message: bytes

    @property
    def serialized(self) -> bytes:
        """The message as it is sent."""
        return _VERSION + wire.encode(
            (1, self.prekey_id),
            (2, KEY_TYPE + self.base_key),
            (3, KEY_TYPE + self.identity),
            (4, self.message),
            (5, self.registration_id),
            (6, self.signed_prekey_id),
        )


def body(ratchet: bytes, counter: int, previous_counter: int, ciphertext: bytes) -> bytes:
    """The authenticated part of a SignalMessage."""
    return _VERSION + wire.encode((1, KEY_TYPE + ratchet), (2, counter), (3, previous_counter), (4, ciphertext))


def parse_message(data: bytes) -> SignalMessage:
    """Parse a "msg"; SignalError if it is malformed."""
    fields = _fields(data[:-_MAC_SIZE])
    return SignalMessage(
        _key(fields, 1), fields.number(2), fields.number(3), fields.raw(4), data[:-_MAC_SIZE], data[-_MAC_SIZE:]
    )


def parse_prekey_message(data: bytes) -> PreKeyMessage:
    """Parse a "pkmsg"; SignalError if it is malformed."""
    fields = _fields(data)
    prekey_id = fields.number(1) if 1 in fields else None
    return PreKeyMessage(fields.number(5), prekey_id, fields.number(6), _key(fields, 2), _key(fields, 3), fields.raw(4))


def _fields(data: bytes) -> wire.Fields:
    if data[:1] != _VERSION:
        raise SignalError("not a message of Signal version 3")
    try:
        return wire.decode(data[1:])
    except wire.WireError as exc:
        raise SignalError(f"malformed message: {exc}") from exc


def _key(fields: wire.Fields, number: int) -> bytes:
    value = fields.raw(number)
    if len(value) != 33 or value[:1] != KEY_TYPE:
        raise SignalError("a public key does not have the expected format")
    return value[1:]
