"""Three minutes of traffic while the parts of a fleet fail at random (`faults.py`); then a check of all messages.

Incoming: every text that a contact wrote is in `bot_events` exactly once. A SIGKILL can only lose a message that is
inside neonize at that very moment (docs/decisions/0011): such losses are counted and printed, must coincide with a
kill, and are limited to one in `KILLS_PER_LOSS` kills. No other message may be missing, and none may be recorded twice.

Outgoing: every message that the API accepted (202) is sent, and its text is in the contact's inbox exactly once. The
only other final states are `failed` with `outcome-unknown` and `sent` with `unconfirmed`, for a bot that was killed or
lost its connection while it handed the message to WhatsApp: the API reports them, and the text arrives at most once.

`BOTDOCK_CHAOS_SECONDS` sets the duration, `BOTDOCK_CHAOS_SEED` repeats a sequence of faults.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from docker.models.containers import Container

from tests.chaos.deaths import Deaths
from tests.chaos.faults import VOLUME_MAX_MB, inject
from tests.support.eventually import eventually
from tests.support.fleet import QUICK, Fleet
from tests.support.own_postgres import own_postgres

pytestmark = pytest.mark.docker

SECONDS = float(os.environ.get("BOTDOCK_CHAOS_SECONDS", "180"))
SEED = int(os.environ.get("BOTDOCK_CHAOS_SEED", "20261121"))
BOTS = {f"chaos-{number}": f"49170000090{number}" for number in range(4)}
CONTACTS = {bot: f"4915111109{number:02d}" for number, bot in enumerate(BOTS)}
HANDOVER_SECONDS = 2.0
"""How long before a SIGKILL a message may have been confirmed but not yet recorded; receipts have whole seconds."""
KILLS_PER_LOSS = 20
UNKNOWN = {("failed", "outcome-unknown"), ("sent", "unconfirmed")}
"""States and reasons of messages whose delivery is unknown."""
PAUSE_SECONDS = 0.5
"""Seconds between two messages of one bot in each direction: below the rate limit of this test (see `fleet`)."""


@dataclass
class Ledger:
    """Every message of the run, in both directions."""

    received: dict[str, dict[str, tuple[str, float]]] = field(default_factory=lambda: {bot: {} for bot in BOTS})
    """By bot, of messages from contacts: WhatsApp id → text and time of writing (Unix time)."""
    accepted: dict[str, dict[str, str]] = field(default_factory=lambda: {bot: {} for bot in BOTS})
    """By bot, of messages accepted by the API: message id → text."""


@pytest.fixture
def postgres() -> Iterator[tuple[Container, str]]:
    """A Postgres that the test may kill, and its URL."""
    with own_postgres() as running:
        yield running


@pytest.fixture
def fleet(postgres: tuple[Container, str], tmp_path: Path) -> Iterator[Fleet]:
    """Four paired bots without an effective rate limit."""
    from orchestrator.db.migrate import migrate_when_reachable
    from orchestrator.settings import Settings

    url = postgres[1]
    key = migrate_when_reachable(Settings(database_url=url)).first_key
    assert key is not None
    settings = {**QUICK, "VOLUME_MAX_MB": str(VOLUME_MAX_MB)}
    with Fleet(database_url=url, admin_key=key, logs=tmp_path, settings=settings, rate_limit=10_000) as fleet:
        fleet.start()
        for bot, phone in BOTS.items():
            fleet.online(bot, phone)
        yield fleet


@pytest.fixture
def deaths(fleet: Fleet) -> Iterator[Deaths]:
    """Records kills from before the first fault."""
    deaths = Deaths(fleet.server, BOTS)
    yield deaths
    deaths.close()


def test_no_message_is_lost_or_duplicated(fleet: Fleet, postgres: tuple[Container, str], deaths: Deaths) -> None:
    print(f"seed {SEED}, {SECONDS:.0f} s")
    ledger, end = Ledger(), time.monotonic() + SECONDS
    works = [partial(work, fleet, bot, ledger, end) for bot in BOTS for work in (_contact_writes, _api_sends)]
    with ThreadPoolExecutor(len(works) + 1) as pool:
        running = [pool.submit(work) for work in (*works, partial(_keep_started, fleet, end))]
        faults = inject(fleet, postgres[0], BOTS, random.Random(SEED), end)
        for work in running:
            work.result(120)
    print(f"faults: {dict(faults)}")

    for bot in BOTS:
        eventually(partial(_start, fleet, bot), deadline=120, what="the api")
    for bot in BOTS:
        fleet.wait_phase(bot, "online", deadline=240)
    for bot in BOTS:
        _check_outgoing(fleet, bot, ledger.accepted[bot])
    lost = [text for bot in BOTS for text in _check_incoming(fleet, bot, ledger.received[bot], deaths.killed[bot])]
    kills = sum(map(len, deaths.killed.values()))
    print(f"{kills} SIGKILLs of bots, {len(lost)} messages lost with them: {lost}")
    assert len(lost) <= max(1, kills // KILLS_PER_LOSS)


def _start(fleet: Fleet, bot: str) -> bool:
    """Start a bot by the API: after so many crashes the restart policy would delay it for minutes."""
    try:
        return fleet.request("POST", f"/api/bots/{bot}/start", timeout=10).is_success
    except httpx.HTTPError:
        return False


def _keep_started(fleet: Fleet, end: float) -> None:
    """Start bots that wait for a restart, so that there is always something to kill."""
    while time.monotonic() < end:
        for bot in BOTS:
            _start(fleet, bot)
        time.sleep(5)


def _contact_writes(fleet: Fleet, bot: str, ledger: Ledger, end: float) -> None:
    number = 0
    while time.monotonic() < end:
        number += 1
        text = f"in {bot} {number}"
        now = time.time()
        ledger.received[bot][fleet.phones.write(CONTACTS[bot], BOTS[bot], text)] = text, now
        time.sleep(PAUSE_SECONDS)


def _api_sends(fleet: Fleet, bot: str, ledger: Ledger, end: float) -> None:
    number = 0
    while time.monotonic() < end:
        number += 1
        text = f"out {bot} {number}"
        # Like a careful client: the same key for every retry, so that a retry does not create a second message.
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
        time.sleep(PAUSE_SECONDS)


def _check_outgoing(fleet: Fleet, bot: str, accepted: dict[str, str]) -> None:
    def unsettled() -> list[str]:
        with psycopg.connect(fleet.database_url) as connection:
            rows = connection.execute(
                "SELECT id FROM messages "
                "WHERE bot_key = (SELECT key FROM bots WHERE id = %s) AND state IN ('queued', 'sending')",
                [bot],
            )
            return [row[0] for row in rows]

    eventually(unsettled, lambda left: not left, deadline=300, what=f"{bot}: all messages to be sent")
    with psycopg.connect(fleet.database_url) as connection:
        rows = connection.execute(
            "SELECT id, state, reason FROM messages WHERE bot_key = (SELECT key FROM bots WHERE id = %s)", [bot]
        ).fetchall()
    states = {row[0]: (row[1], row[2]) for row in rows}
    assert set(states) == set(accepted), "one row per accepted message, and no other"
    arrived = Counter(item["text"] for item in fleet.phones.inbox(CONTACTS[bot]) if item["from"] == BOTS[bot])
    unknown = 0
    for message, text in accepted.items():
        state, reason = states[message]
        if (state, reason) in UNKNOWN:
            assert arrived[text] <= 1
            unknown += 1
        else:
            assert state != "failed", (text, reason)
            assert arrived[text] == 1, f"{text!r} ({state}) arrived {arrived[text]} times"
    print(f"{bot}: {len(accepted)} out, {unknown} with unknown outcome")


def _check_incoming(fleet: Fleet, bot: str, received: dict[str, tuple[str, float]], killed: list[float]) -> list[str]:
    """The texts that a SIGKILL lost; fails for any other that is missing, and for one that is recorded twice."""

    def recorded() -> Counter[str]:
        with psycopg.connect(fleet.database_url) as connection:
            rows = connection.execute(
                "SELECT message ->> 'id' FROM bot_events, jsonb_array_elements(data -> 'messages') AS message "
                "WHERE bot_key = (SELECT key FROM bots WHERE id = %s) AND type = 'message-upsert'",
                [bot],
            )
            return Counter(row[0] for row in rows)

    def confirmed() -> dict[str, float]:
        """When the bot confirmed each message (Unix time, in whole seconds)."""
        receipts = [item for item in fleet.phones.receipts(CONTACTS[bot]) if item["kind"] == "delivered"]
        return {item["id"]: datetime.fromisoformat(item["timestamp"]).timestamp() for item in receipts}

    def in_flight(message: str, at: float) -> bool:
        """Whether a SIGKILL came between the writing of a message and shortly after its confirmation."""
        return any(received[message][1] <= kill <= at + HANDOVER_SECONDS for kill in killed)

    def unexplained() -> list[str]:
        seen, at = recorded(), confirmed()
        missing = [message for message in received if seen[message] == 0]
        return [
            f"{received[message][0]!r}, written at {received[message][1]:.1f}, confirmed at {at.get(message)}"
            for message in missing
            if message not in at or not in_flight(message, at[message])
        ]

    print(f"{bot}: killed at {[f'{kill:.1f}' for kill in killed]}")
    eventually(unexplained, lambda left: not left, deadline=120, what=f"{bot}: all messages that were written to it")
    seen = recorded()
    duplicated = {message: count for message, count in seen.items() if count > 1}
    assert not duplicated
    lost = [text for message, (text, _) in received.items() if seen[message] == 0]
    print(f"{bot}: {len(received)} in, {len(lost)} lost")
    return lost
