"""Reading the account of a session while neonize's own SQLite has the file open in the same process."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot_runtime.whatsapp.account import SessionUnreadableError, read_account
from bot_runtime.whatsapp.messages import Account

JID = "491510000001:2@s.whatsapp.net"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A paired session."""
    database = tmp_path / "session.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE whatsmeow_device (jid TEXT, push_name TEXT, lid TEXT)")
        connection.execute("CREATE TABLE filler (data BLOB)")
        connection.execute("INSERT INTO whatsmeow_device VALUES (?, 'Shop', '77:2@lid')", [JID])
        connection.commit()
    return database


@pytest.fixture
def half_written(session: Path, tmp_path: Path) -> Path:
    """The same session while another library writes to it: with pages and a journal on disk, without a visible lock."""
    copy = tmp_path / "copy" / "session.db"
    copy.parent.mkdir()
    with closing(sqlite3.connect(session)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.executemany("INSERT INTO filler VALUES (?)", [[b"x" * 4000]] * 50)
        shutil.copy(session, copy)
        shutil.copy(f"{session}-journal", f"{copy}-journal")
        writer.rollback()
    return copy


@pytest.mark.parametrize("check", [True, False])
def test_the_account_is_read_from_the_device_table(session: Path, check: bool) -> None:
    assert read_account(session, check=check) == Account(number="491510000001", push_name="Shop", lid="77")


def test_a_missing_session_has_no_account(tmp_path: Path) -> None:
    assert read_account(tmp_path / "session.db") is None


def test_reading_does_not_disturb_a_running_transaction(half_written: Path) -> None:
    journal = half_written.with_name("session.db-journal")
    before = (half_written.read_bytes(), journal.read_bytes())
    read_account(half_written)
    assert (half_written.read_bytes(), journal.read_bytes()) == before


def test_the_check_before_connecting_rolls_back_after_a_crash(half_written: Path) -> None:
    read_account(half_written, check=True)
    assert not half_written.with_name("session.db-journal").exists()
    with closing(sqlite3.connect(half_written)) as connection:
        assert connection.execute("SELECT count(*) FROM filler").fetchone() == (0,)


def test_a_file_that_is_not_a_database_is_unreadable(tmp_path: Path) -> None:
    database = tmp_path / "session.db"
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(SessionUnreadableError):
        read_account(database, check=True)


def test_a_session_that_cannot_be_read_just_now_is_not_damaged(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("bot_runtime.whatsapp.account._check", fail)
    with pytest.raises(sqlite3.OperationalError):
        read_account(session, check=True)
