"""Sending once per client id, within the rate limit."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from bot_runtime.contract import (
    Content,
    Image,
    Quote,
    Reaction,
    RuntimeConfig,
    SendRequest,
    SendResult,
    Text,
)
from bot_runtime.errors import ApiError
from bot_runtime.files.transfers import Transfers
from bot_runtime.files.uploads import UploadStore
from bot_runtime.outbound.delivery import MaybeSentError
from bot_runtime.outbound.recipients import Recipients
from bot_runtime.outbound.send_log import SendLog
from bot_runtime.outbound.sender import Sender
from bot_runtime.polls import Polls
from bot_runtime.whatsapp.evidence import Trace
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.outgoing import ForwardedFile
from tests.unit.bot_runtime.scripted import WHEN, NoSockets, ScriptedTransport

ADA = "491700000001"
NO_ANSWER = "timed out waiting for message send response"
UNHEARD_OF = "an error that no version of the library has had before"


class World:
    """A sender on a volume, with a stopped clock."""

    def __init__(self, store: Connection, folder: Path, transport: ScriptedTransport, *, timeout: float = 5) -> None:
        self.now = 1000.0
        self.transport = transport
        self.config = RuntimeConfig(rate_limit_max=3, rate_limit_window_seconds=60)
        self.uploads = UploadStore(folder / "files")
        self.outbox = SendLog(store, now=lambda: self.now)
        self.sender = Sender(
            self.outbox,
            self.uploads,
            transport,
            Transfers(NoSockets()),
            Recipients(own=lambda: Address("491700000099", "s.whatsapp.net"), recall=lambda *_: "as it was"),
            Polls(store),
            config=lambda: self.config,
            timeout_seconds=timeout,
            now=lambda: self.now,
        )

    async def send(self, client_id: str = "a", to: str = ADA, content: Content | None = None) -> SendResult:
        content = content if content is not None else Text(text="hello")
        return await self.sender.send(SendRequest(client_id=client_id, to=to, content=content))

    async def refused(self, client_id: str = "a", to: str = ADA, content: Content | None = None) -> ApiError:
        with pytest.raises(ApiError) as refused:
            await self.send(client_id, to, content)
        return refused.value

    async def upload(self, client_id: str, data: bytes) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield data

        await self.uploads.receive(client_id, pieces(), size=None)


@pytest.fixture
def world(store: Connection, tmp_path: Path) -> World:
    return World(store, tmp_path, ScriptedTransport())


async def test_a_message_is_sent_once_per_client_id(world: World, store: Connection, tmp_path: Path) -> None:
    first = await world.send()
    second = await World(store, tmp_path, world.transport).send()
    (taken,) = world.transport.taken
    assert (str(taken.chat), taken.content) == (f"{ADA}@s.whatsapp.net", Text(text="hello"))
    assert (first.message_id, first.timestamp, first.repeated, first.unconfirmed) == ("ID1", WHEN, False, False)
    assert (second.message_id, second.timestamp, second.repeated) == ("ID1", WHEN, True)


async def test_every_message_has_its_own_secret(world: World) -> None:
    await world.send("a")
    await world.send("b")
    secrets = {message.secret for message in world.transport.taken}
    assert [len(secret) for secret in secrets] == [32, 32]


async def test_a_refused_message_can_be_sent_again(world: World) -> None:
    world.transport.error = "server returned error 479"
    refused = await world.refused()
    assert (refused.status, refused.code) == (502, "send-failed")
    world.transport.error = ""
    assert not (await world.send()).repeated
    assert (world.sender.sent, world.sender.failed) == (1, 1)


@pytest.mark.parametrize(
    "error",
    [
        "failed to send message node: websocket not connected",
        "client is nil",
    ],
)
async def test_a_send_without_a_connection_is_not_counted_as_failed_and_can_be_repeated(
    world: World, error: str
) -> None:
    world.transport.error = error
    refused = await world.refused()
    assert (refused.status, refused.code) == (409, "wrong-state")
    world.transport.error = ""
    assert not (await world.send()).repeated
    assert (world.sender.sent, world.sender.failed) == (1, 0)


@pytest.mark.parametrize("error", [NO_ANSWER, UNHEARD_OF, "failed to send message node: broken pipe"])
async def test_a_message_with_an_unknown_outcome_is_not_sent_again(world: World, error: str) -> None:
    world.transport.error = error
    assert (await world.refused()).status == 504
    world.transport.error = ""
    again = await world.refused()
    assert (again.status, again.code) == (409, "outcome-unknown")
    assert world.transport.taken == []


@pytest.mark.parametrize("error", [NO_ANSWER, UNHEARD_OF, "websocket not connected"])
async def test_an_unanswered_message_with_a_known_id_is_unconfirmed(world: World, error: str) -> None:
    world.transport.error = error
    world.transport.found = Trace("LEFT", unsent=False)
    first = await world.send()
    world.transport.error = ""
    second = await world.send()
    assert (first.message_id, first.unconfirmed, first.repeated) == ("LEFT", True, False)
    assert (second.message_id, second.unconfirmed, second.repeated) == ("LEFT", True, True)
    assert world.transport.taken == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UNHEARD_OF, 502),
        ("no LID found for 491700000001@s.whatsapp.net from server", 502),
        ("websocket not connected", 409),
        ("failed to get device list: websocket disconnected before info query returned response", 409),
    ],
)
async def test_a_message_that_the_session_proves_unsent_can_be_sent_again(
    world: World, error: str, status: int
) -> None:
    world.transport.error = error
    world.transport.found = Trace("LEFT", unsent=True)
    assert (await world.refused()).status == status
    world.transport.error = ""
    assert not (await world.send()).repeated
    assert world.sender.rate_window() == {f"{ADA}@s.whatsapp.net": 1}


async def test_a_failure_of_the_runtime_itself_during_a_send_leaves_the_outcome_unknown(world: World) -> None:
    def fail() -> None:
        raise ValueError("not a message")

    world.transport.before_send = fail
    assert (await world.refused()).code == "outcome-unknown"
    world.transport.found = Trace(None, unsent=True)
    assert (await world.refused("b")).code == "send-failed"


async def test_requested_messages_and_replies_are_sent_one_by_one_in_the_order_of_the_calls(world: World) -> None:
    sending: list[int] = []
    together: list[int] = []

    def send() -> None:
        sending.append(1)
        together.append(len(sending))
        sending.pop()

    world.transport.before_send = send
    ada = Address(ADA, "s.whatsapp.net")
    await asyncio.gather(
        world.send("a", content=Text(text="1")),
        world.sender.reply(ada, "2"),
        world.send("b", content=Text(text="3")),
        world.sender.forward(ada, b"4"),
        world.sender.reply(ada, "5"),
    )
    contents = [message.content for message in world.transport.taken]
    assert contents == [Text(text="1"), Text(text="2"), Text(text="3"), ForwardedFile(b"4"), Text(text="5")]
    assert set(together) == {1}


async def test_a_reply_that_nobody_waits_for_any_more_still_comes_before_the_next_message(world: World) -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        go_on.wait(10)

    world.transport.before_send = wait
    reply = asyncio.create_task(world.sender.reply(Address(ADA, "s.whatsapp.net"), "pong"))
    await asyncio.to_thread(started.wait, 10)
    reply.cancel()
    later = asyncio.create_task(world.send())
    with pytest.raises(asyncio.CancelledError):
        await reply
    assert world.sender.busy
    go_on.set()
    await later
    assert [message.content for message in world.transport.taken] == [Text(text="pong"), Text(text="hello")]


async def test_a_reply_without_evidence_may_have_been_sent(world: World) -> None:
    world.transport.error = UNHEARD_OF
    with pytest.raises(MaybeSentError, match=UNHEARD_OF):
        await world.sender.reply(Address(ADA, "s.whatsapp.net"), "pong")
    assert (world.sender.failed, world.sender.busy) == (1, False)


async def test_an_unanswered_reaction_can_be_sent_again(world: World) -> None:
    reaction = Reaction(message_id="X", emoji="👍")
    world.transport.error = NO_ANSWER
    assert (await world.refused(content=reaction)).status == 504
    world.transport.error = ""
    assert not (await world.send(content=reaction)).repeated


async def test_a_slow_answer_times_out_and_its_result_is_available_later(store: Connection, tmp_path: Path) -> None:
    answered = threading.Event()
    transport = ScriptedTransport()
    transport.before_send = lambda: answered.wait(10)
    world = World(store, tmp_path, transport, timeout=0.01)
    late = await world.refused()
    assert (late.status, late.code) == (504, "timeout")
    assert world.sender.busy
    answered.set()
    while True:
        try:
            result = await world.send()
            break
        except ApiError as exc:
            assert exc.status == 504  # noqa: PT017 - anything else fails the test
    assert result.message_id == "ID1"
    assert len(transport.taken) == 1


async def test_a_file_is_sent_and_then_removed(world: World) -> None:
    await world.upload("a", b"picture")
    await world.send(content=Image(mimetype="image/png"))
    assert world.transport.uploaded == [b"picture"]
    assert world.transport.taken[0].file is not None
    assert world.uploads.find("a") is None


async def test_a_message_without_its_upload_is_refused(world: World) -> None:
    missing = await world.refused(content=Image(mimetype="image/png"))
    assert (missing.status, missing.code) == (409, "upload-missing")
    await world.upload("a", b"picture")
    await world.send(content=Image(mimetype="image/png"))


async def test_an_upload_is_retained_when_its_message_fails(world: World) -> None:
    await world.upload("a", b"picture")
    world.transport.error = "upload failed with status code 500"
    assert (await world.refused(content=Image(mimetype="image/png"))).code == "send-failed"
    assert world.uploads.find("a") is not None


async def test_an_upload_for_a_sent_message_is_removed(world: World) -> None:
    await world.upload("a", b"picture")
    await world.send(content=Image(mimetype="image/png"))
    await world.upload("a", b"picture")
    assert (await world.send(content=Image(mimetype="image/png"))).repeated
    assert world.uploads.find("a") is None


async def test_beyond_the_limit_the_error_states_when_to_retry(world: World) -> None:
    for number in range(3):
        await world.send(str(number))
        world.now += 10
    limited = await world.refused("3")
    assert (limited.status, limited.code, limited.retry_after_seconds) == (429, "rate-limited", 30.0)
    world.now += 30
    await world.send("3")


async def test_the_limit_is_per_recipient_however_the_number_is_written(world: World) -> None:
    for number, to in enumerate((ADA, f"+{ADA[:2]} {ADA[2:]}", f"{ADA}@c.us")):
        await world.send(str(number), to)
    assert (await world.refused("3", f"00{ADA}")).status == 429
    await world.send("3", "491700000002")
    assert world.sender.rate_window() == {f"{ADA}@s.whatsapp.net": 3, "491700000002@s.whatsapp.net": 1}


async def test_a_person_is_one_recipient_by_number_and_by_hidden_id(world: World) -> None:
    world.transport.numbers = {"777777777777777": ADA}
    for number, to in enumerate((ADA, "777777777777777@lid", ADA)):
        await world.send(f"c{number}", to)
    assert (await world.refused("d", "777777777777777@lid")).code == "rate-limited"
    assert world.sender.rate_window() == {f"{ADA}@s.whatsapp.net": 3}
    assert str(world.transport.taken[1].chat) == "777777777777777@lid"


async def test_a_hidden_id_without_a_known_number_is_a_recipient_of_its_own(world: World) -> None:
    for number in range(3):
        await world.send(f"c{number}", "777777777777777@lid")
    assert (await world.refused("d", "777777777777777@lid")).code == "rate-limited"


async def test_the_limit_survives_a_restart(world: World, store: Connection, tmp_path: Path) -> None:
    for number in range(3):
        await world.send(str(number))
    again = World(store, tmp_path, world.transport)
    assert (await again.refused("3")).status == 429


async def test_a_repeated_request_is_neither_counted_nor_limited(world: World) -> None:
    for number in range(3):
        await world.send(str(number))
        await world.send(str(number))
    assert world.sender.rate_window() == {f"{ADA}@s.whatsapp.net": 3}


async def test_a_failed_send_does_not_count_for_the_rate_limit(world: World) -> None:
    world.transport.error = "server returned error 479"
    for number in range(5):
        assert (await world.refused(str(number))).status == 502
    assert world.sender.rate_window() == {}


async def test_replies_of_the_bot_itself_are_not_limited(world: World) -> None:
    for _ in range(5):
        await world.sender.reply(Address(ADA, "s.whatsapp.net"), "pong")
    assert world.sender.rate_window() == {}
    assert world.sender.sent == 5


async def test_a_changed_limit_applies_at_once(world: World) -> None:
    await world.send("0")
    world.config = RuntimeConfig(rate_limit_max=1)
    assert (await world.refused("1")).status == 429


async def test_the_text_of_a_quote_is_looked_up(world: World) -> None:
    request = SendRequest(client_id="a", to=ADA, content=Text(text="yes"), quote=Quote(message_id="X", sender="me"))
    await world.sender.send(request)
    target = world.transport.taken[0].target
    assert target is not None
    assert (target.message_id, target.text, target.mine) == ("X", "as it was", True)
    assert str(target.author) == "491700000099@s.whatsapp.net"
