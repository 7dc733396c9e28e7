"""The proxy: CONNECT, TLS, and the responses of hosts that are not chat servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from whatsapp_simulator import keys, tokens
from whatsapp_simulator.simulator import Simulator
from whatsapp_simulator.world.failures import FailureKind


@pytest.fixture
async def running() -> AsyncIterator[tuple[Simulator, int]]:
    """A simulator and the port of its proxy."""
    simulator = Simulator(tokens.default())
    port = await simulator.start("127.0.0.1", 0)
    yield simulator, port
    await simulator.stop()


def browser(port: int) -> httpx.AsyncClient:
    trusting = ssl.create_default_context(cadata=keys.ca_certificate().decode())
    return httpx.AsyncClient(proxy=f"http://127.0.0.1:{port}", verify=trusting, trust_env=False)


async def test_other_hosts_respond_with_not_found(running: tuple[Simulator, int]) -> None:
    async with browser(running[1]) as client:
        for _ in range(2):
            answer = await client.post("https://mmg.whatsapp.net/mms/image/x?auth=secret", content=b"x" * 100_000)
            assert answer.status_code == 404
            assert answer.json() == {"error": "not found", "host": "mmg.whatsapp.net", "path": "/mms/image/x"}


async def test_the_chat_host_serves_only_the_chat(running: tuple[Simulator, int]) -> None:
    async with browser(running[1]) as client:
        answer = await client.get("https://web.whatsapp.com/")

    assert answer.status_code in (400, 404, 426)


async def test_the_proxy_accepts_only_connect(running: tuple[Simulator, int]) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{running[1]}/")

    assert answer.status_code == 405


async def test_connections_are_reset_while_they_are_refused(running: tuple[Simulator, int]) -> None:
    simulator, port = running
    simulator.inject_failure(None, FailureKind.REFUSE, seconds=None, count=None, delay_seconds=1)

    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00" * 10, b"GET / HTTP/1.1\r\n\r\n", b""])
async def test_connections_without_tls_are_closed(running: tuple[Simulator, int], garbage: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running[1])
    writer.write(b"CONNECT web.whatsapp.com:443 HTTP/1.1\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"

    writer.write(garbage)
    writer.write_eof()

    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
