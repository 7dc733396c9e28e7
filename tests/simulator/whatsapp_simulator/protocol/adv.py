"""Linking a device: the text of its QR code, and the device identity that the phone signs for it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.curve import KeyPair, Random, verify

_ACCOUNT_PREFIX = b"\x06\x00"
_DEVICE_PREFIX = b"\x06\x01"


class QrError(ValueError):
    """The text is not a linking QR code."""


@dataclass(frozen=True, slots=True)
class QrCode:
    """The content of a linking QR code."""

    ref: str
    noise_key: bytes
    identity_key: bytes
    adv_secret: bytes


def parse_qr(text: str) -> QrCode:
    """Parse `[https://wa.me/settings/linked_devices#]ref,noise,identity,adv[,client]`."""
    parts = text.strip().rpartition("#")[2].split(",")
    if len(parts) < 4:
        raise QrError("a linking code has at least four parts, separated by commas")
    try:
        noise_key, identity_key, adv_secret = (base64.b64decode(part, validate=True) for part in parts[1:4])
    except binascii.Error:
        raise QrError("the keys in the code are not base64") from None
    if not all(len(key) == 32 for key in (noise_key, identity_key, adv_secret)):
        raise QrError("the keys in the code do not have 32 bytes each")
    return QrCode(parts[0], noise_key, identity_key, adv_secret)


def sign_device(
    account: KeyPair, device_identity: bytes, adv_secret: bytes, *, key_index: int, timestamp: int, random: Random
) -> bytes:
    """The `device-identity` of pair-success: an ADVSignedDeviceIdentityHMAC with the phone's signature."""
    details = wire.encode((1, int.from_bytes(random(4), "big")), (2, timestamp), (3, key_index))
    signature = account.sign(_ACCOUNT_PREFIX + details + device_identity, random)
    signed = wire.encode((1, details), (2, account.public), (3, signature))
    return wire.encode((1, signed), (2, hmac.digest(adv_secret, signed, hashlib.sha256)))


def device_signed(answer: bytes, account: KeyPair, device_identity: bytes) -> bool:
    """Whether the identity in pair-device-sign has a valid signature of the device."""
    fields = wire.decode(answer)
    message = _DEVICE_PREFIX + fields.raw(1) + device_identity + account.public
    return len(fields.raw(4)) == 64 and verify(device_identity, message, fields.raw(4))
