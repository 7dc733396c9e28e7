"""The Signal sessions of the phones."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatsapp_simulator.protocol.curve import verify
from whatsapp_simulator.protocol.jid import LID, Jid
from whatsapp_simulator.signal import messages
from whatsapp_simulator.signal.device import SignalDevice
from whatsapp_simulator.signal.primitives import SignalError, pad, unpad

ANNA, BERT = Jid("1", LID), Jid("2", LID)


class Pair:
    """Two phones; Anna has started a session with Bert."""

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self.random = source
        self.phones = {ANNA: SignalDevice.create(source), BERT: SignalDevice.create(source)}
        self.start(ANNA)

    def start(self, who: Jid) -> None:
        other = BERT if who == ANNA else ANNA
        self.phones[who].start_session(other, self.phones[other].publish(self.random).bundle, self.random)

    def encrypt(self, who: Jid, text: bytes) -> tuple[str, bytes]:
        return self.phones[who].encrypt(BERT if who == ANNA else ANNA, text, self.random)

    def decrypt(self, who: Jid, kind: str, data: bytes) -> bytes:
        return self.phones[who].decrypt(BERT if who == ANNA else ANNA, kind, data, self.random)


def test_a_session_sends_prekey_messages_until_the_first_answer() -> None:
    pair = Pair()

    for text in (b"one", b"two"):
        kind, data = pair.encrypt(ANNA, text)
        assert kind == "pkmsg"
        assert pair.decrypt(BERT, kind, data) == text
    kind, data = pair.encrypt(BERT, b"answer")
    assert kind == "msg"
    assert pair.decrypt(ANNA, kind, data) == b"answer"
    assert pair.encrypt(ANNA, b"three")[0] == "msg"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_conversation_in_any_order(seed: int, steps: list[tuple[bool, int]]) -> None:
    pair = Pair(random.Random(seed).randbytes)
    kind, data = pair.encrypt(ANNA, b"hello")
    pair.decrypt(BERT, kind, data)
    held: list[tuple[Jid, bytes, str, bytes]] = []

    for number, (anna, keep) in enumerate(steps):
        who, other = (ANNA, BERT) if anna else (BERT, ANNA)
        text = b"message %d" % number
        held.append((other, text, *pair.encrypt(who, text)))
        while len(held) > keep:
            receiver, expected, kind, data = held.pop()
            assert pair.decrypt(receiver, kind, data) == expected
    for receiver, expected, kind, data in held:
        assert pair.decrypt(receiver, kind, data) == expected


def test_both_sides_start_a_session_at_the_same_time() -> None:
    pair = Pair()
    pair.start(BERT)
    first, second = pair.encrypt(ANNA, b"from anna"), pair.encrypt(BERT, b"from bert")

    assert pair.decrypt(BERT, *first) == b"from anna"
    assert pair.decrypt(ANNA, *second) == b"from bert"
    for _ in range(3):
        assert pair.decrypt(BERT, *pair.encrypt(ANNA, b"a")) == b"a"
        assert pair.decrypt(ANNA, *pair.encrypt(BERT, b"b")) == b"b"


def test_a_message_is_decrypted_only_once() -> None:
    pair = Pair()
    sent = pair.encrypt(ANNA, b"once")
    pair.decrypt(BERT, *sent)

    with pytest.raises(SignalError, match="already used"):
        pair.decrypt(BERT, *sent)


def test_a_rejected_message_does_not_change_the_session() -> None:
    pair = Pair()
    pair.decrypt(BERT, *pair.encrypt(ANNA, b"hello"))
    pair.decrypt(ANNA, *pair.encrypt(BERT, b"answer"))
    kind, data = pair.encrypt(ANNA, b"next")

    with pytest.raises(SignalError, match="authentication code"):
        pair.decrypt(BERT, kind, data[:-1] + bytes((data[-1] ^ 1,)))

    assert pair.decrypt(BERT, kind, data) == b"next"


def test_a_lost_session_is_replaced_by_a_new_one() -> None:
    pair = Pair()
    pair.decrypt(BERT, *pair.encrypt(ANNA, b"hello"))
    pair.decrypt(ANNA, *pair.encrypt(BERT, b"answer"))
    pair.phones[BERT].delete_sessions(ANNA)
    with pytest.raises(SignalError, match="no session"):
        pair.decrypt(BERT, *pair.encrypt(ANNA, b"lost"))

    pair.start(ANNA)

    assert pair.decrypt(BERT, *pair.encrypt(ANNA, b"again")) == b"again"
    assert pair.decrypt(ANNA, *pair.encrypt(BERT, b"yes")) == b"yes"


def test_a_prekey_works_only_once() -> None:
    pair = Pair()
    bundle = pair.phones[BERT].publish(os.urandom).bundle
    texts = []
    for _ in range(2):
        pair.phones[ANNA].start_session(BERT, bundle, os.urandom)
        texts.append(pair.encrypt(ANNA, b"x"))
    pair.decrypt(BERT, *texts[0])

    with pytest.raises(SignalError, match="no prekey"):
        pair.decrypt(BERT, *texts[1])


def test_the_signature_of_the_signed_prekey_is_valid() -> None:
    phone = SignalDevice.create(os.urandom)
    keys = phone.publish(os.urandom)

    assert verify(phone.identity.public, b"\x05" + keys.bundle.signed_prekey, keys.signature)
    assert not verify(phone.identity.public, b"\x05" + keys.bundle.identity, keys.signature)


def test_the_number_of_skipped_messages_is_limited() -> None:
    pair = Pair()
    pair.decrypt(BERT, *pair.encrypt(ANNA, b"hello"))
    for _ in range(2100):
        kind, data = pair.encrypt(ANNA, b"lost")

    with pytest.raises(SignalError, match="too many messages"):
        pair.decrypt(BERT, kind, data)


@pytest.mark.parametrize("data", [b"", b"\x33", b"\x22abc", b"\x33" + bytes(20)])
def test_malformed_messages_are_rejected(data: bytes) -> None:
    for parse in (messages.parse_message, messages.parse_prekey_message):
        with pytest.raises(SignalError):
            parse(data)


def test_unknown_kinds_of_messages_are_rejected() -> None:
    with pytest.raises(SignalError, match="unknown kind"):
        Pair().decrypt(ANNA, "skmsg", b"")


@settings(deadline=None)
@given(st.binary(max_size=50), st.integers(1, 15))
def test_padding_is_removed(text: bytes, size: int) -> None:
    assert unpad(pad(text, size)) == text


@pytest.mark.parametrize("padded", [b"", b"\0", b"a\x05", b"\x01\x02"])
def test_invalid_padding_is_rejected(padded: bytes) -> None:
    with pytest.raises(SignalError):
        unpad(padded)
