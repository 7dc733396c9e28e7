"""Threads for web calls: limited in number and in time."""

import asyncio
import socket
import threading

import pytest

from bot_runtime.web.threads import WebThreads
from bot_runtime.web.time_limit import TimeLimit


def number(_: TimeLimit, text: str) -> int:
    return int(text)


def wait(_: TimeLimit, gate: threading.Event) -> bool:
    return gate.wait(30)


async def test_a_call_returns_its_result_or_raises_its_error() -> None:
    web = WebThreads(1)
    assert await web.run(10, number, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await web.run(10, number, "x")


async def test_waiting_for_a_thread_counts_and_a_thread_is_free_only_when_its_call_has_ended() -> None:
    web, gate = WebThreads(1), threading.Event()
    with pytest.raises(TimeoutError):
        await web.run(0.01, wait, gate)
    with pytest.raises(TimeoutError):
        await web.run(0.01, number, "7")
    gate.set()
    assert await web.run(10, number, "7") == 7


async def test_a_cancelled_wait_for_a_thread_takes_none() -> None:
    web, gate = WebThreads(1), threading.Event()
    first = asyncio.create_task(web.run(10, wait, gate))
    second = asyncio.create_task(web.run(10, number, "7"))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    assert await first
    assert await web.run(10, number, "8") == 8


def read_forever(limit: TimeLimit, port: int) -> bytes:
    with limit.connect(("127.0.0.1", port)) as connection:
        connection.settimeout(None)
        return connection.recv(1)


@pytest.mark.parametrize("cancel", [False, True])
async def test_the_thread_of_a_call_that_nobody_waits_for_any_more_ends(cancel: bool) -> None:
    web = WebThreads(1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        call = asyncio.create_task(web.run(0.2 if not cancel else 600, read_forever, silent.getsockname()[1]))
        accepted, _ = await asyncio.to_thread(silent.accept)
        if cancel:
            call.cancel()
        with pytest.raises(asyncio.CancelledError if cancel else TimeoutError):
            await call
        assert await web.run(10, number, "7") == 7, "its thread is free"
        accepted.close()


async def test_a_call_whose_time_is_over_opens_no_connection() -> None:
    limit = TimeLimit(1)
    limit.expire()
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TimeoutError):
        limit.connect(server.getsockname()[:2])
