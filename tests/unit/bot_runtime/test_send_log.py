"""The log of client ids, also after a crash while sending."""

import sqlite3
from pathlib import Path
from sqlite3 import Connection

import pytest

from bot_runtime.outbound.send_log import REPEATABLE, RETENTION_SECONDS, OutcomeUnknownError, SendLog
from bot_runtime.startup import settle_sends
from bot_runtime.storage.sqlite import open_store
from bot_runtime.whatsapp.evidence import chat_state
from bot_runtime.whatsapp.jid import parse_address
from bot_runtime.whatsapp.messages import Account
from tests.unit.bot_runtime.scripted import WHEN
from tests.unit.bot_runtime.sessions import ADA, OWN, encrypts, leaves, make_session

GROUP = "120363012345678901@g.us"
ACCOUNT = Account(OWN, None)
SECRET = b"s" * 32


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return make_session(tmp_path)


def unknown(outbox: SendLog, client_id: str) -> bool:
    try:
        outbox.result(client_id)
    except OutcomeUnknownError:
        return True
    return False


def test_the_outcome_of_a_message_in_flight_is_unknown(store: Connection) -> None:
    SendLog(store).start("a", f"{ADA}@s.whatsapp.net", SECRET)
    assert unknown(SendLog(store), "a")
    assert SendLog(store).result("b") is None


def test_a_message_that_was_sent_when_the_process_died_is_found_by_its_id(store: Connection, session: Path) -> None:
    SendLog(store).start("a", f"{ADA}@s.whatsapp.net", SECRET)
    leaves(session, SECRET, "LEFT")
    settle_sends(SendLog(store), session, ACCOUNT)
    result = SendLog(store).result("a")
    assert result is not None
    assert (result.message_id, result.unconfirmed, result.repeated) == ("LEFT", True, True)


def test_a_message_that_was_not_sent_can_be_sent_again(store: Connection, session: Path) -> None:
    SendLog(store).start("a", f"{ADA}@s.whatsapp.net", SECRET)
    leaves(session, b"another" * 4, "OTHER")
    settle_sends(SendLog(store), session, ACCOUNT)
    assert SendLog(store).result("a") is None
    assert SendLog(store).counts(within_seconds=60) == {}


@pytest.mark.parametrize("recipient", [f"{ADA}@s.whatsapp.net", "11111@lid", GROUP])
def test_a_message_that_was_not_encrypted_was_not_sent(store: Connection, session: Path, recipient: str) -> None:
    encrypts(session, "whatsmeow_sessions", "11111_1:0", b"before")
    encrypts(session, "whatsmeow_sender_keys", GROUP, "9999_1:1", b"before")
    outbox = SendLog(store)
    outbox.start("a", recipient, SECRET)
    outbox.note_state("a", chat_state(session, parse_address(recipient), in_use=True))
    leaves(session, SECRET, "LEFT")
    encrypts(session, "whatsmeow_sessions", "22222_1:0", b"with somebody else")
    encrypts(session, "whatsmeow_sessions", "9999_1:0", b"with the account's own phone")
    encrypts(session, "whatsmeow_sender_keys", GROUP, "11111_1:0", b"by another member")
    settle_sends(SendLog(store), session, ACCOUNT)
    assert SendLog(store).result("a") is None


@pytest.mark.parametrize(
    ("recipient", "table", "record"),
    [
        (f"{ADA}@s.whatsapp.net", "whatsmeow_sessions", ("11111_1:0", b"")),
        (f"{ADA}@s.whatsapp.net", "whatsmeow_sessions", (f"{ADA}:3", b"")),
        ("11111@lid", "whatsmeow_sessions", ("11111_1:7", b"")),
        ("11111@lid", "whatsmeow_sessions", (f"{ADA}:0", b"")),
        (GROUP, "whatsmeow_sender_keys", (GROUP, "9999_1:1", b"")),
    ],
)
def test_a_message_that_was_encrypted_was_sent(
    store: Connection, session: Path, recipient: str, table: str, record: tuple[str | bytes, ...]
) -> None:
    outbox = SendLog(store)
    outbox.start("a", recipient, SECRET)
    outbox.note_state("a", chat_state(session, parse_address(recipient)))
    leaves(session, SECRET, "LEFT")
    encrypts(session, table, *record)
    settle_sends(SendLog(store), session, ACCOUNT)
    result = SendLog(store).result("a")
    assert result is not None
    assert result.message_id == "LEFT"


