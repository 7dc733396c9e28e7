"""Files of received messages."""

import asyncio
from pathlib import Path
from sqlite3 import Connection

import pytest

from bot_runtime.contract import MAX_MEDIA_BYTES
from bot_runtime.errors import ApiError
from bot_runtime.files import downloads as module
from bot_runtime.files.downloads import MAX_REFERENCE_BYTES, RETENTION_SECONDS, DownloadedFile, MediaDownloads
from bot_runtime.files.transfers import Transfers
from tests.unit.bot_runtime.scripted import NoSockets, ScriptedTransport


class World:
    def __init__(self, store: Connection, folder: Path) -> None:
        self.now = 1000.0
        self.folder = folder
        self.transport = ScriptedTransport()
        self.media = MediaDownloads(store, folder, self.transport, Transfers(NoSockets()), now=lambda: self.now)

    def arrives(self, message_id: str, data: bytes, *, size: int | None = None, mimetype: str = "image/png") -> None:
        reference = b"how to fetch " + message_id.encode()
        self.transport.files[reference] = data
        size = len(data) if size is None else size
        self.media.keep(message_id, reference, mimetype=mimetype, size=size, file_name="a.png")

    async def refused(self, message_id: str) -> ApiError:
        with pytest.raises(ApiError) as refused:
            await self.media.open(message_id)
        return refused.value


@pytest.fixture
def world(store: Connection, tmp_path: Path) -> World:
    return World(store, tmp_path)


def content(file: DownloadedFile) -> bytes:
    data = b"".join(iter(file.read, b""))
    file.close()
    return data


async def test_a_file_is_fetched_and_nothing_remains_of_it(world: World) -> None:
    data = bytes(range(256)) * 1000
    world.arrives("A", data)
    before = sorted(world.folder.iterdir())
    file = await world.media.open("A")
    assert (file.mimetype, file.size, file.file_name) == ("image/png", len(data), "a.png")
    assert content(file) == data
    assert sorted(world.folder.iterdir()) == before


async def test_concurrent_readers_share_one_download(world: World) -> None:
    world.arrives("A", b"picture")
    world.transport.may_download.clear()
    readers = [asyncio.create_task(world.media.open("A")) for _ in range(3)]
    await asyncio.sleep(0)
    world.transport.may_download.set()
    files = [await reader for reader in readers]
    assert [content(file) for file in files] == [b"picture"] * 3
    assert world.transport.downloads == 1
    assert content(await world.media.open("A")) == b"picture"
    assert world.transport.downloads == 2


async def test_a_cancelled_reader_does_not_affect_the_others(world: World) -> None:
    world.arrives("A", b"picture")
    world.transport.may_download.clear()
    gone, stays = (asyncio.create_task(world.media.open("A")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    world.transport.may_download.set()
    assert content(await stays) == b"picture"


async def test_unknown_and_expired_messages_are_not_found(world: World) -> None:
    assert (await world.refused("A")).status == 404
    world.arrives("A", b"picture")
    world.now += RETENTION_SECONDS + 1
    for number in range(100):
        world.arrives(str(number), b"x")
    assert (await world.refused("A")).status == 404


async def test_only_the_newest_references_are_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REFERENCES", 50)
    for number in range(100):
        world.now += 1
        world.arrives(str(number), b"x")
    assert (await world.refused("49")).status == 404
    assert content(await world.media.open("50")) == b"x"


async def test_a_large_file_is_refused_before_it_is_fetched(world: World) -> None:
    world.arrives("A", b"", size=MAX_MEDIA_BYTES + 1)
    assert (await world.refused("A")).status == 413
    assert world.transport.downloads == 0


async def test_a_file_that_is_larger_than_its_message_states_is_refused(world: World) -> None:
    world.arrives("A", bytes(MAX_MEDIA_BYTES + 1), size=1)
    assert (await world.refused("A")).status == 413


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("download failed with status code 410", 410, "media-gone"),
        ("download failed with status code 404", 410, "media-gone"),
        ("failed to download media from last host: download failed with status code 500", 502, "download-failed"),
        ("hash of media plaintext doesn't match", 502, "download-failed"),
    ],
)
async def test_errors_of_whatsapp_are_reported(world: World, error: str, status: int, code: str) -> None:
    world.arrives("A", b"picture")
    world.transport.error = error
    refused = await world.refused("A")
    assert (refused.status, refused.code) == (status, code)
    world.transport.error = ""
    assert content(await world.media.open("A")) == b"picture"


async def test_an_invalid_type_becomes_application_octet_stream(world: World) -> None:
    world.arrives("A", b"x", mimetype="text/html\r\nset-cookie: a")
    assert (await world.media.open("A")).mimetype == "application/octet-stream"
    world.arrives("B", b"x", mimetype="audio/ogg; codecs=opus")
    assert (await world.media.open("B")).mimetype == "audio/ogg; codecs=opus"


async def test_a_received_file_cannot_be_replaced(world: World, store: Connection) -> None:
    world.arrives("A", b"first")
    world.media.keep("A", b"another", mimetype="image/png", size=1, file_name=None)
    assert content(await world.media.open("A")) == b"first"


async def test_an_oversized_message_is_not_stored(world: World) -> None:
    world.media.keep("A", bytes(MAX_REFERENCE_BYTES + 1), mimetype="image/png", size=1, file_name=None)
    assert (await world.refused("A")).status == 404
