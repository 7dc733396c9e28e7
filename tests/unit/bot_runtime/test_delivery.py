"""Handing messages to WhatsApp. See also `test_sender.py` and `test_evidence.py`."""

import asyncio

import pytest

from bot_runtime.contract import Text
from bot_runtime.outbound.delivery import Delivery, MaybeSentError
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError
from bot_runtime.whatsapp.outgoing import OutgoingMessage
from tests.unit.bot_runtime.scripted import ScriptedTransport

MESSAGE = OutgoingMessage(chat=Address("491700000001", "s.whatsapp.net"), content=Text(text="hello"))


async def test_a_send_that_hangs_loses_its_connection_and_the_next_one_is_made() -> None:
    transport = ScriptedTransport()
    delivery = Delivery(transport, stuck_seconds=0.01)

    def hang() -> None:
        transport.before_send = lambda: None
        assert transport.cut.wait(10)
        raise WhatsAppError("websocket disconnected before message send (retry) returned response")

    transport.before_send = hang
    first = asyncio.create_task(delivery.deliver(MESSAGE, lambda _: None))
    second = asyncio.create_task(delivery.deliver(MESSAGE, lambda _: None))
    with pytest.raises(MaybeSentError):
        await first
    assert (await second).message_id == "ID1"


async def test_nothing_is_sent_when_the_state_of_the_chat_cannot_be_noted() -> None:
    transport = ScriptedTransport()

    def note(_: bytes | None) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        await Delivery(transport).deliver(MESSAGE, note)
    assert transport.taken == []
