"""The ClientPayload that a client sends at the end of the handshake."""

from __future__ import annotations

from dataclasses import dataclass

from whatsapp_simulator.protocol import wire


@dataclass(frozen=True, slots=True)
class SignedPreKey:
    """A prekey signed by its owner."""

    id: int
    public: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Registration:
    """The payload of a device that wants to be linked."""

    registration_id: int
    identity_key: bytes
    signed_prekey: SignedPreKey


@dataclass(frozen=True, slots=True)
class Login:
    """The payload of a linked device that logs in."""

    phone: str
    device: int


def parse(payload: bytes) -> Registration | Login:
    """Read a ClientPayload; WireError if it is neither a registration nor a login."""
    fields = wire.decode(payload)
    if 1 in fields:
        return Login(str(fields.number(1)), fields.number(18))
    data = fields.message(19)
    if len(data.raw(3)) != 32 or len(data.raw(5)) != 32:
        raise wire.WireError("the client payload is neither a login nor a registration")
    signed = SignedPreKey(int.from_bytes(data.raw(4), "big"), data.raw(5), data.raw(6))
    return Registration(int.from_bytes(data.raw(1), "big"), data.raw(3), signed)
