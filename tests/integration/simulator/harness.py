"""Shared helpers of the simulator tests: start, link and stop bots."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whatsapp_simulator.testing import BotProcess, SimulatorClient


@dataclass(frozen=True, slots=True)
class Bots:
    """Starts bots; each test uses its own phone numbers."""

    folder: Path
    environment: dict[str, str]
    client: SimulatorClient
    running: list[BotProcess]

    async def start(self, phone: str, *options: str) -> BotProcess:
        """Start the bot of this phone, with its existing session, if any."""
        bot = await BotProcess.start(self.folder / f"{phone}.db", self.environment, *options)
        self.running.append(bot)
        return bot

    async def start_linked(self, phone: str, *options: str) -> BotProcess:
        """Start a bot, link it by QR code, and wait until it is connected."""
        bot = await self.start(phone, *options)
        await self.client.scan(phone, (await bot.wait_for("qr"))["qr"])
        await bot.wait_for("connected")
        return bot

    def delete_session(self, phone: str) -> None:
        """Delete the session of a bot."""
        for file in self._files(phone):
            file.unlink()

    def back_up_session(self, phone: str) -> None:
        """Back up the session of a bot."""
        for file in self._files(phone):
            shutil.copy(file, file.with_name("backup " + file.name))

    def restore_session(self, phone: str) -> None:
        """Restore the session from its backup."""
        self.delete_session(phone)
        for file in self.folder.glob(f"backup {phone}.db*"):
            file.rename(file.with_name(file.name.removeprefix("backup ")))

    def _files(self, phone: str) -> list[Path]:
        return list(self.folder.glob(f"{phone}.db*"))

    async def kill_all(self) -> None:
        """Kill all bots with SIGKILL."""
        for bot in self.running:
            await bot.kill()


@dataclass(frozen=True, slots=True)
class ChatPair:
    """A bot (number) and a contact that wrote "hello" to it; hello: the bot's event for that message."""

    client: SimulatorClient
    bot: BotProcess
    number: str
    contact: str
    hello: dict[str, Any]

    @property
    def contact_jid(self) -> str:
        """The contact's phone-number address."""
        return f"{self.contact}@s.whatsapp.net"


async def create_pair(bots: Bots, client: SimulatorClient, number: str, contact: str, *options: str) -> ChatPair:
    """Link a bot, and send it a message from a contact."""
    bot = await bots.start_linked(number, *options)
    await client.create_contact(contact, "Anna")
    await client.send(contact, number, "hello")
    return ChatPair(client, bot, number, contact, await bot.wait_for("message", text="hello"))
