"""Contacts that write to paired bots, in a separate process so that they do not disturb the measuring process."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from tests.benchmarks.world import World
from tests.support.processes import ROOT

FIRST_CONTACT = 491_511_500_000
SPARE_SECONDS = 60
_TIMES = """
    SELECT message ->> 'id', count(*) FROM bot_events, jsonb_array_elements(data -> 'messages') AS message
    WHERE bot_events.id > %s AND type = 'message-upsert' AND message ->> 'id' = ANY(%s) GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Written:
    """The messages that were written."""

    ids: tuple[str, ...]
    asked: int
    """How many of them were commands."""
    began: float
    ended: float
    """Unix times."""


class Traffic:
    """One contact per bot writes `rate` messages per second for `seconds` from the start of the block; `finish` waits
    for the end. Every `commands`-th message is `.ping`."""

    def __init__(self, world: World, bots: Iterable[str], *, rate: float, seconds: float, commands: int = 0) -> None:
        self._world = world
        phones = [world.phone(bot) for bot in bots]
        self.contacts = [str(FIRST_CONTACT + number) for number in range(len(phones))]
        self._seconds = seconds
        url = urlsplit(world.fleet.phones.url)
        self._order = {
            "host": url.hostname,
            "port": url.port,
            "pairs": list(zip(self.contacts, phones, strict=True)),
            "rate": rate,
            "seconds": seconds,
            "commands": commands,
        }

    def __enter__(self) -> Self:
        for contact in self.contacts:
            self._world.fleet.phones.post("/contacts", {"phone": contact})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.scripts.write"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._order) + "\n")
        self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def ended(self) -> bool:
        """Whether everything has been written."""
        return self._process.poll() is not None

    def finish(self) -> Written:
        """Wait for the end; the messages that were written."""
        output, _ = self._process.communicate(timeout=2 * self._seconds + SPARE_SECONDS)
        if self._process.returncode:
            raise RuntimeError(f"the writing process exited with {self._process.returncode}")
        found = json.loads(output)
        return Written(tuple(found["written"]), found["asked"], found["began"], found["ended"])


def newest_event(world: World) -> int:
    """The newest id in `bot_events`; 0 if there is none."""
    return count(world, "SELECT coalesce(max(id), 0) FROM bot_events")


def stored(world: World, newest: int, ids: Iterable[str]) -> dict[str, int]:
    """How often each of the messages was stored after the event `newest`; those that were not stored are missing."""
    return dict(world.sql.execute(_TIMES, [newest, list(ids)]).fetchall())


def count(world: World, query: str, *parameters: int) -> int:
    """The number that an aggregate returns."""
    row = world.sql.execute(query.encode(), parameters).fetchone()
    assert row is not None, "an aggregate always answers"
    return int(row[0])
