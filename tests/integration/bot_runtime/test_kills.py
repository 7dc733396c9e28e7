"""Arrivals are recorded exactly once even if the process is killed or stopped while it catches up."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone

ROUNDS = int(os.environ.get("BOTDOCK_TEST_KILLS", "5"))
BURST = 60
MESSAGE_BYTES = 300
"""The approximate size of a message in the journal."""
LOST_IN_A_HUNDRED = 5
"""Arrivals inside neonize at the time of a SIGKILL are lost (docs/decisions/0011); these kills aim at that time."""


def journal_bytes(bot: RuntimeProcess, seen: dict[Path, int]) -> int:
    """Bytes written to the journal, including removed files that are in `seen`."""
    for path in (bot.directory / "arrivals").glob("*"):
        with suppress(FileNotFoundError):
            seen[path] = max(seen.get(path, 0), path.stat().st_size)
    return sum(seen.values())


def wait_for_bytes(bot: RuntimeProcess, enough: int) -> None:
    """Wait until the bot is catching up: until `enough` bytes have arrived since its start, or nothing more arrives."""
    seen: dict[Path, int] = {}
    before = last = journal_bytes(bot, seen)
    end = time.monotonic() + 30
    while (now := journal_bytes(bot, seen)) - before < enough:
        if now > last:
            last, end = now, time.monotonic() + 1
        if time.monotonic() > end:
            assert last > before, bot.log.read_text()
            return


def recorded(bot: RuntimeProcess) -> Counter[str]:
    """How often each message has been recorded, by its text."""
    after, texts = 0, Counter[str]()
    while items := bot.get("/events", after=after, limit=500, spool=bot.health()["events"]["spoolId"])["items"]:
        texts.update(item["data"]["messages"][0]["text"] for item in items if item["type"] == "message-upsert")
        after = items[-1]["seq"]
    return texts


def through_bursts(start: Start, network: Network, end: Callable[[RuntimeProcess], object]) -> list[str]:
    """Send bursts to a bot that is offline, and `end` its process in the middle of each; returns unrecorded messages.

    Fails when anything is recorded twice.
    """
    chance, phone, contact = random.Random(3), new_phone(), new_phone()
    bot = start()
    bot.pair(network, phone)
    network.write(contact, phone, "first")
    eventually(lambda: bot.get("/stats")["messagesReceived"], bool)
    bot.stop()
    written = [f"{number}" for number in range(ROUNDS * BURST)]
    for first in range(0, len(written), BURST):
        for text in written[first : first + BURST]:
            network.write(contact, phone, text)
        bot = start()
        wait_for_bytes(bot, chance.randrange(1, 2 * BURST * MESSAGE_BYTES))
        end(bot)
    bot = start()
    bot.wait_for("online")
    network.write(contact, phone, "last")
    texts: Counter[str] = Counter()

    def all_there() -> bool:
        texts.update(recorded(bot))
        return texts["last"] > 0

    eventually(all_there, bool)
    assert max(texts.values()) == 1
    return [text for text in written if texts[text] == 0]


def test_repeated_kills_during_bursts_duplicate_nothing_and_lose_next_to_nothing(
    start: Start, network: Network
) -> None:
    lost = through_bursts(start, network, lambda bot: bot.kill())
    print(f"{ROUNDS} kills, {len(lost)} of {ROUNDS * BURST} lost")
    assert len(lost) <= ROUNDS * BURST * LOST_IN_A_HUNDRED / 100


def test_repeated_stops_during_bursts_neither_lose_nor_duplicate_messages(start: Start, network: Network) -> None:
    assert through_bursts(start, network, lambda bot: bot.stop()) == []


def test_journaled_arrivals_are_recorded_and_answered_by_the_next_process(start: Start, network: Network) -> None:
    bot, phone, contact = start(), new_phone(), new_phone()
    bot.pair(network, phone)
    network.write(contact, phone, ".ping")
    eventually(lambda: network.inbox(contact), bool)
    message_id = bot.events("message-upsert")[0]["data"]["messages"][0]["id"]
    bot.kill()
    (journal,) = (bot.directory / "arrivals").iterdir()
    with journal.open("r+b") as file:  # like a message whose process dies right after the callback
        file.write(file.read().replace(message_id.encode(), message_id[::-1].encode()))

    again = start()
    eventually(lambda: network.inbox(contact), lambda texts: texts == ["pong", "pong"])
    assert recorded(again)[".ping"] == 2
