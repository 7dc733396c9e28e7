"""Sending once per client id."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection

import pytest

from bot_runtime.contract import SendRequest, SendResult, Text
from bot_runtime.errors import ApiError
from bot_runtime.outbox import KEPT_SECONDS, Outbox, OutcomeUnknownError
from bot_runtime.sending import Sender
from bot_runtime.store import open_store
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Sent, WhatsAppError

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Connection]:
    store = open_store(tmp_path / "runtime.db")
    yield store
    store.close()


class Network:
    """Takes messages, or fails with an error."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.taken: list[tuple[str, str]] = []

    def send(self, address: Address, text: str) -> Sent:
        if self.error:
            raise WhatsAppError(self.error)
        self.taken.append((str(address), text))
        return Sent(f"ID{len(self.taken)}", WHEN)


def request(client_id: str = "a", to: str = "491700000001", text: str = "hello") -> SendRequest:
    return SendRequest(client_id=client_id, to=to, content=Text(text=text))


def sender(store: Connection, send: Callable[[Address, str], Sent], timeout: float = 5) -> Sender:
    return Sender(Outbox(store), send, timeout=timeout)


async def ask_until_answered(sending: Sender) -> SendResult:
    while True:
        try:
            return await sending.send(request())
        except ApiError as error:
            assert error.status == 504  # noqa: PT017 - anything else fails the test


async def test_a_message_goes_out_once_per_client_id(store: Connection) -> None:
    network = Network()
    first = await sender(store, network.send).send(request())
    second = await sender(store, network.send).send(request())
    assert network.taken == [("491700000001@s.whatsapp.net", "hello")]
    assert (first.message_id, first.timestamp, first.repeated) == ("ID1", WHEN, False)
    assert (second.message_id, second.timestamp, second.repeated) == ("ID1", WHEN, True)


async def test_a_refused_message_may_be_tried_again(store: Connection) -> None:
    network = Network("server returned error 479")
    sending = sender(store, network.send)
    with pytest.raises(ApiError) as refused:
        await sending.send(request())
    assert (refused.value.status, refused.value.code) == (502, "send-failed")
    network.error = ""
    assert not (await sending.send(request())).repeated
    assert (sending.sent, sending.failed) == (1, 1)


async def test_a_message_that_may_have_gone_out_is_not_sent_again(store: Connection) -> None:
    network = Network("timed out waiting for message send response")
    sending = sender(store, network.send)
    with pytest.raises(ApiError) as unknown:
        await sending.send(request())
    assert unknown.value.status == 504
    network.error = ""
    with pytest.raises(ApiError) as again:
        await sending.send(request())
    assert (again.value.status, again.value.code) == (409, "outcome-unknown")
    assert network.taken == []


async def test_a_slow_answer_is_a_timeout_and_its_result_is_there_later(store: Connection) -> None:
    answered = threading.Event()
    network = Network()

    def slowly(address: Address, text: str) -> Sent:
        answered.wait(10)
        return network.send(address, text)

    sending = sender(store, slowly, timeout=0.01)
    with pytest.raises(ApiError) as late:
        await sending.send(request())
    assert late.value.status == 504
    assert sending.busy
    answered.set()
    assert (await ask_until_answered(sending)).message_id == "ID1"
    assert len(network.taken) == 1


async def test_a_crash_while_sending_leaves_the_outcome_unknown(store: Connection) -> None:
    Outbox(store).start("a")
    with pytest.raises(OutcomeUnknownError):
        Outbox(store).result("a")
    assert sender(store, Network().send).known("a")
    assert not sender(store, Network().send).known("b")


def test_client_ids_are_remembered_for_a_week(store: Connection) -> None:
    Outbox(store, now=lambda: 1000.0).start("a")
    Outbox(store, now=lambda: 1000.0).finish("a", "ID1", WHEN)
    assert Outbox(store, now=lambda: 1000.0 + KEPT_SECONDS).result("a")
    assert Outbox(store, now=lambda: 1001.0 + KEPT_SECONDS).result("a") is None
