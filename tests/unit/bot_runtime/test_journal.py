"""The journal of arrivals: records are read back in order, whatever happened to the process in between."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot_runtime.storage.journal import Journal, Position, Record, open_journal, set_position
from bot_runtime.storage.sqlite import open_store

BEGINNING = Position(0, 0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "arrivals"


def records(journal: Journal, after: Position = BEGINNING) -> Iterator[tuple[Record, Position]]:
    """All records after a position, one by one, each with the position after it."""
    while True:
        found, behind = journal.read(after, 1)
        if not found:
            return
        yield found[0], behind
        after = behind


def payloads(journal: Journal, after: Position = BEGINNING) -> list[bytes]:
    return [record.payload for record, _ in records(journal, after)]


def files(directory: Path) -> list[int]:
    return sorted(int(path.name) for path in directory.iterdir()) if directory.exists() else []


def test_records_are_read_in_order(directory: Path) -> None:
    journal = Journal(directory, BEGINNING)
    sent = [(17, b"one"), (18, b""), (17, os.urandom(200_000)), (22, b"last")]
    for code, payload in sent:
        journal.append(code, payload)
    assert [tuple(record) for record, _ in records(journal)] == sent
    found, behind = journal.read(BEGINNING, 2)
    assert [record.payload for record in found] == [b"one", b""]
    assert payloads(journal, behind)[1:] == [b"last"]


def test_no_file_is_created_before_the_first_record(directory: Path) -> None:
    journal = Journal(directory, BEGINNING)
    assert payloads(journal) == []
    assert not directory.exists()
    journal.append(17, b"one")
    (path,) = directory.iterdir()
    assert [stat.S_IMODE(entry.stat().st_mode) for entry in (directory, path)] == [0o700, 0o600]


def test_a_new_process_reads_the_remaining_records_and_then_its_own(directory: Path) -> None:
    first = Journal(directory, BEGINNING)
    for payload in (b"one", b"two", b"three"):
        first.append(17, payload)
    (_, behind), *_ = records(first)
    second = Journal(directory, behind)
    second.append(17, b"four")
    assert payloads(second, behind) == [b"two", b"three", b"four"]


def test_full_files_are_followed_by_new_ones_and_read_files_are_removed(directory: Path) -> None:
    journal = Journal(directory, BEGINNING, file_bytes=100)
    sent = [bytes([number]) * 40 for number in range(50)]
    for payload in sent:
        journal.append(17, payload)
    assert len(files(directory)) > 10
    seen = []
    for record, behind in records(journal):
        seen.append(record.payload)
        journal.forget(behind)
    assert seen == sent
    assert len(files(directory)) == 1


def test_the_journal_does_not_grow_while_it_is_read(directory: Path) -> None:
    journal = Journal(directory, BEGINNING, file_bytes=1000)
    position, seen = BEGINNING, 0
    for _ in range(500):
        journal.append(17, b"x" * 100)
        found, position = journal.read(position, 10)
        journal.forget(position)
        seen += len(found)
        assert sum(path.stat().st_size for path in directory.iterdir()) < 2 * 1108
    assert seen == 500


@pytest.mark.parametrize("kept", range(1, 20))
def test_a_torn_record_is_skipped_and_the_following_ones_are_read(directory: Path, kept: int) -> None:
    first = Journal(directory, BEGINNING)
    first.append(17, b"one")
    whole = (directory / "1").stat().st_size
    first.append(17, b"torn by a kill")
    os.truncate(directory / "1", whole + kept)
    second = Journal(directory, BEGINNING)
    assert payloads(second) == [b"one"]
    second.append(17, b"two")
    assert payloads(second) == [b"one", b"two"]


def test_records_on_a_full_disk_are_written_in_order_when_there_is_room(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(directory, BEGINNING)
    journal.append(17, b"one")
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
        journal.append(17, b"two")
        with pytest.raises(OSError, match="No space"):
            journal.flush()
        assert journal.failure
    journal.append(17, b"three")
    assert payloads(journal) == [b"one"], "nothing overtakes what waits"
    journal.flush()
    journal.append(17, b"four")
    assert payloads(journal) == [b"one", b"two", b"three", b"four"]
    assert not journal.failure


def test_skip_drops_all_records(directory: Path) -> None:
    journal = Journal(directory, BEGINNING)
    journal.append(17, b"secret")
    behind = journal.skip()
    journal.forget(behind)
    assert files(directory) == []
    journal.append(17, b"new")
    assert payloads(journal, behind) == [b"new"]


def test_threads_may_append_while_the_loop_reads(directory: Path) -> None:
    journal = Journal(directory, BEGINNING, file_bytes=500)

    def write(name: int) -> None:
        for number in range(200):
            journal.append(name, str(number).encode())

    threads = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    seen: dict[int, list[bytes]] = {name: [] for name in range(3)}
    position = BEGINNING
    while any(thread.is_alive() for thread in threads) or journal.read(position, 1)[0]:
        found, position = journal.read(position, 7)
        journal.forget(position)
        for record in found:
            seen[record.code].append(record.payload)
    assert seen == {name: [str(number).encode() for number in range(200)] for name in range(3)}


def reopened(tmp_path: Path, use: Callable[[Journal], object]) -> Position:
    """The start position of a process that opens the journal and dies."""
    store = open_store(tmp_path / "runtime.db")
    try:
        journal = open_journal(tmp_path / "arrivals", store)
        use(journal)
        return journal.start
    finally:
        store.close()


def test_the_very_first_arrival_is_found_by_the_next_process(tmp_path: Path) -> None:
    reopened(tmp_path, lambda journal: journal.append(17, b"one"))
    found: list[bytes] = []
    reopened(tmp_path, lambda journal: found.extend(payloads(journal, journal.start)))
    assert found == [b"one"]


def test_the_position_is_stored(tmp_path: Path) -> None:
    reopened(tmp_path, lambda journal: journal.append(17, b"one"))
    store = open_store(tmp_path / "runtime.db")
    set_position(store, Position(7, 8))
    store.close()
    assert reopened(tmp_path, lambda _: None) == (7, 8)
    assert files(tmp_path / "arrivals") == []


def test_a_new_store_reads_nothing_twice(tmp_path: Path) -> None:
    reopened(tmp_path, lambda journal: journal.append(17, b"recorded, perhaps"))
    (tmp_path / "runtime.db").unlink()
    found: list[bytes] = []
    reopened(tmp_path, lambda journal: found.extend(payloads(journal, journal.start)))
    assert (found, files(tmp_path / "arrivals")) == ([], [])
