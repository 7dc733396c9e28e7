"""Deleted and view-once messages are shown to the owner."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bot_runtime.contract import RuntimeConfig
from bot_runtime.inbound.recent import Recent, Remembered
from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Incoming, Kind

Reply = Callable[[Address, str], Awaitable[object]]


class _ShowsToOwner:
    def __init__(
        self,
        settings: Callable[[], RuntimeConfig],
        gestures: Gestures,
        reply: Reply,
        own_number: Callable[[], str | None],
    ) -> None:
        self._settings = settings
        self._gestures = gestures
        self._reply = reply
        self._own_number = own_number

    async def _show(self, heading: str, text: str, file: bytes) -> None:
        number = next(iter(self._settings().owners), None) or self._own_number()
        if number is None:
            return
        owner = Address(number, "s.whatsapp.net")
        await self._reply(owner, f"{heading}\n{text}" if text else heading)
        if file:
            await asyncio.to_thread(self._gestures.show_again, owner, file)


class AntiDelete(_ShowsToOwner):
    """Shows what a sender has deleted, if it is still remembered."""

    name = "anti-delete"

    def __init__(
        self,
        settings: Callable[[], RuntimeConfig],
        gestures: Gestures,
        reply: Reply,
        own_number: Callable[[], str | None],
        recent: Recent,
    ) -> None:
        super().__init__(settings, gestures, reply, own_number)
        self._recent = recent

    def details(self, message: Incoming) -> dict[str, Any]:
        """For the event of a deletion: what was deleted, while the setting is on."""
        if message.kind is not Kind.REVOKE or not self._settings().anti_delete:
            return {}
        deleted = self._deleted(message)
        if deleted is None:
            return {}
        return {"original": {"kind": deleted.kind, "text": deleted.text, "sender": str(deleted.sender)}}

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        """Also old ones: deletions that happened while the bot was away."""
        return message.kind is Kind.REVOKE and not message.from_me and self._settings().anti_delete

    async def handle(self, message: Incoming) -> None:
        """Tell the owner."""
        deleted = self._deleted(message)
        if deleted is None or deleted.from_me:
            return
        who = _who(message)
        whose = "a message" if deleted.sender == message.sender else f"a message of {_author(deleted)}"
        heading = f"{who} deleted {whose}{_where(message)} ({deleted.kind}, {deleted.timestamp:%Y-%m-%d %H:%M} UTC)"
        await self._show(heading, deleted.text, deleted.file)

    def _deleted(self, message: Incoming) -> Remembered | None:
        return self._recent.find(message.content.target, message.chat)


class AntiViewOnce(_ShowsToOwner):
    """Shows view-once messages."""

    name = "anti-view-once"

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        return message.content.view_once and not message.from_me and self._settings().anti_view_once

    async def handle(self, message: Incoming) -> None:
        """Send it to the owner, too."""
        heading = f"{_who(message)} sent a view-once {message.kind}{_where(message)}"
        await self._show(heading, "", message.content.file)


def _who(message: Incoming) -> str:
    return _named(message.push_name, message.sender_number, message.sender)


def _author(message: Remembered) -> str:
    return _named(message.push_name, message.sender_number, message.sender)


def _named(name: str, number: str | None, sender: Address) -> str:
    known = f"+{number}" if number else str(sender)
    return f"{name} ({known})" if name else known


def _where(message: Incoming) -> str:
    return f" in the group {message.chat}" if message.is_group else ""
