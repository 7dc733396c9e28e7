"""Three minutes of traffic while bots, api, controller and Postgres are killed at random; then every message counts.

What came in: every text of a contact whose delivery the bot has confirmed to WhatsApp stands in `bot_events` exactly
once, and no text twice. One exception is known and held to its bounds: neonize confirms a message before it hands it
over (docs/decisions/0011), so what it confirmed within the last moment before a SIGKILL can be gone.

What went out: every message that the API accepted (202) is sent, and its text stands in the contact's inbox exactly
once; the only other end is `failed` with `outcome-unknown`, for a bot that was killed between handing a message to
WhatsApp and writing that down, and then it is there at most once.

`BOTDOCK_CHAOS_SECONDS` makes it longer, `BOTDOCK_CHAOS_SEED` repeats the order of faults.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import docker
import httpx
import psycopg
import pytest
from docker.models.containers import Container

from tests.conftest import POSTGRES_IMAGE
from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.processes import ServiceProcess, free_port

pytestmark = pytest.mark.docker

SECONDS = float(os.environ.get("BOTDOCK_CHAOS_SECONDS", "180"))
SEED = int(os.environ.get("BOTDOCK_CHAOS_SEED", "20261121"))
BOTS = {f"chaos-{number}": f"49170000090{number}" for number in range(4)}
CONTACTS = {bot: f"4915111109{number:02d}" for number, bot in enumerate(BOTS)}
HANDOVER_SECONDS = 2.0
"""How long before a SIGKILL a message may have been confirmed and not yet handed over by neonize."""
PAUSE = 0.5
"""Seconds between two messages of one bot in each direction: below its rate limit of the test (see `fleet`)."""


@dataclass
class Ledger:
    """What was put in, to be found again."""

    told: dict[str, dict[str, str]] = field(default_factory=lambda: {bot: {} for bot in BOTS})
    """By bot: WhatsApp id → text, of what contacts wrote."""
    accepted: dict[str, dict[str, str]] = field(default_factory=lambda: {bot: {} for bot in BOTS})
    """By bot: our message id → text, of what the API took."""
    killed: dict[str, list[float]] = field(default_factory=lambda: {bot: [] for bot in BOTS})
    """By bot: when it was killed (Unix time)."""


@pytest.fixture
def postgres() -> Iterator[tuple[Container, str]]:
    """A durable Postgres whose address stays the same when it is killed."""
    port = free_port()
    container = docker.from_env().containers.run(
        POSTGRES_IMAGE,
        environment={"POSTGRES_USER": "botdock", "POSTGRES_PASSWORD": "botdock", "POSTGRES_DB": "botdock"},
        ports={"5432/tcp": ("127.0.0.1", port)},
        detach=True,
    )
    try:
        yield container, f"postgresql://botdock:botdock@127.0.0.1:{port}/botdock"
    finally:
        container.remove(force=True, v=True)


@pytest.fixture
def fleet(postgres: tuple[Container, str], tmp_path: Path) -> Iterator[Fleet]:
    """Four paired bots that may send as much as the test wants."""
    from orchestrator.db.migrate import migrate_when_reachable
    from orchestrator.settings import Settings

    url = postgres[1]
    key = migrate_when_reachable(Settings(database_url=url)).first_key
    assert key is not None
    fleet = Fleet(database_url=url, admin_key=key, logs=tmp_path, rate_limit=10_000)
    try:
        fleet.start_controller()
        fleet.start_api()
        for bot, phone in BOTS.items():
            fleet.online(bot, phone)
        yield fleet
    finally:
        fleet.close()


def test_nothing_is_lost_and_nothing_is_doubled(fleet: Fleet, postgres: tuple[Container, str]) -> None:
    print(f"seed {SEED}, {SECONDS:.0f} s")
    ledger, end = Ledger(), time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=work, args=(fleet, bot, ledger, end), daemon=True)
        for bot in BOTS
        for work in (_contact_writes, _api_sends)
    ]
    for thread in threads:
        thread.start()
    faults = _harm(fleet, postgres[0], ledger, random.Random(SEED), end)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "traffic goes on"
    print(f"faults: {dict(faults)}")

    for bot in BOTS:
        # A person's start: after so many crashes the restart policy would let the bot wait for minutes.
        fleet.call("POST", f"/api/bots/{bot}/start")
        fleet.wait_phase(bot, "online", deadline=90)
    for bot in BOTS:
        _account_for_what_went_out(fleet, bot, ledger.accepted[bot])
        _account_for_what_came_in(fleet, bot, ledger.told[bot], ledger.killed[bot])


def _contact_writes(fleet: Fleet, bot: str, ledger: Ledger, end: float) -> None:
    number = 0
    while time.monotonic() < end:
        number += 1
        text = f"in {bot} {number}"
        ledger.told[bot][fleet.phones.write(CONTACTS[bot], BOTS[bot], text)] = text
        time.sleep(PAUSE)


def _api_sends(fleet: Fleet, bot: str, ledger: Ledger, end: float) -> None:
    number = 0
    while time.monotonic() < end:
        number += 1
        text = f"out {bot} {number}"
        # As a careful client does: the same key until there is an answer, so that a retry is not a second message.
        body, key = {"to": CONTACTS[bot], "message": text}, f"{bot}-{number}"
        while True:
            try:
                answer = fleet.request(
                    "POST", f"/api/bots/{bot}/messages", json=body, headers={"Idempotency-Key": key}, timeout=10
                )
                if answer.status_code in {200, 202}:
                    ledger.accepted[bot][answer.json()["id"]] = text
                    break
                assert answer.status_code == 503, answer.text
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        time.sleep(PAUSE)


def _harm(fleet: Fleet, postgres: Container, ledger: Ledger, chance: random.Random, end: float) -> Counter[str]:
    """Kill things until the end; what was done how often."""
    controller, api = fleet.controllers[-1], fleet.apis[-1]
    faults: Counter[str] = Counter()
    while time.monotonic() < end:
        time.sleep(chance.uniform(1.0, 4.0))
        kind = chance.choices(["bot", "bot-removed", "controller", "api", "postgres"], [8, 2, 3, 3, 1])[0]
        faults[kind] += 1
        match kind:
            case "bot" | "bot-removed":
                bot = chance.choice(list(BOTS))
                ledger.killed[bot].append(time.time())
                _kill_bot(fleet, bot, remove=kind == "bot-removed")
            case "controller":
                controller = _again(controller, lambda: fleet.start_controller(wait=False))
            case "api":
                api = _again(api, fleet.start_api_again)
            case "postgres":
                postgres.kill("KILL")
                time.sleep(chance.uniform(0.5, 3.0))
                postgres.start()
    return faults


def _kill_bot(fleet: Fleet, bot: str, *, remove: bool) -> None:
    try:
        container = fleet.container(bot)
        if remove:
            container.remove(force=True)
        else:
            container.kill("KILL")
    except docker.errors.APIError:
        pass  # it is down already


def _again(process: ServiceProcess, start: Callable[[], ServiceProcess]) -> ServiceProcess:
    process.kill()
    return start()


def _account_for_what_went_out(fleet: Fleet, bot: str, accepted: dict[str, str]) -> None:
    def unsettled() -> list[str]:
        with psycopg.connect(fleet.database_url) as connection:
            rows = connection.execute(
                "SELECT id FROM messages WHERE bot_id = %s AND state IN ('queued', 'sending')", [bot]
            )
            return [row[0] for row in rows]

    eventually(unsettled, lambda left: not left, deadline=120, what=f"{bot} to have sent all")
    with psycopg.connect(fleet.database_url) as connection:
        rows = connection.execute("SELECT id, state, reason FROM messages WHERE bot_id = %s", [bot]).fetchall()
    states = {row[0]: (row[1], row[2]) for row in rows}
    assert set(states) == set(accepted), "every accepted message has its row, and there is no other"
    arrived = Counter(item["text"] for item in fleet.phones.inbox(CONTACTS[bot]) if item["from"] == BOTS[bot])
    unknown = 0
    for message, text in accepted.items():
        state, reason = states[message]
        if state == "failed":
            assert reason == "outcome-unknown", (message, state, reason)
            assert arrived[text] <= 1
            unknown += 1
        else:
            assert arrived[text] == 1, f"{text!r} ({state}) arrived {arrived[text]} times"
    print(f"{bot}: {len(accepted)} out, {unknown} with unknown outcome")


def _account_for_what_came_in(fleet: Fleet, bot: str, told: dict[str, str], killed: list[float]) -> None:
    def recorded() -> Counter[str]:
        with psycopg.connect(fleet.database_url) as connection:
            rows = connection.execute(
                "SELECT message ->> 'id' FROM bot_events, jsonb_array_elements(data -> 'messages') AS message "
                "WHERE bot_id = %s AND type = 'message-upsert'",
                [bot],
            )
            return Counter(row[0] for row in rows)

    def confirmed() -> dict[str, float]:
        """When the bot confirmed each message (Unix time, in whole seconds)."""
        receipts = [item for item in fleet.phones.receipts(CONTACTS[bot]) if item["kind"] == "delivered"]
        return {item["id"]: datetime.fromisoformat(item["timestamp"]).timestamp() for item in receipts}

    def missing() -> dict[str, float]:
        seen = recorded()
        return {message: at for message, at in confirmed().items() if message in told and seen[message] == 0}

    def unexplained() -> dict[str, float]:
        return {
            told[message]: at
            for message, at in missing().items()
            if not any(at - 1 <= kill <= at + HANDOVER_SECONDS for kill in killed)
        }

    left = eventually(unexplained, lambda left: not left, deadline=60, what=f"{bot}: all that it confirmed")
    assert not left
    doubled = {message: count for message, count in recorded().items() if count > 1}
    assert not doubled
    unconfirmed = len(told.keys() - confirmed().keys())
    print(f"{bot}: {len(told)} in, {unconfirmed} never confirmed, {len(missing())} gone with a process that was killed")
