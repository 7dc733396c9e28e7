"""What is stored with the time of the wall clock, when the clock is set by an hour. See also `test_receiver.py`."""

import os
import sqlite3
from pathlib import Path

import pytest

from bot_runtime.credentials import EVENT_SECONDS, Credentials
from bot_runtime.outbound.rate_limit import seconds_until_room
from bot_runtime.outbound.send_log import SendLog
from bot_runtime.storage.session import SessionDirectory
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.messages import Account
from tests.unit.bot_runtime.scripted import WHEN

NOW, HOUR, WEEK = 1_700_000_000.0, 3600.0, 7 * 86400.0
CHAT = "491700000001@s.whatsapp.net"


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_no_client_id_is_forgotten_within_a_week(store: sqlite3.Connection, jump: float) -> None:
    log = SendLog(store, now=lambda: NOW)
    log.start("sent", CHAT, b"s" * 32)
    log.finish("sent", "ID1", WHEN)
    log.start("open", CHAT, b"t" * 32)

    again = SendLog(store, now=lambda: NOW + WEEK + jump)

    assert again.result("sent") is not None
    assert [unsettled.client_id for unsettled in again.unsettled()] == ["open"]


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_the_rate_limit_does_not_stay_exhausted(jump: float) -> None:
    sent = [NOW - 1.0] * 30
    waits = seconds_until_room(sent, now=NOW + jump, maximum=30, window_seconds=60.0)
    assert waits <= 60.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_changes_of_the_session_are_still_reported(store: sqlite3.Connection, tmp_path: Path, jump: float) -> None:
    now = NOW
    directory = SessionDirectory(tmp_path)
    directory.database.touch()
    spool = Spool(store)
    credentials = Credentials(directory, store, spool, Account("491700000099", None), now=lambda: now)

    def change() -> None:
        os.utime(directory.database, (now, now))
        credentials.notice_change()

    change()
    now += jump
    change()
    reported = len(spool.history)
    now += EVENT_SECONDS
    change()
    assert len(spool.history) == reported + 1
