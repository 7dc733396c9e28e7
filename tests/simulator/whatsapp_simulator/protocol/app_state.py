"""The app state: encrypted patches of the settings that an account's devices share. Creates the first patch."""

from __future__ import annotations

import hashlib
import hmac
import json

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.curve import Random

#: The collection that holds the name of an account.
CRITICAL = "critical_block"
_FIRST_VERSION = 1
_SET = 0
_BLOCK_BITS = 128


def push_name_patch(name: str, key_id: bytes, key: bytes, *, now: int, random: Random) -> bytes:
    """The first patch of `CRITICAL`, with the account's name. key: 32 bytes; now: Unix seconds."""
    index = json.dumps(["setting_pushName"]).encode()
    value = wire.encode((1, now * 1000), (7, wire.encode((1, name))))
    data = wire.encode((1, index), (2, value), (3, b""), (4, 1))
    return _first_patch(CRITICAL, index, data, key_id, _expand(key), random)


def with_version(patch: bytes, version: int) -> bytes:
    """A client's patch with the version that the server assigned to it."""
    return wire.encode((1, wire.encode((1, version)))) + patch


def _first_patch(
    collection: str, index: bytes, data: bytes, key_id: bytes, keys: tuple[bytes, ...], random: Random
) -> bytes:
    index_key, value_key, value_mac_key, snapshot_key, patch_key = keys
    encrypted = _encrypt(value_key, data, random(16))
    tail = (len(key_id) + 1).to_bytes(8, "big")
    value_mac = hmac.digest(value_mac_key, bytes((_SET + 1,)) + key_id + encrypted + tail, hashlib.sha512)[:32]
    # A hash over all entries that can be extended; with a single entry it equals the hash of that entry.
    entries = HKDF(SHA256(), 128, None, b"WhatsApp Patch Integrity").derive(value_mac)
    version = _FIRST_VERSION.to_bytes(8, "big") + collection.encode()
    snapshot_mac = hmac.digest(snapshot_key, entries + version, hashlib.sha256)
    patch_mac = hmac.digest(patch_key, snapshot_mac + value_mac + version, hashlib.sha256)
    record = wire.encode(
        (1, wire.encode((1, hmac.digest(index_key, index, hashlib.sha256)))),
        (2, wire.encode((1, encrypted + value_mac))),
        (3, wire.encode((1, key_id))),
    )
    mutation = wire.encode((1, _SET), (2, record))
    return wire.encode((2, mutation), (4, snapshot_mac), (5, patch_mac), (6, wire.encode((1, key_id))))


def _expand(key: bytes) -> tuple[bytes, ...]:
    expanded = HKDF(SHA256(), 160, None, b"WhatsApp Mutation Keys").derive(key)
    return tuple(expanded[start : start + 32] for start in range(0, 160, 32))


def _encrypt(key: bytes, data: bytes, iv: bytes) -> bytes:
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
