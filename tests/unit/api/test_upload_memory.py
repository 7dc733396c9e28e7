"""Memory for uploads: requests share it, wait for it, and always release it."""

import asyncio

import pytest

from orchestrator.api.upload_memory import MIB, UploadMemory
from orchestrator.errors import UnavailableError


async def test_a_waiting_upload_gets_the_memory_that_another_releases() -> None:
    memory = UploadMemory(maximum=4 * MIB)
    order: list[str] = []

    async def upload() -> None:
        async with memory.reserve(2 * MIB, server="server1"):
            order.append("second")

    async with memory.reserve(2 * MIB, server="server1"):
        waiting = asyncio.create_task(upload())
        await asyncio.sleep(0)  # it runs until it waits
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def test_no_memory_in_time() -> None:
    memory = UploadMemory(maximum=4 * MIB, timeout_seconds=0.01)
    async with memory.reserve(2 * MIB, server="server1"):
        with pytest.raises(UnavailableError, match="too many concurrent uploads"):
            async with memory.reserve(2 * MIB, server="server1"):
                pass
        async with memory.reserve(MIB, server="server1"):
            pass  # small bodies are not counted


async def test_failed_uploads_release_their_memory() -> None:
    memory = UploadMemory(maximum=4 * MIB, timeout_seconds=0.01)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            async with memory.reserve(4 * MIB, server="server1"):
                raise RuntimeError


async def test_a_single_upload_is_never_too_large() -> None:
    async with UploadMemory(maximum=2 * MIB, timeout_seconds=0.01).reserve(100 * MIB, server="server1"):
        pass


async def test_uploads_of_one_server_leave_memory_for_others() -> None:
    memory = UploadMemory(maximum=8 * MIB, timeout_seconds=0.01)
    async with memory.reserve(2 * MIB, server="server1"), memory.reserve(2 * MIB, server="server1"):
        with pytest.raises(UnavailableError, match="too many concurrent uploads"):
            async with memory.reserve(2 * MIB, server="server1"):
                pass
        async with memory.reserve(4 * MIB, server="server2"):
            with pytest.raises(UnavailableError, match="too many concurrent uploads"):
                async with memory.reserve(2 * MIB, server=None):
                    pass
