"""Key derivation, padding and authentication of the Signal protocol."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator.protocol.curve import KEY_TYPE

_MAC_SIZE = 8
_BLOCK_BITS = 128


class SignalError(ValueError):
    """A message cannot be decrypted: no session, wrong keys, or a malformed message."""


def derive(secret: bytes, info: bytes, size: int, salt: bytes | None = None) -> bytes:
    """HKDF-SHA256; no salt means 32 zero bytes."""
    return HKDF(hashes.SHA256(), size, salt, info).derive(secret)


def next_root(root: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """One step of the root chain: (new root key, new chain key)."""
    both = derive(secret, b"WhisperRatchet", 64, root)
    return both[:32], both[32:]


def next_chain(chain_key: bytes) -> bytes:
    """The next chain key."""
    return hmac.digest(chain_key, b"\x02", hashlib.sha256)


def message_seed(chain_key: bytes) -> bytes:
    """The seed for the message keys at this position in the chain."""
    return hmac.digest(chain_key, b"\x01", hashlib.sha256)


@dataclass(frozen=True, slots=True)
class MessageKeys:
    """The keys of one message."""

    cipher: bytes
    mac: bytes
    iv: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> MessageKeys:
        """Derive them from `message_seed`."""
        keys = derive(seed, b"WhisperMessageKeys", 80)
        return cls(keys[:32], keys[32:64], keys[64:])

    def encrypt(self, plaintext: bytes) -> bytes:
        """AES-256-CBC with PKCS 7 padding."""
        padder = padding.PKCS7(_BLOCK_BITS).padder()
        encryptor = Cipher(algorithms.AES(self.cipher), modes.CBC(self.iv)).encryptor()
        return encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The reverse of `encrypt`; SignalError if the padding is wrong."""
        try:
            decryptor = Cipher(algorithms.AES(self.cipher), modes.CBC(self.iv)).decryptor()
            padded = decryptor.update(ciphertext) + decryptor.finalize()
            unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as exc:
            raise SignalError(f"malformed ciphertext: {exc}") from None

    def authenticate(self, sender: bytes, receiver: bytes, message: bytes) -> bytes:
        """The 8 bytes that follow a message between two identities (32-byte public keys)."""
        data = KEY_TYPE + sender + KEY_TYPE + receiver + message
        return hmac.digest(self.mac, data, hashlib.sha256)[:_MAC_SIZE]


def pad(plaintext: bytes, size: int) -> bytes:
    """Append `size` (1 to 15) bytes of that value, as WhatsApp does before encrypting."""
    return plaintext + bytes((size,)) * size


def unpad(plaintext: bytes) -> bytes:
    """Remove the padding of `pad`; SignalError if it is invalid."""
    size = plaintext[-1] if plaintext else 0
    if not 0 < size <= len(plaintext) or plaintext[-size:] != bytes((size,)) * size:
        raise SignalError("the padding of the plaintext is invalid")
    return plaintext[:-size]
