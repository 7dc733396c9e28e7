"""The server's side of Noise_XX_25519_AESGCM_SHA256 and the resulting transport keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.curve import KeyPair

_PATTERN = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
_CLIENT_HELLO, _SERVER_HELLO, _CLIENT_FINISH = 2, 3, 4


class NoiseError(ValueError):
    """The client does not speak the protocol, or uses different keys."""


class Cipher:
    """AES-GCM with a counter as nonce, for one direction."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes, associated: bytes | None = None) -> bytes:
        """Encrypt the next message."""
        return self._aead.encrypt(self._nonce(), plaintext, associated)

    def decrypt(self, ciphertext: bytes, associated: bytes | None = None) -> bytes:
        """Decrypt the next message; NoiseError if it is not authentic."""
        try:
            return self._aead.decrypt(self._nonce(), ciphertext, associated)
        except InvalidTag:
            raise NoiseError("a frame could not be decrypted") from None

    def _nonce(self) -> bytes:
        nonce = bytes(8) + self._counter.to_bytes(4, "big")
        self._counter += 1
        return nonce


@dataclass(frozen=True, slots=True)
class HandshakeResult:
    """The result of the handshake: the client's static key, its payload, and a cipher for each direction."""

    client_static: bytes
    payload: bytes
    receiving: Cipher
    sending: Cipher


class ServerHandshake:
    """One handshake: `answer` the client's hello, then `finish` with its second message."""

    def __init__(self, prologue: bytes, static: KeyPair, ephemeral: KeyPair, certificate: bytes) -> None:
        self._static = static
        self._ephemeral = ephemeral
        self._certificate = certificate
        self._hash = _PATTERN
        self._salt = _PATTERN
        self._cipher = Cipher(_PATTERN)
        self._mix_hash(prologue)

    def answer(self, hello: bytes) -> bytes:
        """Process the ClientHello message; returns the ServerHello message."""
        client_ephemeral = _message(hello, _CLIENT_HELLO).raw(1)
        if len(client_ephemeral) != 32:
            raise NoiseError("the client hello has no ephemeral key")
        self._mix_hash(client_ephemeral)
        self._mix_hash(self._ephemeral.public)
        self._mix_key(self._ephemeral.agree(client_ephemeral))
        static = self._encrypt(self._static.public)
        self._mix_key(self._static.agree(client_ephemeral))
        payload = self._encrypt(self._certificate)
        return wire.encode((_SERVER_HELLO, wire.encode((1, self._ephemeral.public), (2, static), (3, payload))))

    def finish(self, message: bytes) -> HandshakeResult:
        """Process the ClientFinish message and derive the transport keys."""
        fields = _message(message, _CLIENT_FINISH)
        client_static = self._decrypt(fields.raw(1))
        if len(client_static) != 32:
            raise NoiseError("the client's static key does not have 32 bytes")
        self._mix_key(self._ephemeral.agree(client_static))
        payload = self._decrypt(fields.raw(2))
        receiving, sending = self._expand(b"")
        return HandshakeResult(client_static, payload, Cipher(receiving), Cipher(sending))

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_key(self, secret: bytes) -> None:
        self._salt, key = self._expand(secret)
        self._cipher = Cipher(key)

    def _expand(self, secret: bytes) -> tuple[bytes, bytes]:
        both = HKDF(hashes.SHA256(), 64, self._salt, b"").derive(secret)
        return both[:32], both[32:]

    def _encrypt(self, plaintext: bytes) -> bytes:
        ciphertext = self._cipher.encrypt(plaintext, self._hash)
        self._mix_hash(ciphertext)
        return ciphertext

    def _decrypt(self, ciphertext: bytes) -> bytes:
        plaintext = self._cipher.decrypt(ciphertext, self._hash)
        self._mix_hash(ciphertext)
        return plaintext


def _message(data: bytes, number: int) -> wire.Fields:
    try:
        return wire.decode(data).message(number)
    except wire.WireError as exc:
        raise NoiseError(f"malformed handshake message: {exc}") from exc
