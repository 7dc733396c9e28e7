"""Media files as clients upload them: AES-256-CBC, followed by the first 10 bytes of an HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator.content.model import Kind, Media

_MAC_SIZE = 10
_BLOCK_BITS = 128
_USES = {
    Kind.IMAGE: b"WhatsApp Image Keys",
    Kind.STICKER: b"WhatsApp Image Keys",
    Kind.VIDEO: b"WhatsApp Video Keys",
    Kind.AUDIO: b"WhatsApp Audio Keys",
    Kind.DOCUMENT: b"WhatsApp Document Keys",
}


class FileError(ValueError):
    """A file does not match its message; the error text states the reason."""


def encrypt(data: bytes, key: bytes, kind: Kind) -> bytes:
    """Encrypt a file for upload; key: 32 bytes."""
    iv, cipher_key, mac_key = _keys(key, kind)
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
    return ciphertext + hmac.digest(mac_key, iv + ciphertext, hashlib.sha256)[:_MAC_SIZE]


def decrypt(stored: bytes, media: Media, kind: Kind) -> bytes:
    """Decrypt the file of a message and verify it against the message; FileError if it does not match."""
    if media.key and hashlib.sha256(stored).digest() != media.enc_sha256:
        raise FileError("the SHA-256 of the stored file does not match the message")
    data = _decrypt(stored, media.key, kind) if media.key else stored
    if hashlib.sha256(data).digest() != media.sha256:
        raise FileError("the SHA-256 of the decrypted file does not match the message")
    if len(data) != media.size:
        raise FileError(f"the file has {len(data)} bytes, but the message states {media.size}")
    return data


def _decrypt(stored: bytes, key: bytes, kind: Kind) -> bytes:
    iv, cipher_key, mac_key = _keys(key, kind)
    ciphertext, mac = stored[:-_MAC_SIZE], stored[-_MAC_SIZE:]
    if not hmac.compare_digest(hmac.digest(mac_key, iv + ciphertext, hashlib.sha256)[:_MAC_SIZE], mac):
        raise FileError(f"the authentication code is wrong for a file of kind {kind}")
    try:
        decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).decryptor()
        unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
        return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
    except ValueError as exc:
        raise FileError(f"the file cannot be decrypted: {exc}") from None


def _keys(key: bytes, kind: Kind) -> tuple[bytes, bytes, bytes]:
    expanded = HKDF(SHA256(), 112, None, _USES[kind]).derive(key)
    return expanded[:16], expanded[16:48], expanded[48:80]
