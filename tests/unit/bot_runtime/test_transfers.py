"""File transfers are watched: one that hangs or takes too much memory is stopped, and its thread is free again."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from bot_runtime.files.transfers import LARGE_BYTES, Transfers, TransferStoppedError
from bot_runtime.whatsapp.messages import WhatsAppError
from bot_runtime.whatsapp.sockets import OutgoingSockets

LARGE = LARGE_BYTES + 1


class Host:
    """A media host that accepts connections and never responds."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.sockets = OutgoingSockets(self.port)
        """The other ends of the connections are in this process, too: they represent those of its own endpoint."""

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port))

    def fetch(self) -> bytes:
        """Like the library: blocks until the host responds, and fails when the connection ends."""
        with self.connect() as connection:
            if data := connection.recv(1):
                return data
        raise WhatsAppError("unexpected EOF")


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.listening.close()


async def test_a_transfer_returns_its_result_or_raises_its_error(host: Host) -> None:
    transfers = Transfers(host.sockets)
    assert await transfers.run(LARGE, lambda: b"file") == b"file"

    def fail() -> bytes:
        raise WhatsAppError("status code 404")

    with pytest.raises(WhatsAppError, match="404"):
        await transfers.run(1, fail)


async def test_a_hanging_transfer_is_stopped_and_the_next_one_runs(host: Host) -> None:
    transfers = Transfers(host.sockets, timeout_seconds=0.2)
    with host.connect() as other:
        hangs = asyncio.create_task(transfers.run(LARGE, host.fetch))
        waits = asyncio.create_task(transfers.run(LARGE, lambda: b"file"))
        with pytest.raises(TransferStoppedError) as stopped:
            await asyncio.wait_for(hangs, 20)
        assert not stopped.value.too_large
        assert await asyncio.wait_for(waits, 20) == b"file"
        other.getpeername()
        other.setblocking(False)
        with pytest.raises(BlockingIOError):  # older connections, such as the one to WhatsApp, are spared
            other.recv(1)


async def test_a_hanging_transfer_on_an_older_connection_is_stopped(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_runtime.files.transfers.SPARE_SECONDS", 0.2)
    transfers = Transfers(host.sockets, timeout_seconds=0.2)
    with host.connect() as pooled:

        def fetch() -> bytes:
            if data := pooled.recv(1):
                return data
            raise WhatsAppError("unexpected EOF")

        with pytest.raises(TransferStoppedError):
            await asyncio.wait_for(transfers.run(LARGE, fetch), 20)


async def test_a_transfer_that_takes_too_much_memory_is_stopped(host: Host) -> None:
    used = iter((100, 150, 199, 201))
    last = 201
    transfers = Transfers(host.sockets, growth=100, memory=lambda: next(used, last))
    with pytest.raises(TransferStoppedError) as stopped:
        await asyncio.wait_for(transfers.run(1, host.fetch), 20)
    assert stopped.value.too_large


async def test_connections_to_the_own_endpoint_are_never_shut_down(host: Host) -> None:
    with host.connect() as ours:
        accepted, _ = host.listening.accept()
        with accepted:
            known = host.sockets.inodes()
            assert host.sockets.drop(spare=known) == 0
            assert host.sockets.drop() >= 1
            assert ours.recv(1) == b""
