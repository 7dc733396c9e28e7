"""What the tests of the simulator share: bots that are started, linked and ended together."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whatsapp_simulator.testing import BotProcess, SimulatorClient


@dataclass(frozen=True, slots=True)
class Bots:
    """Starts bots; each test has phone numbers of its own."""

    folder: Path
    environment: dict[str, str]
    client: SimulatorClient
    running: list[BotProcess]

    async def start(self, phone: str, *options: str) -> BotProcess:
        """Start the bot of this phone, with the session that it has, if any."""
        bot = await BotProcess.start(self.folder / f"{phone}.db", self.environment, *options)
        self.running.append(bot)
        return bot

    async def paired(self, phone: str, *options: str) -> BotProcess:
        """Start a bot, link it by QR code, and wait until it is connected."""
        bot = await self.start(phone, *options)
        await self.client.scan(phone, (await bot.wait_for("qr"))["qr"])
        await bot.wait_for("connected")
        return bot

    def forget(self, phone: str) -> None:
        """Delete the session of a phone's bot."""
        for file in self._files(phone):
            file.unlink()

    def keep(self, phone: str) -> None:
        """Put a copy of a bot's session aside."""
        for file in self._files(phone):
            shutil.copy(file, file.with_name("kept " + file.name))

    def restore(self, phone: str) -> None:
        """Go back to the session that was put aside."""
        self.forget(phone)
        for file in self.folder.glob(f"kept {phone}.db*"):
            file.rename(file.with_name(file.name.removeprefix("kept ")))

    def _files(self, phone: str) -> list[Path]:
        return list(self.folder.glob(f"{phone}.db*"))

    async def kill_all(self) -> None:
        """End them all with SIGKILL."""
        for bot in self.running:
            await bot.kill()


@dataclass(frozen=True, slots=True)
class Talk:
    """A bot (number) and a contact that wrote "hello" to it; hello: what the bot told of that."""

    client: SimulatorClient
    bot: BotProcess
    number: str
    contact: str
    hello: dict[str, Any]

    @property
    def contact_jid(self) -> str:
        """The contact's address by phone number."""
        return f"{self.contact}@s.whatsapp.net"


async def talk(bots: Bots, client: SimulatorClient, number: str, contact: str, *options: str) -> Talk:
    """Link a bot, and let a contact write to it."""
    bot = await bots.paired(number, *options)
    await client.create_contact(contact, "Anna")
    await client.send(contact, number, "hello")
    return Talk(client, bot, number, contact, await bot.wait_for("message", text="hello"))
