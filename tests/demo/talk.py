"""The demo's conversation: a person writes to the bots, and they answer and send messages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import segno

from tests.demo.fleet import Botdock, Phones, wait_for
from tests.demo.terminal import Terminal

ANSWER_SECONDS = 30
LIVE_SECONDS = 30

PERSON, PERSON_PHONE = "Ana", "351910000000"
COMMAND, REPLY = "hours", "open from nine to five, {name}"
CAPTION = "our door code"
SUBJECT = "Demo group"


@dataclass(frozen=True, slots=True)
class DemoBot:
    """One of the demo's bots and its phone number."""

    id: str
    phone: str


class Talk:
    """One person's conversation with the bots, printed as it happens."""

    def __init__(self, terminal: Terminal, api: Botdock, phones: Phones) -> None:
        self._terminal = terminal
        self._api = api
        self._phones = phones

    def says(self, bot: DemoBot, text: str, *, chat: str | None = None, seconds: float = ANSWER_SECONDS) -> str:
        """Write to the bot, directly or in a group, and print its answer."""
        after = self._phones.inbox_end(PERSON_PHONE)
        began = time.monotonic()
        self._phones.write(PERSON_PHONE, chat or bot.phone, text)
        answer = self._wait(
            bot, lambda: self._phones.arrived(PERSON_PHONE, sender=bot.phone, after=after, chat=chat), seconds
        )["text"]
        where = "" if chat is None else f" in {SUBJECT!r}"
        took = (time.monotonic() - began) * 1000
        self._terminal.say(f"  {PERSON} → {bot.id}{where}: {text}   {bot.id} → {PERSON}: {answer}   ({took:.0f} ms)")
        return str(answer)

    def custom_command(self, bot: DemoBot) -> None:
        """Create a command through the API and use it: it works without a restart."""
        self._api.custom_command(bot.id, COMMAND, REPLY)

        def answered() -> bool | None:
            after = self._phones.inbox_end(PERSON_PHONE)
            self._phones.write(PERSON_PHONE, bot.phone, f".{COMMAND}")
            return self._phones.arrived(PERSON_PHONE, sender=bot.phone, after=after) is not None or None

        # The bot does not answer a command that has not reached it yet.
        wait_for(f"bot {bot.id} to know .{COMMAND}", answered, seconds=LIVE_SECONDS, otherwise=self._advice)
        self.says(bot, f".{COMMAND}")

    def image(self, bot: DemoBot) -> None:
        """Send an image through the API, and print what arrived."""
        after = self._phones.inbox_end(PERSON_PHONE)
        image = BytesIO()
        segno.make("botdock").save(image, kind="png", scale=6)
        state = self._api.send_image(bot.id, PERSON_PHONE, image.getvalue(), CAPTION)
        item = self._wait(
            bot,
            lambda: self._phones.arrived(PERSON_PHONE, sender=bot.phone, after=after, kind="image"),
            ANSWER_SECONDS,
        )
        media = item["media"]
        what = f"{media['mimetype']}, {media['size']} bytes, {item['text']!r}"
        self._terminal.say(f"  {bot.id} → {PERSON}: an image, {what}   ({state})")

    def group(self, bot: DemoBot) -> None:
        """Write in a group that the bot is a member of."""
        chat = self._phones.group(PERSON_PHONE, SUBJECT, [bot.phone])
        self.says(bot, ".ping", chat=chat)

    def _wait(self, bot: DemoBot, look: Callable[[], dict[str, Any] | None], seconds: float) -> dict[str, Any]:
        return wait_for(f"an answer of bot {bot.id}", look, seconds=seconds, otherwise=self._advice)

    def _advice(self) -> str:
        return "see 'docker logs' of its container ('make ps' lists them)"
