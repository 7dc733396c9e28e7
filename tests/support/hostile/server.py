"""Serves whatever bytes its script contains, in place of a bot's runtime. Uses the standard library only, so that it
also runs in the image of the bots: `python server.py` with a script in the variable SCRIPT (`encode`).

A script maps requests to what follows them. A request is `GET /events`, with the first part of the path only, or `*`
for all others. What follows are answers, given in turn. An answer is a list of steps, carried out in order:

    ["send", BYTES]
    ["repeat", BYTES, COUNT]   the same bytes again and again
    ["wait", SECONDS]
    ["note"]                   writes the time to the output
    ["close"]                  the end of the connection; without it, the next request may follow
    ["reset"]                  likewise, by RST
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Step = Sequence[Any]
Answer = Sequence[Step]
Script = Mapping[str, Sequence[Answer]]

MAX_REQUEST_BYTES = 64 << 20
NOTHING: Answer = (("close",),)


class HostileServer:
    """Listens at an address. `script` may be replaced at any time; `requests` counts the requests."""

    def __init__(self, address: str, port: int, script: Script) -> None:
        """Raises OSError if something listens there."""
        self.script = script
        self.requests: Counter[str] = Counter()
        self._listener = socket.create_server((address, port), backlog=256)
        self._connections: set[asyncio.Task[None]] = set()
        self.serving = asyncio.create_task(self._serve())

    def end(self) -> None:
        """Stop listening and break all connections. Await `serving` to have waited for that."""
        self.serving.cancel()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, sock=self._listener)
        try:
            await server.serve_forever()
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
                while await self._answer(self._next(await _read_request(reader)), writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    def _next(self, request: str) -> Answer:
        answers = self.script.get(request) or self.script.get("*") or [NOTHING]
        self.requests[request] += 1
        return answers[(self.requests[request] - 1) % len(answers)]

    async def _answer(self, steps: Answer, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        for kind, *values in steps:
            match kind, values:
                case "send", [data]:
                    writer.write(data)
                    await writer.drain()
                case "repeat", [data, count]:
                    for _ in range(count):
                        writer.write(data)
                        await writer.drain()
                case "note", _:
                    print(time.time(), flush=True)
                case "wait", [seconds]:
                    await asyncio.sleep(seconds)
                case "reset", _:
                    connection: socket.socket = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                case _:
                    return False
        return True


async def _read_request(reader: asyncio.StreamReader) -> str:
    """The method and the first part of the path, when the whole request has arrived."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *headers = head.split("\r\n")
    fields = dict(header.lower().split(": ", 1) for header in headers if header)
    await reader.readexactly(min(int(fields.get("content-length", "0")), MAX_REQUEST_BYTES))
    method, target, _ = line.split(" ")
    return f"{method} /{target.split('?')[0].split('/')[1]}"


def encode(script: Script) -> str:
    """The script as text: what it repeats hardly takes any."""
    text = json.dumps(script, default=lambda data: {"base64": base64.b64encode(data).decode()})
    return base64.b64encode(zlib.compress(text.encode())).decode()


def decode(text: str) -> Script:
    """The script in that text."""
    script: Script = json.loads(zlib.decompress(base64.b64decode(text)), object_pairs_hook=_object)
    return script


def _object(pairs: list[tuple[str, Any]]) -> Any:
    fields = dict(pairs)
    return base64.b64decode(fields["base64"]) if set(fields) == {"base64"} else fields


async def _main() -> None:
    await HostileServer("0.0.0.0", 8080, decode(os.environ["SCRIPT"])).serving


if __name__ == "__main__":
    asyncio.run(_main())
