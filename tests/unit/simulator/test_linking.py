"""Linking a device: QR texts, signed identities and codes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator.protocol import adv, pair_code, wire
from whatsapp_simulator.protocol.curve import KeyPair, key_pair, verify

KEYS = [bytes((number,)) * 32 for number in range(3)]
ENCODED = ",".join(base64.b64encode(key).decode() for key in KEYS)


@pytest.mark.parametrize(
    "text", [f"https://wa.me/settings/linked_devices#2@ref,{ENCODED},6", f"2@ref,{ENCODED}", f" 2@ref,{ENCODED},1\n"]
)
def test_a_qr_code_is_parsed(text: str) -> None:
    assert adv.parse_qr(text) == adv.QrCode("2@ref", *KEYS)


@pytest.mark.parametrize("text", ["", "a,b,c", "a,b,c,d", f"ref,{ENCODED[:-8]}", "https://example.org"])
def test_malformed_qr_codes_are_rejected(text: str) -> None:
    with pytest.raises(adv.QrError):
        adv.parse_qr(text)


def test_a_device_identity_is_signed_by_the_phone_and_then_by_the_device() -> None:
    account, device, secret = key_pair(os.urandom(32)), key_pair(os.urandom(32)), os.urandom(32)

    identity = adv.sign_device(account, device.public, secret, key_index=3, timestamp=1700000000, random=os.urandom)

    container = wire.decode(identity)
    assert hmac.digest(secret, container.raw(1), hashlib.sha256) == container.raw(2)
    signed = container.message(1)
    assert (signed.message(1).number(2), signed.message(1).number(3)) == (1700000000, 3)
    assert signed.raw(2) == account.public
    assert verify(account.public, b"\6\0" + signed.raw(1) + device.public, signed.raw(3))

    signature = device.sign(b"\6\1" + signed.raw(1) + device.public + account.public, os.urandom)
    answer = wire.encode((1, signed.raw(1)), (3, signed.raw(3)), (4, signature))
    assert adv.device_signed(answer, account, device.public)
    assert not adv.device_signed(answer, account, account.public)
    assert not adv.device_signed(wire.encode((1, b"")), account, device.public)


class ShowingDevice:
    """The device's side of linking by pairing code, as specified by the protocol."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.identity, self.ephemeral = key_pair(os.urandom(32)), key_pair(os.urandom(32))

    def crypt(self, salt: bytes, iv: bytes, key: bytes) -> bytes:
        stretched = hashlib.pbkdf2_hmac("sha256", self.code.encode(), salt, 131072, 32)
        return Cipher(algorithms.AES(stretched), modes.CTR(iv)).encryptor().update(key)

    def wrapped(self) -> bytes:
        salt, iv = os.urandom(32), os.urandom(16)
        return salt + iv + self.crypt(salt, iv, self.ephemeral.public)

    def finish(self, wrapped: bytes, account_key: bytes) -> tuple[bytes, bytes]:
        """Returns the bundle and the secret that the device expects."""
        shared = self.ephemeral.agree(self.crypt(wrapped[:32], wrapped[32:48], wrapped[48:]))
        salt, nonce, part = os.urandom(32), os.urandom(12), os.urandom(32)
        key = HKDF(hashes.SHA256(), 32, salt, b"link_code_pairing_key_bundle_encryption_key").derive(shared)
        bundle = salt + nonce + AESGCM(key).encrypt(nonce, self.identity.public + account_key + part, None)
        material = shared + self.identity.agree(account_key) + part
        return bundle, HKDF(hashes.SHA256(), 32, None, b"adv_secret").derive(material)


def entered(code: str, device: ShowingDevice, account: KeyPair) -> pair_code.PhoneSide:
    ephemeral = key_pair(os.urandom(32))
    return pair_code.enter(code, device.wrapped(), account=account, ephemeral=ephemeral, random=os.urandom)


def test_a_code_links_the_device() -> None:
    device, account = ShowingDevice("ABCD1234"), key_pair(os.urandom(32))

    side = entered("ABCD1234", device, account)
    bundle, secret = device.finish(side.wrapped, account.public)

    assert side.open_bundle(bundle) == pair_code.Companion(device.identity.public, secret)


def test_a_wrong_code_does_not_link() -> None:
    device, account = ShowingDevice("ABCD1234"), key_pair(os.urandom(32))

    side = entered("ABCD1235", device, account)
    bundle, _ = device.finish(side.wrapped, account.public)

    with pytest.raises(pair_code.CodeError, match="does not match"):
        side.open_bundle(bundle)


def test_a_bundle_for_another_phone_does_not_link() -> None:
    device, account = ShowingDevice("ABCD1234"), key_pair(os.urandom(32))

    side = entered("ABCD1234", device, account)
    bundle, _ = device.finish(side.wrapped, bytes(31) + b"\1")

    with pytest.raises(pair_code.CodeError, match="another phone"):
        side.open_bundle(bundle)


def test_codes_are_accepted_in_common_formats() -> None:
    assert pair_code.normalize("abcd-1234") == pair_code.normalize(" ABCD 1234") == "ABCD1234"


@pytest.mark.parametrize("text", ["", "ABCD-123", "ABCD-12345", "ABCD-0000", "ABCD-12!4"])
def test_malformed_codes_are_rejected(text: str) -> None:
    with pytest.raises(pair_code.CodeError):
        pair_code.normalize(text)
