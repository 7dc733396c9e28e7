"""The Noise handshake, with the client's side as specified by the protocol."""

from __future__ import annotations

import hashlib
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator import keys
from whatsapp_simulator.protocol import client_payload, wire
from whatsapp_simulator.protocol.curve import KeyPair, key_pair, verify
from whatsapp_simulator.protocol.noise import NoiseError, ServerHandshake

PROLOGUE = b"WA\x06\x03"


class Client:
    """The initiator of Noise_XX_25519_AESGCM_SHA256."""

    def __init__(self, static: KeyPair) -> None:
        self.static = static
        self.ephemeral = key_pair(os.urandom(32))
        self.hash = self.salt = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
        self.key = self.hash
        self.counter = 0
        self.mix_hash(PROLOGUE)
        self.mix_hash(self.ephemeral.public)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        both = HKDF(hashes.SHA256(), 64, self.salt, b"").derive(secret)
        self.salt, self.key, self.counter = both[:32], both[32:], 0

    def nonce(self) -> bytes:
        self.counter += 1
        return bytes(8) + (self.counter - 1).to_bytes(4, "big")

    def decrypt(self, data: bytes) -> bytes:
        plain = AESGCM(self.key).decrypt(self.nonce(), data, self.hash)
        self.mix_hash(data)
        return plain

    def encrypt(self, data: bytes) -> bytes:
        sealed = AESGCM(self.key).encrypt(self.nonce(), data, self.hash)
        self.mix_hash(sealed)
        return sealed

    def hello(self) -> bytes:
        return wire.encode((2, wire.encode((1, self.ephemeral.public))))

    def finish(self, answer: bytes, payload: bytes) -> tuple[bytes, bytes, bytes]:
        """Returns the server's static key, its certificate chain and the last message."""
        fields = wire.decode(answer).message(3)
        self.mix_hash(fields.raw(1))
        self.mix_key(self.ephemeral.agree(fields.raw(1)))
        static = self.decrypt(fields.raw(2))
        self.mix_key(self.ephemeral.agree(static))
        chain = self.decrypt(fields.raw(3))
        sealed = self.encrypt(self.static.public)
        self.mix_key(self.static.agree(fields.raw(1)))
        return static, chain, wire.encode((4, wire.encode((1, sealed), (2, self.encrypt(payload)))))


def server(identity: keys.NoiseIdentity) -> ServerHandshake:
    return ServerHandshake(PROLOGUE, identity.static, key_pair(os.urandom(32)), identity.chain)


def test_both_sides_derive_the_same_keys() -> None:
    identity = keys.noise_identity(os.urandom)
    client, handshake = Client(key_pair(os.urandom(32))), server(identity)

    static, chain, last = client.finish(handshake.answer(client.hello()), b"payload")
    finished = handshake.finish(last)

    assert (static, chain) == (identity.static.public, identity.chain)
    assert (finished.client_static, finished.payload) == (client.static.public, b"payload")
    client.mix_key(b"")
    sent = AESGCM(client.salt).encrypt(bytes(12), b"up", None)
    assert finished.receiving.decrypt(sent) == b"up"
    assert AESGCM(client.key).decrypt(bytes(12), finished.sending.encrypt(b"down"), None) == b"down"


def test_a_modified_message_is_rejected() -> None:
    client, handshake = Client(key_pair(os.urandom(32))), server(keys.noise_identity(os.urandom))
    _, _, last = client.finish(handshake.answer(client.hello()), b"payload")

    with pytest.raises(NoiseError):
        handshake.finish(last[:-1] + bytes((last[-1] ^ 1,)))


@pytest.mark.parametrize("hello", [b"", b"\xff", wire.encode((2, wire.encode((1, b"short"))))])
def test_a_hello_without_a_key_is_rejected(hello: bytes) -> None:
    with pytest.raises(NoiseError):
        server(keys.noise_identity(os.urandom)).answer(hello)


def test_the_certificate_chain_leads_to_the_root() -> None:
    identity = keys.noise_identity(os.urandom)
    chain = wire.decode(identity.chain)
    leaf, middle = chain.message(1), chain.message(2)
    middle_details, leaf_details = wire.decode(middle.raw(1)), wire.decode(leaf.raw(1))

    assert verify(keys.noise_root().public, middle.raw(1), middle.raw(2))
    assert verify(middle_details.raw(3), leaf.raw(1), leaf.raw(2))
    assert leaf_details.raw(3) == identity.static.public
    assert middle_details.number(2) == 0
    assert leaf_details.number(2) == middle_details.number(1)


def test_client_payloads_are_parsed() -> None:
    login = wire.encode((1, 491701234567), (18, 3))
    data = wire.encode((1, b"\0\0\x12\x34"), (3, b"i" * 32), (4, b"\0\0\1"), (5, b"v" * 32), (6, b"s" * 64))

    assert client_payload.parse(login) == client_payload.Login("491701234567", 3)
    assert client_payload.parse(wire.encode((19, data))) == client_payload.Registration(
        0x1234, b"i" * 32, client_payload.SignedPreKey(1, b"v" * 32, b"s" * 64)
    )
    with pytest.raises(wire.WireError):
        client_payload.parse(b"")
