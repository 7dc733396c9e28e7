"""A plain neonize bot in a separate process, controlled and observed through JSON lines."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("bot_script.py")
WAIT_SECONDS = 90.0
"""For an event or a response: long, because many such processes may share few cores."""


class BotError(Exception):
    """A call of the neonize client raised an exception; the message contains its type and text."""


def jid(address: str) -> dict[str, str]:
    """An address (`user@server`) as an argument of `BotProcess.call`."""
    return {"jid": address}


def blob(data: bytes) -> dict[str, str]:
    """Bytes as an argument of `BotProcess.call`."""
    return {"bytes": base64.b64encode(data).decode()}


class BotProcess:
    """A running bot; create it with `start`. events: all its events so far, oldest first."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._seen = 0
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, session: Path, environment: Mapping[str, str], *options: str) -> BotProcess:
        """Start a bot with its session in this file. Option "echo": reply to each text with "pong " and the text."""
        with session.with_suffix(".log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(_SCRIPT),
                str(session),
                *options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment},
                limit=1 << 24,
            )
        return cls(process)

    async def wait_for(self, event: str, *, timeout_seconds: float = WAIT_SECONDS, **fields: Any) -> dict[str, Any]:
        """The next event of this name with these fields, after the one that the previous `wait_for` returned."""
        position, found = await self._find(event, fields, self._seen, timeout_seconds)
        self._seen = position
        return found

    async def send(self, to: str, text: str) -> dict[str, Any]:
        """Send a text to an address (`user@server`); returns the "sent" event, with `id` or `error`."""
        # Events that arrive in the meantime must remain available to `wait_for`, so the position stays unchanged.
        start = len(self.events)
        self.command(send=text, to=to)
        return (await self._find("sent", {"text": text}, start, WAIT_SECONDS))[1]

    async def call(self, method: str, *args: Any, timeout_seconds: float = WAIT_SECONDS, **kwargs: Any) -> Any:
        """Call a method of the neonize client and return its result; BotError with its error.

        bot_script.py describes arguments that JSON cannot represent; `jid` and `blob` create two kinds of them.
        """
        start = len(self.events)
        self.command(call=method, args=args, kwargs=kwargs)
        _, called = await self._find("called", {"call": method}, start, timeout_seconds)
        if "error" in called:
            raise BotError(called["error"])
        return called["result"]

    def seen(self, event: str) -> list[dict[str, Any]]:
        """All events of this name so far."""
        return [found for found in self.events if found["event"] == event]

    def command(self, **fields: Any) -> None:
        """Send the bot a command; see bot_script.py."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")

    async def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _find(
        self, event: str, fields: Mapping[str, Any], start: int, timeout_seconds: float
    ) -> tuple[int, dict[str, Any]]:
        """The position after the first matching event at or after `start`, and the event."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._next(event, fields, start)
        except TimeoutError:
            unseen = self.events[start:]
            raise TimeoutError(
                f"no {event} {fields or ''} within {timeout_seconds} s; since the last one: {unseen}"
            ) from None

    async def _next(self, event: str, fields: Mapping[str, Any], position: int) -> tuple[int, dict[str, Any]]:
        while True:
            for found in self.events[position:]:
                position += 1
                if found["event"] == event and fields.items() <= found.items():
                    return position, found
            if self._reading.done():
                raise RuntimeError(f"the bot exited before the event {event!r}")
            self._changed.clear()
            await self._changed.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.events.append(json.loads(line))
            self._changed.set()
        self._changed.set()