def test_many_are_settled_at_once(store: Connection, session: Path) -> None:
    for number in range(1200):
        secret = number.to_bytes(32, "big")
        SendLog(store).start(str(number), f"{ADA}@s.whatsapp.net", secret)
        if number % 2:
            leaves(session, secret, f"LEFT{number}")
    settle_sends(SendLog(store), session, ACCOUNT)
    results = [SendLog(store).result(str(number)) for number in range(1200)]
    assert [result.message_id if result else None for result in results] == [
        f"LEFT{number}" if number % 2 else None for number in range(1200)
    ]


def test_nothing_is_concluded_from_a_session_that_cannot_be_read(store: Connection, tmp_path: Path) -> None:
    SendLog(store).start("a", f"{ADA}@s.whatsapp.net", SECRET)
    (tmp_path / "session.db").write_bytes(b"no database" * 100)
    settle_sends(SendLog(store), tmp_path / "session.db", ACCOUNT)
    assert unknown(SendLog(store), "a")


def test_nothing_is_concluded_from_another_session(store: Connection, session: Path) -> None:
    SendLog(store).start("a", f"{ADA}@s.whatsapp.net", SECRET)
    settle_sends(SendLog(store), session, None)
    settle_sends(SendLog(store), session, ACCOUNT)
    assert unknown(SendLog(store), "a")


def test_a_reaction_in_flight_can_always_be_sent_again(store: Connection, session: Path) -> None:
    SendLog(store).start("a", f"{ADA}@s.whatsapp.net", REPEATABLE)
    assert unknown(SendLog(store), "a")
    settle_sends(SendLog(store), session, None)
    assert SendLog(store).result("a") is None


def test_settled_messages_are_not_changed(store: Connection, session: Path) -> None:
    outbox = SendLog(store)
    outbox.start("a", f"{ADA}@s.whatsapp.net", SECRET)
    outbox.finish("a", "ID1", WHEN)
    settle_sends(SendLog(store), session, ACCOUNT)
    result = SendLog(store).result("a")
    assert result is not None
    assert (result.message_id, result.timestamp, result.unconfirmed) == ("ID1", WHEN, False)


def test_client_ids_are_stored_for_a_week(store: Connection) -> None:
    SendLog(store, now=lambda: 1000.0).start("a", f"{ADA}@s.whatsapp.net", SECRET)
    SendLog(store, now=lambda: 1000.0).finish("a", "ID1", WHEN)
    assert SendLog(store, now=lambda: 1000.0 + RETENTION_SECONDS).result("a")
    assert SendLog(store, now=lambda: 1001.0 + RETENTION_SECONDS).result("a") is None


def test_a_volume_of_an_earlier_version_is_migrated(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute(
            "CREATE TABLE sends (client_id TEXT PRIMARY KEY, started REAL, message_id TEXT, timestamp TEXT)"
            " WITHOUT ROWID"
        )
        old.execute(
            "INSERT INTO sends VALUES ('sent', 1000, 'ID1', ?), ('open', 1000, NULL, NULL)", (WHEN.isoformat(),)
        )
    old.close()
    store = open_store(tmp_path / "old.db")
    outbox = SendLog(store, now=lambda: 1000.0)
    result = outbox.result("sent")
    assert result is not None
    assert (result.message_id, result.unconfirmed) == ("ID1", False)
    outbox.settle({})
    assert unknown(outbox, "open")
    store.close()
