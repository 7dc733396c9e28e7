"""The start on a volume that cannot be used."""

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bot_runtime import startup
from bot_runtime.contract import ExitCode, RuntimeConfig
from bot_runtime.environment import Environment
from bot_runtime.startup import StartupError, open_session


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
