"""Curve25519 as used by Signal and WhatsApp: key pairs, key agreement, and XEdDSA signatures with the same keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xeddsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

#: Prefix of a serialized public key ("djb" type).
KEY_TYPE = b"\x05"

#: Returns the given number of random bytes (`os.urandom`, or a reproducible source in tests).
Random = Callable[[int], bytes]

_SIGN_BIT = 0x80


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair; both keys have 32 bytes, and the private key is clamped."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"

    def agree(self, public: bytes) -> bytes:
        """The shared secret with the owner of `public`."""
        return agree(self.private, public)

    def sign(self, message: bytes, random: Random) -> bytes:
        """An XEdDSA signature (64 bytes)."""
        return bytes(xeddsa.ed25519_priv_sign(xeddsa.priv_force_sign(self.private, False), message, random(64)))

    @property
    def serialized(self) -> bytes:
        """The public key with its type byte (33 bytes)."""
        return KEY_TYPE + self.public


def key_pair(seed: bytes) -> KeyPair:
    """The key pair of a 32-byte private value."""
    clamped = bytes((seed[0] & 248, *seed[1:31], seed[31] & 127 | 64))
    return KeyPair(clamped, X25519PrivateKey.from_private_bytes(clamped).public_key().public_bytes_raw())


def agree(private: bytes, public: bytes) -> bytes:
    """The shared secret of a private and a public key."""
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an XEdDSA signature is valid; its highest bit may carry the sign of the key."""
    sign = bool(signature[63] & _SIGN_BIT)
    plain = signature[:63] + bytes((signature[63] & ~_SIGN_BIT,))
    return bool(xeddsa.ed25519_verify(plain, xeddsa.curve25519_pub_to_ed25519_pub(public, sign), message))
