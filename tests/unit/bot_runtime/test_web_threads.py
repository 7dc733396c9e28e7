"""Threads for web calls: limited in number and in time."""

import asyncio
import threading

import pytest

from bot_runtime.web.threads import WebThreads


async def test_a_call_returns_its_result_or_raises_its_error() -> None:
    web = WebThreads(1)
    assert await web.run(10, int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await web.run(10, int, "x")


async def test_waiting_for_a_thread_counts_and_a_thread_is_free_only_when_its_call_has_ended() -> None:
    web, gate = WebThreads(1), threading.Event()
    with pytest.raises(TimeoutError):
        await web.run(0.01, gate.wait, 30)
    with pytest.raises(TimeoutError):
        await web.run(0.01, int, "7")
    gate.set()
    assert await web.run(10, int, "7") == 7


async def test_a_cancelled_wait_for_a_thread_takes_none() -> None:
    web, gate = WebThreads(1), threading.Event()
    first = asyncio.create_task(web.run(10, gate.wait, 30))
    second = asyncio.create_task(web.run(10, int, "7"))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    assert await first
    assert await web.run(10, int, "8") == 8
