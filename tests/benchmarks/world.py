"""The fleet that is measured, with production settings, its database, and access to the bare engine."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg

from orchestrator.settings import Settings
from tests.benchmarks.bare import Bare
from tests.support.eventually import eventually
from tests.support.fleet import BOT_IMAGE, PROXY_PORT, Fleet
from tests.support.own_engine import OwnEngine
from tests.support.processes import ServiceProcess

PAIRING_THREADS = 6
FIRST_PHONE = 491_700_100_000


class World:
    """One server with its controller, api and simulator. Leaving the block removes all of it."""

    def __init__(
        self,
        *,
        database_url: str,
        admin_key: str,
        logs: Path,
        engine: OwnEngine | None = None,
    ) -> None:
        """Uses an engine of its own or the shared one. Starts the simulator; entering the block starts the rest."""
        self.admin_key = admin_key
        self.fleet = Fleet(
            database_url=database_url,
            admin_key=admin_key,
            logs=logs,
            settings={"BOTCOUNT": "200", "ANSWERS_PER_CHAT": "100000", "ANSWERS_PER_BOT": "100000"},
            engine=engine,
        )
        self.server = self.fleet.server
        self.sql = psycopg.connect(database_url, autocommit=True)
        settings: dict[str, Any] = {} if engine is None else {"docker_host": engine.host}
        self.bare = Bare(
            Settings(
                database_url=database_url,
                server_name=self.server,
                bot_image=BOT_IMAGE,
                bot_https_proxy=f"http://{'simulator' if engine is None else engine.address}:{PROXY_PORT}",
                **settings,
            )
        )
        self._simulator = httpx.Client(base_url=self.fleet.phones.url, timeout=30, trust_env=False)
        self._phones: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self.controller: ServiceProcess = self.fleet.start_controller()
            self.fleet.start_api()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything of this server."""
        with ExitStack() as stack:
            stack.callback(self.fleet.close)
            stack.callback(self.bare.close)
            stack.callback(self.bare.clear)
            stack.callback(self.sql.close)
            stack.callback(self._simulator.close)
            stack.callback(self.controller_gone)

    def controller_gone(self) -> None:
        """Kill the controller, so that it does not recreate what is being removed."""
        controller: ServiceProcess | None = getattr(self, "controller", None)
        if controller is not None:
            controller.kill()

    # Bots, by SQL

    def add(self, bots: Iterable[str]) -> None:
        """Create unapproved bots and wait until the controller has noticed them."""
        names = list(bots)
        with self.sql.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO bots (id, server_name, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [(bot, self.server, f"Bot {bot}") for bot in names],
            )
        self.wait_noticed(names)

    def approve(self, bots: Iterable[str]) -> None:
        """Approve bots with one statement."""
        self.sql.execute("UPDATE bots SET approval_status = 'approved' WHERE id = ANY(%s)", [list(bots)])

    def set_desired_state(self, bots: Iterable[str], state: str) -> None:
        """Set the desired state of bots: running or stopped."""
        self.sql.execute("UPDATE bots SET desired_state = %s WHERE id = ANY(%s)", [state, list(bots)])

    def forgive(self, bots: Iterable[str]) -> None:
        """Clear the restart history, so that the next failure is the first again."""
        names = list(bots)
        self.sql.execute("UPDATE bots SET generation = generation + 1 WHERE id = ANY(%s)", [names])
        self.wait_noticed(names)

    def delete(self, bots: Iterable[str]) -> None:
        """Delete bots with container and volume, and wait until they are gone."""
        names = list(bots)
        self.sql.execute("UPDATE bots SET deleting = true WHERE id = ANY(%s)", [names])
        self._wait_none("SELECT count(*) FROM bots WHERE id = ANY(%s)", names, what="the removal of the bots")

    def wait_noticed(self, bots: Iterable[str]) -> None:
        """Wait until the controller has acted on the present rows of the bots."""
        self._wait_none(
            "SELECT count(*) FROM bots JOIN bot_status ON bot_key = key "
            "WHERE id = ANY(%s) AND observed_generation <> generation",
            bots,
            what="the controller to notice",
        )

    def wait_phase(self, bots: Iterable[str], *phases: str, deadline: float = 90) -> None:
        """Wait until all of the bots are in one of the phases."""
        listed = ", ".join(f"'{phase}'" for phase in phases)
        self._wait_none(
            f"SELECT count(*) FROM bot_status "
            f"WHERE bot_key = ANY(SELECT key FROM bots WHERE id = ANY(%s)) AND phase NOT IN ({listed})",
            bots,
            what=f"the bots to be {' or '.join(phases)}",
            deadline=deadline,
        )

    def _wait_none(self, count: str, bots: Iterable[str], *, what: str, deadline: float = 90) -> None:
        names = list(bots)

        def left() -> int:
            row = self.sql.execute(count.encode(), [names]).fetchone()
            assert row is not None, "count(*) always answers"
            return int(row[0])

        eventually(left, lambda number: number == 0, deadline=deadline, what=what)

    # Paired bots

    def paired(self, number: int) -> list[str]:
        """That many paired bots that are online: existing ones first, then new ones."""
        bots = [f"pair-{index:03}" for index in range(number)]
        new = [bot for bot in bots if bot not in self._phones]
        if new:
            self.add(new)
            self.approve(new)
            phones = [str(FIRST_PHONE + int(bot[-3:])) for bot in new]
            with ThreadPoolExecutor(PAIRING_THREADS) as pool:
                list(pool.map(self.fleet.pair, new, phones))
            self._phones.update(zip(new, phones, strict=True))
        return bots

    def phone(self, bot: str) -> str:
        """The number of a paired bot's phone."""
        return self._phones[bot]

    def online_since(self) -> Mapping[str, float]:
        """By bot: when WhatsApp accepted its login, as a Unix time by this machine's clock."""
        items = self._simulator.get("/accounts").raise_for_status().json()["items"]
        bots = {phone: bot for bot, phone in self._phones.items()}
        return {
            bots[item["phone"]]: datetime.fromisoformat(device["connectedSince"]).timestamp()
            for item in items
            for device in item["devices"]
            if device["connected"] and item["phone"] in bots
        }

    def wait_online(self, bots: Iterable[str], *, after: float, deadline: float = 90) -> dict[str, float]:
        """Wait until all of the bots have connected after a given time; when each did. Unix times."""
        expected = set(bots)
        seen = eventually(
            lambda: {bot: since for bot, since in self.online_since().items() if bot in expected and since > after},
            lambda seen: len(seen) == len(expected),
            deadline=deadline,
            what=f"{len(expected)} bots to be online",
        )
        return dict(seen)

    # The controller

    def restart_controller(self, **settings: str) -> float:
        """Stop the controller and start another one; seconds from its exec until it has adopted the running bots."""
        self.controller.stop()
        began = time.monotonic()
        self.controller = self.fleet.start_controller(wait=False, **settings)
        log = self.controller.log
        while "adopted " not in log.read_text():
            assert time.monotonic() - began < 60, f"nothing was adopted: {self.controller.tail()}"
            time.sleep(0.002)
        return time.monotonic() - began

    def metric(self, name: str) -> float:
        """The sum of one of the controller's own counters over its labels."""
        headers = {"X-Api-Key": self.admin_key}
        text = httpx.get(f"{self.controller.url}/metrics", headers=headers, timeout=10, trust_env=False)
        lines = text.raise_for_status().text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))
