"""A bot's history: every type of event, replay without gaps while its surroundings are killed, and heartbeats."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from docker.models.containers import Container

from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.live_bot import LiveBot
from tests.support.own_postgres import own_postgres

pytestmark = pytest.mark.docker

WRITE_PAUSE, POLL_PAUSE = 0.05, 0.02
MARGIN = 10
"""Messages that must arrive between two faults."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[tuple[Container, str]]:
    """A Postgres server that the test may kill."""
    with own_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def fleet(postgres: tuple[Container, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet on that server."""
    from orchestrator.db.migrate import migrate_when_reachable
    from orchestrator.settings import Settings

    url = postgres[1]
    key = migrate_when_reachable(Settings(database_url=url)).first_key
    assert key is not None
    logs: Path = tmp_path_factory.mktemp("events")
    with Fleet(database_url=url, admin_key=key, logs=logs) as fleet:
        fleet.start()
        yield fleet


@pytest.fixture(scope="module")
def bot(fleet: Fleet) -> LiveBot:
    """One online bot, shared by the tests of the module."""
    return LiveBot(fleet, "events", "491700001301")


class InBackground:
    """Repeats a step in a thread until it is stopped; `stop` re-raises its exception."""

    def __init__(self, step: Callable[[], None], *, pause: float) -> None:
        self._ended = threading.Event()
        self._error: BaseException | None = None

        def work() -> None:
            try:
                while not self._ended.is_set():
                    step()
                    self._ended.wait(pause)
            except BaseException as exc:  # noqa: BLE001, RUF100 - it is raised where the test waits
                self._error = exc

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._ended.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error


class Follower:
    """A client that follows a bot's history by `?after=` and resumes at its cursor after each failure."""

    def __init__(self, bot: LiveBot) -> None:
        self._bot = bot
        self._cursor = "0"
        self.events: list[dict[str, Any]] = []
        self.failures = 0

    def look(self) -> None:
        """Request the next page."""
        try:
            answer = self._bot.fleet.request("GET", f"{self._bot.path}/events?after={self._cursor}&limit=50", timeout=5)
        except httpx.HTTPError:
            self.failures += 1
            return
        if answer.status_code == 503:
            self.failures += 1
            return
        page = answer.raise_for_status().json()
        self.events += page["items"]
        self._cursor = page["next"]

    def texts(self) -> list[str]:
        """The texts of the messages received so far, in order."""
        messages = [event["data"]["messages"][0] for event in list(self.events) if event["type"] == "message-upsert"]
        return [message["text"] for message in messages]


class Writer:
    """A contact that writes numbered texts to a bot."""

    def __init__(self, bot: LiveBot) -> None:
        self._bot = bot
        self._contact = bot.contact()
        self.texts: list[str] = []

    def write(self) -> None:
        """Write the next text."""
        text = f"text {len(self.texts) + 1}"
        self._bot.write(self._contact, text)
        self.texts.append(text)


def test_a_follower_misses_nothing_while_everything_is_killed_and_restarted(
    bot: LiveBot, postgres: tuple[Container, str]
) -> None:
    fleet, writer, follower = bot.fleet, Writer(bot), Follower(bot)
    writing = InBackground(writer.write, pause=WRITE_PAUSE)
    following = InBackground(follower.look, pause=POLL_PAUSE)

    def more_arrive() -> None:
        """Wait until messages written from now on have been received, so that each fault happens during traffic."""
        enough = len(writer.texts) + MARGIN
        eventually(lambda: len(follower.texts()), lambda seen: seen >= enough, what="more to arrive")

    more_arrive()
    fleet.apis[-1].kill()
    fleet.start_api()
    more_arrive()
    fleet.controllers[-1].kill()
    fleet.start_controller()
    more_arrive()
    postgres[0].kill("KILL")
    more_written = len(writer.texts) + MARGIN
    eventually(lambda: len(writer.texts), lambda written: written >= more_written, what="texts during the outage")
    postgres[0].start()
    more_arrive()
    writing.stop()
    eventually(follower.texts, lambda seen: len(seen) >= len(writer.texts), what="all so far")
    # A SIGKILL may lose a message that is inside neonize, so none is in flight here.
    fleet.container(bot.id).kill("KILL")
    for _ in range(MARGIN):
        writer.write()
    eventually(follower.texts, lambda seen: len(seen) >= len(writer.texts), what="the messages sent during the restart")
    fleet.wait_phase(bot.id, "online")
    following.stop()
    follower.look()

    assert follower.texts() == writer.texts, "each exactly once, in order"
    assert follower.failures > 0, "the api or Postgres was unavailable for a while"
    ids = [int(event["id"]) for event in follower.events]
    assert ids == sorted(set(ids))
    with psycopg.connect(fleet.database_url) as connection:
        rows = connection.execute(
            "SELECT id FROM bot_events WHERE bot_key = (SELECT key FROM bots WHERE id = %s) ORDER BY id", [bot.id]
        ).fetchall()
        duplicated = connection.execute(
            "SELECT spool_id, seq FROM bot_events WHERE spool_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1"
        ).fetchall()
    assert ids == [row[0] for row in rows][: len(ids)], "no gap, whatever was committed when"
    assert duplicated == []


def test_events_are_listed_newest_first_with_pagination(bot: LiveBot) -> None:
    everything = [event["id"] for event in bot.history()]
    first = bot.fleet.call("GET", f"{bot.path}/events?limit=20")
    assert [event["id"] for event in first["items"]] == everything[::-1][:20]
    assert len(bot.fleet.call("GET", f"{bot.path}/events")["items"]) == 20, "the default limit"
    older = bot.fleet.call("GET", f"{bot.path}/events?limit=20&next={first['next']}")
    assert [event["id"] for event in older["items"]] == everything[::-1][20:40]
    times = [datetime.fromisoformat(event["timestamp"]) for event in first["items"]]
    assert all(value.tzinfo is not None for value in times)


def test_the_runtime_keeps_the_last_hundred_events_in_memory(bot: LiveBot) -> None:
    ada = bot.contact()
    written = [bot.write(ada, f"number {number}") for number in range(110)]
    eventually(lambda: bot.recorded(written[-1]), what="the last one")
    assert bot.runtime("/health")["eventHistorySize"] == 100


def test_every_type_of_event_is_recorded(bot: LiveBot) -> None:
    fleet, phones, ada = bot.fleet, bot.fleet.phones, bot.contact()
    written = bot.write(ada, "hello")
    sent = bot.send(ada, message="hello, too")
    call = phones.say(ada, "calls", to=bot.phone)
    phones.act(ada, "typing", to=bot.phone, state="composing")
    group = phones.group(ada, bot.phone)
    expected: dict[str, Callable[[dict[str, Any]], object]] = {
        "message-upsert": lambda data: data["type"] == "notify" and data["messages"][0]["id"] == written,
        "message-ack": lambda data: data["messageIds"] == [sent["messageId"]] and data["state"] == "delivered",
        "presence-update": lambda data: data["presence"] == "composing" and data["id"],
        "call": lambda data: (data["id"], data["status"]) == (call, "offer"),
        "group-update": lambda data: data.get("group", {}).get("id") == group,
        "connection-update": lambda data: data["state"] == "online",
        "creds-update": lambda data: data["timestamp"],
        "connected": lambda data: data["phoneNumber"] == bot.phone,
        "qr": lambda data: data,
        "phase-change": lambda data: data["to"] == "online",
        "container-start": lambda data: data["containerId"],
        "container-exit": lambda data: data["reason"] == "killed",
    }

    def missing() -> list[str]:
        by_kind = [(event["type"], event["data"]) for event in bot.history()]
        return [kind for kind, fits in expected.items() if not any(k == kind and fits(data) for k, data in by_kind)]

    left = eventually(missing, lambda kinds: not kinds, what="an event of every type")
    assert left == []
    counts = Counter(event["type"] for event in bot.history())
    assert counts["qr"] == 1, "no restart needed a new QR code"
    assert fleet.status(bot.id)["phase"] == "online"


def test_a_heartbeat_comes_as_often_as_configured_and_reports_activity(bot: LiveBot) -> None:
    bot.configure(heartbeatIntervalSeconds=1)

    def heartbeat() -> datetime:
        health = bot.fleet.call("GET", "/api/bots/containers/health")[bot.id]
        assert health.keys() == {
            "containerId", "botStatus", "containerState", "isHealthy", "lastHeartbeat", "connectionAttempts",
            "credsLastUpdated", "eventHistorySize",
        }  # fmt: skip
        assert health["containerId"] == f"{bot.fleet.server}:{bot.id}"
        assert (health["botStatus"], health["containerState"], health["isHealthy"]) == ("online", "running", True)
        return datetime.fromisoformat(health["lastHeartbeat"])

    beats = [heartbeat()]
    for _ in range(2):
        beats.append(eventually(heartbeat, lambda beat: beat > beats[-1], what="another heartbeat"))
    assert time.time() - beats[-1].timestamp() < 60

    before = bot.runtime("/health")["lastActivity"]
    bot.ask(bot.contact(), ".ping")
    assert bot.runtime("/health")["lastActivity"] > before
    bot.configure(heartbeatIntervalSeconds=None)


def test_typing_notices_evict_no_message_while_no_controller_runs(bot: LiveBot) -> None:
    fleet, ada = bot.fleet, bot.contact()
    fleet.controllers[-1].stop()
    before = bot.runtime("/health")["events"]["lastSeq"]
    written = [bot.write(ada, f"kept {number}") for number in range(5)]
    fleet.phones.act(ada, "typing", to=bot.phone, times=11_000)
    spool = eventually(
        lambda: bot.runtime("/health")["events"],
        lambda events: events["lastSeq"] >= before + 11_005,
        what="all of the notices",
    )
    assert spool["dropped"] > 0
    controller = fleet.start_controller()

    def stored() -> list[str]:
        query = (
            "SELECT array_agg(data->'messages'->0->>'id' ORDER BY id) FROM bot_events "
            "WHERE bot_key = (SELECT key FROM bots WHERE id = %s) AND type = 'message-upsert' "
            "AND data->'messages'->0->>'text' LIKE 'kept %%'"
        )
        return bot.row(query)[0] or []

    assert eventually(stored, lambda ids: len(ids) == 5, what="the texts in Postgres") == written

    def reported() -> float:
        text = fleet.request("GET", f"{controller.url}/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("botdock_events_dropped_t"))

    assert eventually(reported, lambda count: count >= spool["dropped"], what="the metric")
    assert bot.row(
        "SELECT sum((data->>'count')::int) FROM bot_events "
        "WHERE bot_key = (SELECT key FROM bots WHERE id = %s) AND type = 'events-dropped'"
    )[0]
