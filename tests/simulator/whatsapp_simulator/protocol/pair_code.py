"""The phone's side of linking by an eight-character pairing code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator.protocol.curve import KeyPair, Random

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
LENGTH = 8
_ROUNDS = 1 << 17
_SALT, _IV, _KEY = 32, 16, 32
_BUNDLE_SALT, _BUNDLE_NONCE = 32, 12
_BUNDLE_INFO = b"link_code_pairing_key_bundle_encryption_key"


class CodeError(ValueError):
    """The code, or data encrypted with it, is invalid."""


def normalize(code: str) -> str:
    """The code in upper case without dashes and spaces; CodeError if it is malformed."""
    plain = code.replace("-", "").replace(" ", "").upper()
    if len(plain) != LENGTH or not set(plain) <= set(ALPHABET):
        raise CodeError("a pairing code must have eight letters and digits, such as ABCD-1234")
    return plain


@dataclass(frozen=True, slots=True)
class Companion:
    """The linked device: its identity key and the secret that authenticates pair-success."""

    identity_key: bytes
    adv_secret: bytes


@dataclass(frozen=True, slots=True)
class PhoneSide:
    """One exchange: `wrapped` goes to the device, `open_bundle` reads its answer."""

    wrapped: bytes
    _account: KeyPair
    _shared: bytes

    def open_bundle(self, bundle: bytes) -> Companion:
        """Decrypt the device's key bundle; CodeError if it was encrypted with a different code."""
        salt, nonce = bundle[:_BUNDLE_SALT], bundle[_BUNDLE_SALT : _BUNDLE_SALT + _BUNDLE_NONCE]
        key = HKDF(hashes.SHA256(), 32, salt, _BUNDLE_INFO).derive(self._shared)
        try:
            plain = AESGCM(key).decrypt(nonce, bundle[_BUNDLE_SALT + _BUNDLE_NONCE :], None)
        except (InvalidTag, ValueError):
            raise CodeError("the code does not match the one that the device shows") from None
        identity, account, secret_part = plain[:32], plain[32:64], plain[64:96]
        if account != self._account.public:
            raise CodeError("the device was linked to another phone")
        material = self._shared + self._account.agree(identity) + secret_part
        return Companion(identity, HKDF(hashes.SHA256(), 32, None, b"adv_secret").derive(material))


def enter(code: str, wrapped_key: bytes, *, account: KeyPair, ephemeral: KeyPair, random: Random) -> PhoneSide:
    """The phone's step after a normalized code was entered (slow on purpose: stretches two keys)."""
    if len(wrapped_key) != _SALT + _IV + _KEY:
        raise CodeError("the device's wrapped key does not have 80 bytes")
    salt, iv = wrapped_key[:_SALT], wrapped_key[_SALT : _SALT + _IV]
    companion_key = _crypt(code, salt, iv, wrapped_key[_SALT + _IV :])
    salt, iv = random(_SALT), random(_IV)
    return PhoneSide(salt + iv + _crypt(code, salt, iv, ephemeral.public), account, ephemeral.agree(companion_key))


def _crypt(code: str, salt: bytes, iv: bytes, key: bytes) -> bytes:
    stretched = hashlib.pbkdf2_hmac("sha256", code.encode(), salt, _ROUNDS, 32)
    encryptor = Cipher(algorithms.AES(stretched), modes.CTR(iv)).encryptor()
    return encryptor.update(key) + encryptor.finalize()
