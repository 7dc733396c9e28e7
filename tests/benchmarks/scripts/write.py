"""Contacts write to bots at a steady rate. Run by `tests.benchmarks.traffic` in a separate process.

Reads one JSON object: the simulator's `host` and `port`, `pairs` of contact and bot (phone numbers), `rate` (messages
per second to each bot), `seconds`, and `commands` (every n-th message is `.ping`; 0: none). Prints one: `began` and
`ended` (Unix times), `written` (the messages' ids) and `asked` (how many of them were commands).

It implements HTTP itself: at five hundred calls per second an HTTP client would need a whole core.
"""

import asyncio
import json
import sys
import time
from typing import Any

SETTLE_SECONDS = 0.5
"""Until the first message: all connections are open by then."""


class Connection:
    """One connection to the simulator's control API, kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON of the answer. Raises RuntimeError unless the status is 200."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: simulator\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        answer = await self._reader.readexactly(length)
        if " 200 " not in lines[0]:
            raise RuntimeError(f"{path}: {lines[0]} {answer[:200]!r}")
        return json.loads(answer)

    def close(self) -> None:
        """Close it."""
        self._writer.close()


async def main(order: dict[str, Any]) -> dict[str, Any]:
    """Write everything."""
    pairs: list[tuple[str, str]] = order["pairs"]
    interval = 1 / order["rate"]
    each = round(order["rate"] * order["seconds"])
    written: list[str] = []
    asked = 0

    async def write(number: int, contact: str, bot: str, begin: float) -> None:
        nonlocal asked
        connection = Connection(*await asyncio.open_connection(order["host"], order["port"]))
        for turn in range(each):
            # Spread over the interval and scheduled by the clock: a late message does not delay the next ones.
            await asyncio.sleep(begin + (turn + number / len(pairs)) * interval - time.monotonic())
            command = order["commands"] and turn % order["commands"] == 0
            asked += bool(command)
            body = {"to": bot, "text": ".ping" if command else f"message {turn}"}
            written.append((await connection.post(f"/contacts/{contact}/messages", body))["id"])
        connection.close()

    began, begin = time.time() + SETTLE_SECONDS, time.monotonic() + SETTLE_SECONDS
    await asyncio.gather(*(write(number, *pair, begin) for number, pair in enumerate(pairs)))
    return {"began": began, "ended": time.time(), "written": written, "asked": asked}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.stdin.readline())))))
