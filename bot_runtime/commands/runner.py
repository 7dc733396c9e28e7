"""Finds the command in a message, runs it under its lock, and sends the answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot_runtime.commands.base import Command, CommandError, Host, Invocation
from bot_runtime.commands.builtin import built_in
from bot_runtime.commands.custom import make_custom
from bot_runtime.commands.locks import TTL_SECONDS, CommandLocks
from bot_runtime.contract import RuntimeConfig
from bot_runtime.web.threads import WebThreads
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Incoming, Kind

log = logging.getLogger(__name__)

CHATS = frozenset({"s.whatsapp.net", "lid", "g.us"})
"""Servers of chats in which commands work; statuses and channels are read only."""


PHONE = 0
"""The number of the device that others are linked to."""


class CommandRunner:
    """A handler of messages (see `inbound/receiver.py`). `ran` counts the commands.

    `allows` returns whether a stranger may be answered once more in a chat. A command has `seconds` in total: waiting
    for its lock, running, and all calls to the web.
    """

    name = "command"

    def __init__(
        self,
        host: Host,
        *,
        bot_id: str,
        reply: Callable[[Address, str], Awaitable[None]],
        show_typing: Callable[[Address, bool], Awaitable[None]],
        cached: Callable[[], int],
        web: WebThreads,
        allows: Callable[[Address], Awaitable[bool]],
        seconds: float = TTL_SECONDS,
        locks: CommandLocks | None = None,
    ) -> None:
        self._host = host
        self._bot_id = bot_id
        self._reply = reply
        self._show_typing = show_typing
        self._cached = cached
        self._web = web
        self._allows = allows
        self._seconds = seconds
        self.locks = locks or CommandLocks()
        self.ran = 0

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        """Whether the message calls a command that exists."""
        if not fresh or message.kind is not Kind.TEXT or message.chat.server not in CHATS:
            return False
        settings = self._host.settings
        name, _ = split(message.text, settings.prefix)
        return bool(name) and self._find(name, settings) is not None

    async def handle(self, message: Incoming) -> None:
        """Run the command and answer."""
        settings = self._host.settings
        name, args = split(message.text, settings.prefix)
        command = self._find(name, settings)
        if command is None:  # removed while the message was queued
            return
        by_owner = is_owner(message, settings)
        if not by_owner and not await self._allows(message.chat):
            return
        invocation = Invocation(name, args, message, by_owner, self._host)
        if settings.typing:
            await self._show_typing(message.chat, True)
        try:
            answer = await self._run(command, invocation)
            if answer:
                await self._reply(message.chat, answer)
        finally:
            if settings.typing:
                await self._show_typing(message.chat, False)
            log.info(
                "[Container Stats] Bot %s: Messages cached=%d, Locks held=%d",
                settings.name or self._bot_id,
                self._cached(),
                len(self.locks),
            )

    async def _run(self, command: Command, invocation: Invocation) -> str:
        if command.owners_only and not invocation.by_owner:
            return f"Only owners of this bot may use {invocation.host.settings.prefix}{command.name}."
        try:
            async with asyncio.timeout(self._seconds):
                return await self._run_locked(command, invocation)
        except TimeoutError:
            log.warning("command %s did not end within %g s", command.name, self._seconds)
            return f"Sorry, {invocation.host.settings.prefix}{command.name} took too long."

    async def _run_locked(self, command: Command, invocation: Invocation) -> str:
        async with self.locks.hold(command.name):
            log.info("Acquired lock for command %s", command.name)
            try:
                self.ran += 1
                return await command.run(invocation)
            except CommandError as exc:
                return str(exc)
            except Exception:
                log.exception("command %s failed", command.name)
                return f"Sorry, {invocation.host.settings.prefix}{command.name} failed."
            finally:
                log.info("Released command lock for %s", command.name)

    def _find(self, name: str, settings: RuntimeConfig) -> Command | None:
        command = built_in().get(name)
        if command is None:
            custom = next((custom for custom in settings.commands if custom.name == name), None)
            command = make_custom(custom, self._bot_id, self._web) if custom else None
        return command


def split(text: str, prefix: str) -> tuple[str, str]:
    """The command in a text, in lower case, and its arguments; ("", "") for none."""
    if not text.startswith(prefix):
        return "", ""
    words = text[len(prefix) :].split(maxsplit=1)
    return (words[0].lower(), words[1].strip() if len(words) > 1 else "") if words else ("", "")


def is_owner(message: Incoming, settings: RuntimeConfig) -> bool:
    """Whether the account itself or one of its owners wrote this, and on the phone unless linked devices count as well.

    A linked device may be another bot, which repeats what strangers write.
    """
    if message.device != PHONE and not settings.owners_on_linked_devices:
        return False
    return message.from_me or (message.sender_number is not None and message.sender_number in settings.owners)
