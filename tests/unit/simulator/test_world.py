"""People, failures, and the state file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from whatsapp_simulator.protocol.client_payload import SignedPreKey
from whatsapp_simulator.protocol.jid import GROUP, USER, Jid
from whatsapp_simulator.world.failures import FailureKind, FailureRegistry
from whatsapp_simulator.world.model import Device, InboxItem, Pending
from whatsapp_simulator.world.store import Store
from whatsapp_simulator.world.world import PhoneError, World, normalize_phone

PHONE = "491701234567"


class Clock:
    """A clock that advances only when it is set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def new_world() -> World:
    return World(random=os.urandom, clock=Clock())


@pytest.mark.parametrize("text", [PHONE, "+49 170 1234567", "+49-170/123.45 67", "(49)1701234567"])
def test_phone_numbers_are_accepted_in_common_formats(text: str) -> None:
    assert normalize_phone(text) == PHONE


@pytest.mark.parametrize("text", ["", "123456", "0170123456", "1" * 16, "49170x", "٤٩١٧٠١٢٣٤٥"])
def test_malformed_phone_numbers_are_rejected(text: str) -> None:
    with pytest.raises(PhoneError):
        normalize_phone(text)


def test_a_person_is_created_once_and_found_by_every_address() -> None:
    world = new_world()
    person = world.account(PHONE, "Anna")

    assert world.contact(PHONE) is person
    assert (person.account, person.contact, person.name) == (True, True, "Anna")
    assert world.find(person.phone_jid(3)) is world.find(person.lid_jid(3)) is world.get(PHONE) is person
    assert world.find(Jid("1", USER)) is world.find(Jid(PHONE, GROUP)) is world.find(None) is None
    assert len(person.lid) == 15


def test_the_state_file_restores_all_people(tmp_path: Path) -> None:
    world = new_world()
    anna, bert = world.account(PHONE), world.contact("491711111111")
    anna.devices[1] = Device(
        1, b"n" * 32, b"i" * 32, 7, SignedPreKey(1, b"k", b"s"), 1.5, 2.5, {3: b"p"}, {"m": Pending(b"x")}
    )
    bert.inbox.append(InboxItem(1, "id", PHONE, "grüße", 5))
    bert.signal.start_session(anna.lid_jid(), anna.signal.publish(os.urandom).bundle, os.urandom)
    anna.signal.decrypt(bert.lid_jid(), *bert.signal.encrypt(anna.lid_jid(), b"hi", os.urandom), os.urandom)
    store = Store(tmp_path / "deep" / "state")
    store.save(world.take_touched())
    store.close()

    again = Store(tmp_path / "deep" / "state")

    assert again.load() == [anna, bert]
    assert world.take_touched() == []
    again.close()


def test_a_failure_ends_after_its_duration() -> None:
    clock = Clock()
    failures = FailureRegistry(clock)
    failures.set(PHONE, FailureKind.DEAF, seconds=10, count=None, delay_seconds=1)

    assert failures.current(PHONE) is not None
    assert failures.current("491711111111") is None
    clock.now += 10
    assert failures.current(PHONE) is None


def test_a_failure_ends_after_its_number_of_connections() -> None:
    failures = FailureRegistry(Clock())
    failures.set(None, FailureKind.REFUSE, seconds=None, count=2, delay_seconds=1)

    assert failures.consume(PHONE, FailureKind.DROP) is None
    assert failures.consume(PHONE, FailureKind.REFUSE) is not None
    assert failures.consume(None, FailureKind.REFUSE) is not None
    assert failures.consume(PHONE, FailureKind.REFUSE) is None


@pytest.mark.parametrize("kind", [FailureKind.DROP, FailureKind.REPLACED])
def test_some_failures_affect_one_connection_by_default(kind: FailureKind) -> None:
    failures = FailureRegistry(Clock())

    assert failures.set(PHONE, kind, seconds=None, count=None, delay_seconds=1).remaining_connections == 1
    assert failures.set(PHONE, kind, seconds=5, count=None, delay_seconds=1).remaining_connections is None


def test_the_failure_of_an_account_takes_precedence_over_the_global_one() -> None:
    failures = FailureRegistry(Clock())
    failures.set(None, FailureKind.SLOW, seconds=None, count=None, delay_seconds=1)
    failures.set(PHONE, FailureKind.DEAF, seconds=None, count=None, delay_seconds=1)

    current = failures.current(PHONE)
    assert current is not None
    assert current.kind is FailureKind.DEAF
    failures.clear(PHONE)
    assert failures.current(PHONE) is failures.current(None)
    failures.clear(None)
    assert failures.current(PHONE) is None
