"""A bot without room for what arrives disconnects, so that WhatsApp keeps it, and loses nothing."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot_runtime.contract import ExitCode
from bot_runtime.room import SPOOL_BYTES
from bot_runtime.storage.spool import HISTORY
from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, eventually, new_phone


class SmallDisk:
    """A file system of 32 MiB, on which the volume of a test's runtimes is."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(path)], check=True)
        self._path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave not a single byte."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 12))
            except OSError:
                assert os.statvfs(self._path).f_bavail == 0

    def make_room(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self._path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """The disk of the test's runtimes."""
    if os.geteuid() != 0:
        pytest.skip("mounts a file system, which needs root")
    with closing(SmallDisk(tmp_path / "auth")) as disk:
        yield disk


@pytest.fixture
def bot(disk: SmallDisk, start: Start, network: Network, phone: str) -> RuntimeProcess:
    """A bot on that disk that is online."""
    bot = start()
    bot.pair(network, phone)
    return bot


@pytest.fixture
def phone() -> str:
    return new_phone()


def texts(bot: RuntimeProcess, after: int = 0) -> list[str]:
    """The texts of the messages recorded after a number."""
    items = bot.get("/events", after=after, limit=500, spool=bot.health()["events"]["spoolId"])["items"]
    return [item["data"]["messages"][0]["text"] for item in items if item["type"] == "message-upsert"]


def test_a_bot_on_a_full_disk_disconnects_and_recovers_by_itself(
    disk: SmallDisk, bot: RuntimeProcess, network: Network, phone: str, contact: str
) -> None:
    boot = bot.health()["bootId"]
    network.write(contact, phone, "before")
    eventually(lambda: texts(bot), lambda found: found == ["before"])
    disk.fill()
    health = bot.wait_for("disk-full")
    assert health["lastError"]["code"] == "disk-full"
    network.write(contact, phone, "meanwhile")
    assert texts(bot) == ["before"], "what is stored can be fetched"
    assert bot.client.put("/config", json={"generation": 2}).status_code == 507

    disk.make_room()
    health = bot.wait_for("online")
    assert (health["bootId"], health["phoneNumber"]) == (boot, phone)
    network.write(contact, phone, ".ping")
    eventually(lambda: texts(bot), lambda found: found == ["before", "meanwhile", ".ping"])
    eventually(lambda: network.inbox(contact), lambda answers: answers == ["pong"])
    assert "disk-full" in [event["data"]["code"] for event in bot.events("error")]
    states = [event["data"]["state"] for event in bot.events("connection-update")]
    assert states[-3:] == ["disk-full", "connecting", "online"]


def test_no_message_is_lost_when_the_disk_becomes_full_during_a_burst(
    disk: SmallDisk, bot: RuntimeProcess, network: Network, phone: str, contact: str
) -> None:
    written = [f"{number}" for number in range(120)]
    for number, text in enumerate(written):
        if number == 40:
            disk.fill()
        network.write(contact, phone, text)
    bot.wait_for("disk-full")
    disk.make_room()
    bot.wait_for("online")
    found = eventually(lambda: texts(bot), lambda found: len(found) >= len(written))
    assert sorted(found, key=int) == written


def test_a_bot_that_starts_on_a_full_disk_keeps_its_session_and_connects_when_there_is_room(
    disk: SmallDisk, bot: RuntimeProcess, start: Start, network: Network, phone: str, contact: str
) -> None:
    network.write(contact, phone, "before")
    eventually(lambda: texts(bot), bool)
    bot.kill()
    disk.fill()
    network.write(contact, phone, "meanwhile")
    again = start()
    again.wait_for("disk-full")
    disk.make_room()
    assert again.wait_for("online")["phoneNumber"] == phone
    eventually(lambda: texts(again), lambda found: found == ["before", "meanwhile"])
    assert not list(again.directory.glob("*.damaged"))


def test_a_new_bot_without_room_for_its_files_ends_with_a_code_of_its_own(disk: SmallDisk, start: Start) -> None:
    disk.fill()
    bot = start()
    assert bot.process.wait(60) == ExitCode.DISK_FULL
    disk.make_room()
    start().wait_for("pairing")


def test_a_bot_with_a_full_spool_stays_disconnected_until_it_is_fetched(
    start: Start, network: Network, phone: str, contact: str
) -> None:
    bot = start()
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


def test_a_store_that_becomes_damaged_is_replaced_by_the_next_process(
    start: Start, network: Network, phone: str, contact: str
) -> None:
    bot = start()
    bot.pair(network, phone)
    bot.stop()
    with closing(sqlite3.connect(bot.directory / "runtime.db")) as store:
        (page,) = store.execute("SELECT rootpage FROM sqlite_master WHERE name = 'recent'").fetchone()
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (bot.directory / "runtime.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    network.write(contact, phone, "one")
    damaged = start()
    assert damaged.process.wait(60) == ExitCode.INTERNAL_ERROR
    again = start()
    eventually(lambda: texts(again), lambda found: found == ["one"])
    assert again.health()["phoneNumber"] == phone
    assert (again.directory / "runtime.damaged").exists()
