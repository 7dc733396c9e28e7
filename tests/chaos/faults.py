"""What goes wrong: processes are killed or freeze, bots hang, the network is cut, rows are locked, volumes are full."""

import random
import time
from collections import Counter
from collections.abc import Mapping

import docker
import httpx
import psycopg
from docker.models.containers import Container

from tests.support.fleet import BOT_IMAGE, QUICK, Fleet
from tests.support.network_cut import cut

FAULTS = {
    "bot killed": 6,
    "bot removed": 2,
    "bot hung": 1,
    "bot stopped": 1,
    "bot's volume full": 2,
    "bot restarted by Docker": 2,
    "bot restarted by the API": 2,
    "connection dropped": 1,
    "controller killed": 3,
    "controller frozen": 1,
    "controller cut off": 1,
    "api killed": 3,
    "postgres killed": 1,
    "rows of a bot locked": 2,
    "rows of messages locked": 1,
}
"""The faults and their relative frequencies."""
VOLUME_MAX_MB = 128
"""The limit of the bots' volumes: small, because it is filled."""
FULL_SECONDS = 10.0
"""How long a volume is full at least: until its bot has disconnected."""
REJECTED = ("REJECT", "--reject-with", "tcp-reset")
DROPPED = ("DROP",)


def inject(
    fleet: Fleet, postgres: Container, phones: Mapping[str, str], chance: random.Random, end: float
) -> Counter[str]:
    """Inject faults until `end` (monotonic time); how often each kind occurred. `phones`: by bot."""
    faults: Counter[str] = Counter()
    while time.monotonic() < end:
        time.sleep(chance.uniform(1.0, 4.0))
        kind = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        bot, seconds = chance.choice(list(phones)), chance.uniform(0.5, 3.0)
        faults[kind] += 1
        match kind:
            case "controller killed":
                fleet.controllers[-1].kill()
                fleet.start_controller(wait=False)
            case "controller frozen":
                _freeze_controller(fleet, seconds)
            case "controller cut off":
                _cut_off_controller(fleet, chance.choice([REJECTED, DROPPED]), 3 * seconds)
            case "api killed":
                fleet.apis[-1].kill()
                fleet.start_api_again()
            case "postgres killed":
                postgres.kill("KILL")
                time.sleep(seconds)
                postgres.start()
            case "rows of a bot locked":
                _lock(
                    fleet,
                    "SELECT FROM bots JOIN bot_status ON bot_key = bots.key WHERE bots.id = %s FOR UPDATE",
                    bot,
                    seconds,
                )
            case "rows of messages locked":
                _lock(
                    fleet,
                    "SELECT FROM messages WHERE bot_key = (SELECT key FROM bots WHERE id = %s) FOR UPDATE",
                    bot,
                    seconds,
                )
            case "bot's volume full":
                _fill_volume(fleet, bot, FULL_SECONDS + seconds)
            case _:
                _inject_bot_fault(fleet, bot, phones[bot], kind)
    return faults


def _freeze_controller(fleet: Fleet, seconds: float) -> None:
    """Freeze the leader until a new one has taken over, let it continue with what it was doing, then end it."""
    frozen = fleet.controllers[-1]
    frozen.suspend()
    fleet.start_controller(wait=False)
    time.sleep(float(QUICK["LEASE_SECONDS"]) + seconds)
    frozen.resume()
    time.sleep(seconds)
    frozen.kill()


def _cut_off_controller(fleet: Fleet, target: tuple[str, ...], seconds: float) -> None:
    try:
        network = fleet.docker.networks.get(f"botdock-{fleet.server}")
    except docker.errors.APIError:
        return
    with cut(network.attrs["IPAM"]["Config"][0]["Subnet"], *target):
        time.sleep(seconds)


def _lock(fleet: Fleet, statement: str, bot: str, seconds: float) -> None:
    try:
        with psycopg.connect(fleet.database_url) as connection:
            connection.execute("SET lock_timeout = '5s'")
            connection.execute(statement.encode(), [bot])
            time.sleep(seconds)
    except psycopg.Error:
        pass  # Postgres is down, or others hold the rows


def _fill_volume(fleet: Fleet, bot: str, seconds: float) -> None:
    """Fill the bot's volume up to its limit for a while, from a container of its own: the bot's may be down."""
    ballast = f"pathlib.Path('/auth/{fleet.server}/bot_{bot}/files/ballast')"

    def run(statement: str) -> None:
        fleet.docker.containers.run(
            BOT_IMAGE,
            entrypoint=["/usr/bin/python3.13", "-c"],
            command=[f"import pathlib; {ballast}.{statement}"],
            volumes={fleet.name(bot): {"bind": "/auth", "mode": "rw"}},
            network_disabled=True,
            remove=True,
        )

    run(f"write_bytes(bytes({VOLUME_MAX_MB - 6} << 20))")
    time.sleep(seconds)
    run("unlink(missing_ok=True)")  # a bot that starts removes files that it does not know


def _inject_bot_fault(fleet: Fleet, bot: str, phone: str, kind: str) -> None:
    try:
        match kind:
            case "bot killed":
                fleet.container(bot).kill("KILL")
            case "bot removed":
                fleet.container(bot).remove(force=True)
            case "bot hung":
                fleet.container(bot).pause()  # until the controller replaces it
            case "bot stopped":
                fleet.container(bot).stop(timeout=10)
            case "bot restarted by Docker":
                fleet.container(bot).restart(timeout=10)
            case "bot restarted by the API":
                fleet.request("POST", f"/api/bots/{bot}/restart", timeout=10)
            case "connection dropped":
                fleet.phones.fail(phone, "drop")
    except (docker.errors.APIError, httpx.HTTPError):
        pass  # the bot or the api is already down
