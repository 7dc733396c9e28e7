"""Forwards deleted and view-once messages to the owner."""

from collections.abc import Awaitable, Callable
from typing import Any

from bot_runtime.contract import RuntimeConfig
from bot_runtime.hooks.answer_gate import AnswerGate
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Incoming, Kind

Reply = Callable[[Address, str], Awaitable[object]]
Forward = Callable[[Address, bytes], Awaitable[object]]


class _ShowsToOwner:
    def __init__(
        self,
        settings: Callable[[], RuntimeConfig],
        reply: Reply,
        forward: Forward,
        own_number: Callable[[], str | None],
        gate: AnswerGate,
    ) -> None:
        self._gate = gate
        self._settings = settings
        self._reply = reply
        self._forward = forward
        self._own_number = own_number

    async def _show(self, message: Incoming, heading: str, text: str, file: bytes) -> None:
        number = next(iter(self._settings().owners), None) or self._own_number()
        if number is None or not await self._gate.allows(message.chat, notify=False):
            return
        owner = Address(number, "s.whatsapp.net")
        await self._reply(owner, f"{heading}\n{text}" if text else heading)
        if file:
            await self._forward(owner, file)


class AntiDelete(_ShowsToOwner):
    """Shows messages that their sender has deleted, while they are stored. `find` looks one up by id and chat."""

    name = "anti-delete"

    def __init__(
        self,
        settings: Callable[[], RuntimeConfig],
        reply: Reply,
        forward: Forward,
        own_number: Callable[[], str | None],
        gate: AnswerGate,
        find: Callable[[str, Address], Incoming | None],
    ) -> None:
        super().__init__(settings, reply, forward, own_number, gate)
        self._find = find

    def details(self, message: Incoming) -> dict[str, Any]:
        """For the event of a deletion: the deleted message, while the setting is on."""
        if message.kind is not Kind.REVOKE or not self._settings().anti_delete:
            return {}
        deleted = self._deleted(message)
        if deleted is None:
            return {}
        return {"original": {"kind": deleted.kind, "text": deleted.text, "sender": str(deleted.sender)}}

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        """Also old ones: deletions that happened while the bot was offline."""
        return message.kind is Kind.REVOKE and not message.from_me and self._settings().anti_delete

    async def handle(self, message: Incoming) -> None:
        """Send the deleted message to the owner."""
        deleted = self._deleted(message)
        if deleted is None or deleted.from_me:
            return
        who = _who(message)
        whose = "a message" if deleted.sender == message.sender else f"a message from {_who(deleted)}"
        heading = f"{who} deleted {whose}{_where(message)} ({deleted.kind}, {deleted.timestamp:%Y-%m-%d %H:%M} UTC)"
        await self._show(message, heading, deleted.text, deleted.content.file)

    def _deleted(self, message: Incoming) -> Incoming | None:
        return self._find(message.content.target, message.chat)


class AntiViewOnce(_ShowsToOwner):
    """Shows view-once messages."""

    name = "anti-view-once"

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        return message.content.view_once and not message.from_me and self._settings().anti_view_once

    async def handle(self, message: Incoming) -> None:
        """Forward it to the owner."""
        heading = f"{_who(message)} sent a view-once {message.kind}{_where(message)}"
        await self._show(message, heading, "", message.content.file)


def _who(message: Incoming) -> str:
    """The sender, by name as far as it is known."""
    known = f"+{message.sender_number}" if message.sender_number else str(message.sender)
    return f"{message.push_name} ({known})" if message.push_name else known


def _where(message: Incoming) -> str:
    return f" in the group {message.chat}" if message.is_group else ""
