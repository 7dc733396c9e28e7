"""The client of a bot's endpoint, against a server that counts its connections."""

import asyncio
from contextlib import suppress

import pytest

from orchestrator.clients.bot import RuntimeClient
from tests.integration.reconcile.conftest import eventually

HEALTH = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"


class Endpoint:
    """Answers every request once `together` of them are waiting, so that each needs a connection of its own."""

    def __init__(self, together: int) -> None:
        self.open = 0
        self._barrier = asyncio.Barrier(together)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                await self._barrier.wait()
                writer.write(HEALTH)
        writer.close()
        self.open -= 1

    async def connections(self) -> int:
        return self.open


@pytest.mark.parametrize("turns", range(6))
async def test_closing_closes_all_connections_even_if_it_is_cancelled(turns: int) -> None:
    endpoint = Endpoint(2)
    async with await asyncio.start_server(endpoint.serve, "127.0.0.1", 0) as server:
        client = RuntimeClient("127.0.0.1", "t", timeout_seconds=5, port=server.sockets[0].getsockname()[1])
        await asyncio.gather(client.health(), client.health(), return_exceptions=True)
        assert endpoint.open == 2
        closing = asyncio.create_task(client.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        if turns == 0:  # it had not begun
            await client.close()
        await eventually(endpoint.connections, lambda number: number == 0)
