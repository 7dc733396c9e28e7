"""The start on a volume that cannot be used."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bot_runtime import startup
from bot_runtime.contract import EventType, ExitCode, RuntimeConfig
from bot_runtime.environment import Environment
from bot_runtime.startup import StartupError, open_session
from bot_runtime.storage.session import prepare_directory
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, open_store, set_meta


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(
        bot_id="bot-1", server_name="server1", token="t", auth_root=tmp_path, port=0, config=RuntimeConfig()
    )


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("failed")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("step", ["prepare_directory", "read_account", "open_store", "settle_sends", "open_journal"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "full"), ExitCode.DISK_FULL),
        (sqlite_error(sqlite3.SQLITE_FULL), ExitCode.DISK_FULL),
        (OSError(errno.EIO, "broken"), ExitCode.INTERNAL_ERROR),
        (sqlite_error(sqlite3.SQLITE_IOERR), ExitCode.INTERNAL_ERROR),
    ],
)
def test_a_volume_that_cannot_be_used_ends_the_start(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, code: ExitCode
) -> None:
    monkeypatch.setattr(startup, "ROOM_SECONDS", 0.02)
    monkeypatch.setattr(startup, "ROOM_POLL_SECONDS", 0.001)
    monkeypatch.setattr(startup, step, failing(error))
    with pytest.raises(StartupError) as raised:
        open_session(environment, None)
    assert raised.value.code is code
    assert not list(environment.auth_root.glob("**/*.damaged"))


def test_a_start_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "ROOM_POLL_SECONDS", 0.001)
    errors = [OSError(errno.ENOSPC, "full"), sqlite_error(sqlite3.SQLITE_FULL)]

    def step() -> str:
        if errors:
            raise errors.pop()
        return "opened"

    assert startup._when_there_is_room(step) == "opened"


def test_a_store_whose_events_cannot_be_read_is_set_aside(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_runtime.whatsapp.core.Core.connect", lambda *_: None)
    directory = prepare_directory(environment.auth_root, "server1", "bot-1")
    store = open_store(directory.store)
    Spool(store).append(EventType.CONNECTED, {})
    set_meta(store, "paired_at", "77")
    (page,) = store.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    store.close()
    with directory.store.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    session = open_session(environment, None)
    assert Spool(session.store).cursor().last_seq == 0
    assert get_meta(session.store, "paired_at") == "77"
    assert [path.name for path in directory.path.glob("*damaged*")] == ["runtime.damaged"]
    session.store.close()
    os.close(session.lock)
