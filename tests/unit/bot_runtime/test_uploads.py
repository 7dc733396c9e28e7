"""Uploaded files on the volume until they are sent."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot_runtime.contract import MAX_MEDIA_BYTES
from bot_runtime.errors import ApiError
from bot_runtime.files.uploads import MAX_TOTAL_BYTES, RETENTION_SECONDS, UploadStore


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def refused(uploads: UploadStore, client_id: str, *data: bytes, size: int | None = None) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await uploads.receive(client_id, pieces(*data), size=size)
    return refused.value


def content(uploads: UploadStore, client_id: str) -> bytes | None:
    upload = uploads.find(client_id)
    return upload.path.read_bytes() if upload else None


@pytest.fixture
def uploads(tmp_path: Path) -> UploadStore:
    return UploadStore(tmp_path / "files")


@pytest.mark.parametrize("size", [1, 65536, (1 << 20) + 1, MAX_MEDIA_BYTES])
async def test_a_file_is_stored_unchanged(uploads: UploadStore, size: int) -> None:
    data = os.urandom(1024) * (size // 1024) + os.urandom(size % 1024)
    await uploads.receive("a", pieces(data[: size // 2], data[size // 2 :]), size=size)
    assert content(uploads, "a") == data


async def test_a_file_that_is_too_large_is_refused_early(uploads: UploadStore, tmp_path: Path) -> None:
    assert (await refused(uploads, "a", b"x", size=MAX_MEDIA_BYTES + 1)).status == 413
    megabytes = [bytes(1 << 20)] * 17
    assert (await refused(uploads, "a", *megabytes)).status == 413
    assert list((tmp_path / "files").iterdir()) == []


async def test_an_empty_file_and_a_bad_id_are_refused(uploads: UploadStore) -> None:
    assert (await refused(uploads, "a")).code == "empty-file"
    for client_id in ("../a", "a/b", "a.part", "", "ä", "a" * 65):
        assert (await refused(uploads, client_id, b"x")).status == 400


async def test_an_incomplete_upload_leaves_the_earlier_file(uploads: UploadStore, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    await uploads.receive("a", pieces(b"whole"), size=None)
    with pytest.raises(ConnectionResetError):
        await uploads.receive("a", broken(), size=None)
    assert content(uploads, "a") == b"whole"
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["a"]


async def test_a_full_volume_is_reported(uploads: UploadStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bot_runtime.files.uploads.os.write", full)
    error = await refused(uploads, "a", b"x")
    assert (error.status, error.code) == (507, "disk-full")
    assert list((tmp_path / "files").iterdir()) == []


async def test_partial_files_of_a_crash_are_removed_at_the_start(uploads: UploadStore, tmp_path: Path) -> None:
    await uploads.receive("a", pieces(b"whole"), size=None)
    (tmp_path / "files" / "b.0.part").write_bytes(b"half")
    again = UploadStore(tmp_path / "files")
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["a"]
    assert content(again, "a") == b"whole"


async def test_unsent_files_are_removed_after_a_day(uploads: UploadStore, tmp_path: Path) -> None:
    await uploads.receive("a", pieces(b"x"), size=None)
    os.utime(tmp_path / "files" / "a", (0, 0))
    assert content(UploadStore(tmp_path / "files", now=lambda: RETENTION_SECONDS), "a") == b"x"
    assert content(UploadStore(tmp_path / "files", now=lambda: RETENTION_SECONDS + 1), "a") is None


async def test_the_total_size_of_files_is_bounded(uploads: UploadStore, tmp_path: Path) -> None:
    count = MAX_TOTAL_BYTES // MAX_MEDIA_BYTES
    for number in range(count):
        path = tmp_path / "files" / str(number)
        path.touch()
        os.truncate(path, MAX_MEDIA_BYTES)
        os.utime(path, (2e9 + number, 2e9 + number))
    await uploads.receive("new", pieces(b"x"), size=None)
    assert content(uploads, "new") == b"x"
    assert uploads.find("0") is None
    assert uploads.find("1") is not None
