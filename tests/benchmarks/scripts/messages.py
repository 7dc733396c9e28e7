"""Run by `figures/messages.py`: one runtime and one plain neonize script on the same simulator, side by side.

Arguments: rounds of `.ping`, messages of a burst, messages before memory is read again. Prints one JSON object.
"""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx

from whatsapp_simulator.testing import BotProcess, SimulatorClient, SimulatorProcess, client_environment

_T = TypeVar("_T")

ADA, BERT = "491711111111", "491711111112"
OURS, BARE = "491701234567", "491701234568"
TOKEN = "t0ken"
WARM_UP = 10
BATCH = 25
AT_ONCE = 8
DEADLINE = 120.0
POLL_SECONDS = 0.01
IMAGE = {"MALLOC_ARENA_MAX": "1", "GOGC": "30"}
"""As in the bot image, for both."""
UNLIMITED = {"answersPerChat": 100_000, "answersPerBot": 100_000}


async def eventually(look: Callable[[], Awaitable[_T | None]]) -> _T:
    """The first true value of `look`. Raises TimeoutError after the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not (value := await look()):  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(POLL_SECONDS)
    return value


class Runtime:
    """A runtime in a process of its own; started again it continues its session."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / "runtime.log"
        self._environment = {
            **os.environ,
            **environment,
            "PYTHONPATH": os.pathsep.join((environment["PYTHONPATH"], str(Path.cwd()))),
            "BOTDOCK_BOT_ID": "bench",
            "BOTDOCK_SERVER_NAME": "bench",
            "BOTDOCK_TOKEN": TOKEN,
            "BOTDOCK_AUTH_ROOT": str(folder),
            "BOTDOCK_PORT": "0",
            "BOTDOCK_CONFIG": json.dumps(UNLIMITED),
        }

    async def start(self) -> None:
        """Start it and find its endpoint."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot_runtime", env=self._environment, stdout=log, stderr=log
            )
        port = (await eventually(self._serving))[1]
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            trust_env=False,
        )

    async def get(self, path: str) -> Any:
        """The answer of a call; None if it failed."""
        answer = await self._http.get(path)
        return answer.json() if answer.is_success else None

    async def until(self, path: str, key: str, expected: Any = None) -> Any:
        """The value of a key as soon as there is one (and it is the expected one)."""

        async def look() -> Any:
            body = await self.get(path)
            return body if body and expected in (None, body[key]) else None

        return (await eventually(look))[key]

    async def received(self) -> int:
        """How many messages it has received."""
        return int((await self.get("/stats"))["messagesReceived"])

    async def stop(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        await self._process.wait()
        await self._http.aclose()

    async def _serving(self) -> re.Match[str] | None:
        return re.search(r"serves on port (\d+)", self._log.read_text())


async def round_trips(phones: SimulatorClient, bot: str, rounds: int) -> list[float]:
    """Seconds from a contact's `.ping` to the answer on its phone, one after the other."""
    after = max((item.index for item in await phones.inbox(ADA)), default=0)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        await phones.send(ADA, bot, ".ping")
        async with asyncio.timeout(DEADLINE):
            while not (items := await phones.inbox(ADA, after=after, wait=20)):
                pass
        times.append(time.perf_counter() - began)
        after = items[-1].index
    return times


async def write(phones: SimulatorClient, bot: str, messages: int) -> None:
    """A contact writes so many messages."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with slots:
            await phones.send(BERT, bot, f"message {number}")

    await asyncio.gather(*(one(number) for number in range(messages)))


async def drained(count: Callable[[], Awaitable[int]], messages: int) -> float:
    """Seconds per message from the first to the last of a burst. Raises TimeoutError if one is missing."""
    first: tuple[float, int] | None = None

    async def all_there() -> bool:
        nonlocal first
        seen = await count()
        if seen and first is None:
            first = time.perf_counter(), seen
        return seen >= messages

    await eventually(all_there)
    began, before = first or (time.perf_counter(), messages - 1)
    return (time.perf_counter() - began) / max(1, messages - before)


async def main(rounds: int, burst: int, many: int) -> dict[str, Any]:
    """All figures."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        simulator = await SimulatorProcess.start(folder)
        environment = {**client_environment(folder, simulator.proxy_port), **IMAGE}
        async with SimulatorClient(simulator.url) as phones:
            for contact in (ADA, BERT):
                await phones.create_contact(contact, "C")
            bare = await BotProcess.start(folder / "bare.db", environment, "echo")
            await phones.scan(BARE, (await bare.wait_for("qr"))["qr"])
            await bare.wait_for("connected")
            runtime = Runtime(folder, environment)
            await runtime.start()
            await phones.scan(OURS, await runtime.until("/qr", "code"))
            await runtime.until("/health", "connection", "online")
            try:
                pings = await _both_answer(phones, rounds)
                await runtime.stop()
                await bare.kill()
                return {**pings, **await _both_drain(phones, runtime, folder, environment, burst, many)}
            finally:
                await bare.kill()
                await runtime.stop()
                await simulator.stop()


async def _both_answer(phones: SimulatorClient, rounds: int) -> dict[str, Any]:
    for bot in (OURS, BARE):
        await round_trips(phones, bot, WARM_UP)
    ours, floor = [], []
    for _ in range(max(1, rounds // BATCH)):
        ours += await round_trips(phones, OURS, BATCH)
        floor += await round_trips(phones, BARE, BATCH)
    return {"ours": ours, "bare": floor}


async def _both_drain(
    phones: SimulatorClient, runtime: Runtime, folder: Path, environment: Mapping[str, str], burst: int, many: int
) -> dict[str, Any]:
    for bot in (OURS, BARE):
        await write(phones, bot, burst)
    await runtime.start()
    ours = await drained(runtime.received, burst)
    again = await BotProcess.start(folder / "bare.db", environment)

    async def told() -> int:
        return sum(event["event"] == "message" for event in again.events)

    floor = await drained(told, burst)
    await again.kill()
    before = (await runtime.get("/health"))["memoryBytes"]
    await write(phones, OURS, many)

    async def all_there() -> bool:
        return await runtime.received() >= burst + many

    await eventually(all_there)
    after = (await runtime.get("/health"))["memoryBytes"]
    return {"oursBurst": ours, "bareBurst": floor, "memoryGrown": after - before}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*map(int, sys.argv[1:])))))
