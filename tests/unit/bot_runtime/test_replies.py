"""Replies while the connection is interrupted."""

import asyncio
import sqlite3
from collections.abc import Callable

from bot_runtime.inbound.replies import Replies
from bot_runtime.outbound.delivery import MaybeSentError
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError

ADA = Address("1", "lid")


class Network:
    """Fails with each of `errors` in turn, then sends."""

    def __init__(self, *errors: str, error: Callable[[str], WhatsAppError] = WhatsAppError) -> None:
        self.error = error
        self.errors = list(errors)
        self.sent: list[str] = []
        self.tried = asyncio.Event()

    async def reply(self, _: Address, text: str) -> None:
        self.tried.set()
        if self.errors:
            raise self.error(self.errors.pop(0))
        self.sent.append(text)

    async def forward(self, chat: Address, file: bytes) -> None:
        await self.reply(chat, file.decode())


async def test_a_reply_waits_for_the_next_connection(store: sqlite3.Connection) -> None:
    network = Network("failed to send usync query: websocket not connected")
    answers = Replies(network.reply, network.forward, Spool(store))
    sending = asyncio.create_task(answers.send(ADA, "pong"))
    await network.tried.wait()
    assert network.sent == []
    answers.connected()
    await asyncio.wait_for(sending, 10)
    assert network.sent == ["pong"]


async def test_a_reply_that_was_refused_or_may_have_been_sent_is_not_retried(store: sqlite3.Connection) -> None:
    for error in ("timed out waiting for message send response", "server returned error 463"):
        network, spool = Network(error), Spool(store)
        await Replies(network.reply, network.forward, spool).send(ADA, "pong")
        assert network.sent == []
        assert spool.history[-1].data == {"code": "reply-failed", "message": error}


async def test_a_reply_fails_when_there_is_no_connection_for_too_long(store: sqlite3.Connection) -> None:
    spool = Spool(store)
    network = Network("websocket not connected")
    await Replies(network.reply, network.forward, spool, retry_seconds=0.01).send(ADA, "pong")
    assert spool.history[-1].data["code"] == "reply-failed"


async def test_a_reply_that_may_have_been_sent_is_reported_and_not_retried(store: sqlite3.Connection) -> None:
    network = Network("websocket not connected", error=lambda text: MaybeSentError(text, None))
    spool = Spool(store)
    replies = Replies(network.reply, network.forward, spool)
    await replies.send(ADA, "pong")
    replies.connected()
    assert network.sent == []
    assert spool.history[-1].data == {
        "code": "reply-unconfirmed",
        "message": "a reply may have been sent: websocket not connected",
    }


async def test_files_are_retried_like_texts(store: sqlite3.Connection) -> None:
    network = Network("websocket not connected")
    replies = Replies(network.reply, network.forward, Spool(store))
    sending = asyncio.create_task(replies.forward(ADA, b"file"))
    await network.tried.wait()
    replies.connected()
    await asyncio.wait_for(sending, 10)
    assert network.sent == ["file"]
