"""Sender keys, which let a device encrypt once for a whole group."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatsapp_simulator.protocol.jid import LID, Jid
from whatsapp_simulator.signal.device import SignalDevice
from whatsapp_simulator.signal.primitives import SignalError
from whatsapp_simulator.signal.sender_keys import OwnSenderKey, ReceivedSenderKey

ANNA = Jid("1", LID, 2)
CHAT = "1@g.us"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.permutations(range(8)))
def test_messages_are_decrypted_once_in_any_order(seed: int, order: list[int]) -> None:
    source = random.Random(seed).randbytes
    key = OwnSenderKey.create(source)
    received = ReceivedSenderKey.parse(key.distribution())
    sent = [key.encrypt(f"message {index}".encode(), source) for index in range(8)]

    assert [received.decrypt(sent[index]) for index in order] == [f"message {index}".encode() for index in order]
    for message in sent:
        with pytest.raises(SignalError, match="was already used"):
            received.decrypt(message)


def test_a_later_key_decrypts_only_later_messages() -> None:
    key = OwnSenderKey.create(os.urandom)
    before = key.encrypt(b"before", os.urandom)
    late = ReceivedSenderKey.parse(key.distribution())

    assert late.decrypt(key.encrypt(b"after", os.urandom)) == b"after"
    with pytest.raises(SignalError, match="was already used"):
        late.decrypt(before)


def test_messages_not_from_the_owner_of_the_key_are_rejected() -> None:
    key, other = OwnSenderKey.create(os.urandom), OwnSenderKey.create(os.urandom)
    received = ReceivedSenderKey.parse(key.distribution())
    message = key.encrypt(b"hello", os.urandom)

    with pytest.raises(SignalError, match="no sender key"):
        received.decrypt(other.encrypt(b"hello", os.urandom))
    with pytest.raises(SignalError, match="signature"):
        received.decrypt(message[:-2] + bytes((message[-2] ^ 1,)) + message[-1:])
    with pytest.raises(SignalError, match="not a message of Signal version 3"):
        received.decrypt(b"\x44" + message[1:])
    assert received.decrypt(message) == b"hello"


@pytest.mark.parametrize("distribution", [b"", b"\x33", b"\x33\x08", b"\x33\x08\x01"])
def test_malformed_keys_are_rejected(distribution: bytes) -> None:
    with pytest.raises(SignalError):
        ReceivedSenderKey.parse(distribution)


def test_skipped_keys_survive_a_repeated_distribution() -> None:
    phone, key = SignalDevice.create(os.urandom), OwnSenderKey.create(os.urandom)
    phone.store_sender_key(CHAT, ANNA, key.distribution())
    first, second = key.encrypt(b"first", os.urandom), key.encrypt(b"second", os.urandom)

    assert phone.decrypt_for_group(CHAT, ANNA, second) == b"second"
    phone.store_sender_key(CHAT, ANNA, key.distribution())
    assert phone.decrypt_for_group(CHAT, ANNA, first) == b"first"


def test_a_phone_decrypts_with_old_and_new_keys_of_a_sender() -> None:
    phone, old, new = SignalDevice.create(os.urandom), OwnSenderKey.create(os.urandom), OwnSenderKey.create(os.urandom)
    phone.store_sender_key(CHAT, ANNA, old.distribution())
    phone.store_sender_key(CHAT, ANNA, new.distribution())

    assert phone.decrypt_for_group(CHAT, ANNA, old.encrypt(b"old", os.urandom)) == b"old"
    assert phone.decrypt_for_group(CHAT, ANNA, new.encrypt(b"new", os.urandom)) == b"new"
    with pytest.raises(SignalError, match="no sender key of"):
        phone.decrypt_for_group("2@g.us", ANNA, new.encrypt(b"elsewhere", os.urandom))


def test_a_removed_device_receives_the_key_again_when_it_returns() -> None:
    phone = SignalDevice.create(os.urandom)
    key = phone.sender_key(CHAT, os.urandom)
    key.shared.append(str(ANNA))

    phone.delete_sessions(ANNA)

    assert phone.sender_key(CHAT, os.urandom) is key
    assert key.shared == []
