"""A bot without room for what arrives disconnects, so that WhatsApp keeps it, and loses nothing."""

import sqlite3
from contextlib import closing

from bot_runtime.room import SPOOL_BYTES
from bot_runtime.storage.spool import HISTORY
from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone


def texts(bot: RuntimeProcess, after: int = 0) -> list[str]:
    """The texts of the messages recorded after a number."""
    items = bot.get("/events", after=after, limit=500, spool=bot.health()["events"]["spoolId"])["items"]
    return [item["data"]["messages"][0]["text"] for item in items if item["type"] == "message-upsert"]


def test_a_bot_with_a_full_spool_stays_disconnected_until_it_is_fetched(start: Start, network: Network) -> None:
    bot, phone, contact = start(), new_phone(), new_phone()
    bot.pair(network, phone)
    bot.stop()
    with closing(sqlite3.connect(bot.directory / "runtime.db")) as store, store:
        megabyte = "INSERT INTO events (type, data, timestamp) VALUES ('error', ?, '2026-01-01T00:00:00+00:00')"
        store.executemany(megabyte, ((b'"%s"' % (b"x" * (1 << 20)),) for _ in range(SPOOL_BYTES >> 20)))
        store.executemany(megabyte, ((b"{}",) for _ in range(HISTORY)))
    network.write(contact, phone, "later")

    again = start()
    health = again.wait_for("spool-full")
    assert health["lastError"]["code"] == "spool-full"
    assert again.request("a", contact, "hello").status_code == 409
    last = health["events"]["lastSeq"]
    assert texts(again, after=last) == [], "fetched, so there is room"
    again.wait_for("online")
    eventually(lambda: texts(again, after=last), lambda found: found == ["later"])
