"""What the session file shows of messages, while neonize has it open."""

import sqlite3
from pathlib import Path

import pytest

from bot_runtime.whatsapp.account import SessionUnreadableError
from bot_runtime.whatsapp.evidence import Trace, chat_state, number_of, trace
from bot_runtime.whatsapp.jid import parse_address
from tests.unit.bot_runtime.sessions import ADA, encrypts, leaves, make_session

CHAT = parse_address(f"{ADA}@s.whatsapp.net")
SECRET = b"s" * 32


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return make_session(tmp_path)


def test_a_message_whose_secret_is_missing_was_not_sent(session: Path) -> None:
    before = chat_state(session, CHAT, in_use=True)
    encrypts(session, "whatsmeow_sessions", f"{ADA}:0", b"after a message from her")
    assert trace(session, SECRET, CHAT, before) == Trace(None, unsent=True)


def test_a_message_for_which_nothing_was_encrypted_was_not_sent(session: Path) -> None:
    before = chat_state(session, CHAT, in_use=True)
    leaves(session, SECRET, "LEFT")
    assert trace(session, SECRET, CHAT, before) == Trace("LEFT", unsent=True)
    assert trace(session, b"", CHAT, before) == Trace(None, unsent=True)


def test_everything_else_proves_nothing(session: Path) -> None:
    before = chat_state(session, CHAT, in_use=True)
    leaves(session, SECRET, "LEFT")
    assert trace(session, SECRET, CHAT, None) == Trace("LEFT", unsent=False)
    encrypts(session, "whatsmeow_sessions", f"{ADA}:0", b"next")
    assert trace(session, SECRET, CHAT, before) == Trace("LEFT", unsent=False)
    assert trace(session, b"", CHAT, before) == Trace(None, unsent=False)


def test_a_session_that_was_removed_proves_nothing(session: Path) -> None:
    """A logout deletes the secrets of its messages, too."""
    before = chat_state(session, CHAT, in_use=True)
    with sqlite3.connect(session) as database:
        database.execute("DELETE FROM whatsmeow_device")
    database.close()
    with pytest.raises(SessionUnreadableError, match="no device"):
        trace(session, SECRET, CHAT, before)


def test_a_file_that_is_being_written_is_not_read(session: Path) -> None:
    database = sqlite3.connect(session)
    database.execute("INSERT INTO whatsmeow_lid_map VALUES ('22222', '2')")
    with pytest.raises(SessionUnreadableError, match="being written"):
        trace(session, SECRET, CHAT, None)
    database.commit()
    database.close()
    assert trace(session, SECRET, CHAT, None).unsent
    assert number_of(session, "22222") == "2"


def test_what_was_read_while_the_file_changed_is_read_again(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `whatsmeow_message_secrets`, a row appears between the two queries of the first attempt."""
    seen: list[object] = []

    def state(database: sqlite3.Connection, chat: object) -> bytes:
        if not seen:
            leaves(session, SECRET, "LEFT")
        seen.append(chat)
        return b"state"

    monkeypatch.setattr("bot_runtime.whatsapp.evidence._chat_state", state)
    assert trace(session, SECRET, CHAT, None).message_id == "LEFT"
    assert len(seen) == 2


def test_a_file_with_a_write_ahead_log_is_not_read(session: Path) -> None:
    with sqlite3.connect(session) as database:
        database.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(SessionUnreadableError, match="rollback journal"):
        number_of(session, "11111")
    database.close()


def test_a_missing_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(SessionUnreadableError):
        trace(tmp_path / "session.db", SECRET, CHAT, None)
