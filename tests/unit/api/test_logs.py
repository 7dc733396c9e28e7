"""The log has one line per record and contains no secrets."""

import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.db.keys import new_key
from orchestrator.logs import LineFormatter


def line(message: str, *arguments: object, exc_info: object = None) -> str:
    record = logging.LogRecord("orchestrator.test", logging.INFO, __file__, 1, message, arguments, None)
    if exc_info is not None:
        record.exc_info = exc_info  # type: ignore[assignment]
    return LineFormatter().format(record)


def test_a_line_starts_with_time_level_and_name() -> None:
    record = logging.LogRecord("orchestrator.test", logging.INFO, __file__, 1, "bot %s is up", ("bot-1",), None)
    record.created, record.msecs = 1767225600.25, 250
    assert LineFormatter().format(record) == "2026-01-01T00:00:00.250Z INFO orchestrator.test: bot bot-1 is up"


@given(st.text())
def test_a_record_is_one_line_whatever_it_contains(text: str) -> None:
    assert len(line("%s", text).splitlines()) == 1
    line("%s", text).encode("utf-8")


def test_a_traceback_is_on_the_same_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        shown = line("failed", exc_info=sys.exc_info())
    assert "\\nValueError: first\\nsecond" in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "secret", "left"),
    [
        ("key bd_0123abcd_SecretSecretSecretSecret!", "SecretSecret", "bd_0123abcd_***!"),
        ("Authorization: Bearer abcdefgh.ijkl-mnop_qrst", "abcdefgh", "Bearer ***"),
        ("authorization: basic YW55b25lOnNlY3JldA==", "YW55", "basic ***"),
        (
            "at postgresql://botdock:hunter2@db:5432/botdock now",
            "hunter2",
            "postgresql://botdock:***@db:5432/botdock now",
        ),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, secret: str, left: str) -> None:
    assert secret not in line("%s", text)
    assert left in line("%s", text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_key_is_masked_anywhere(before: str, after: str) -> None:
    _, key = new_key()
    assert key.split("_", 2)[2][:20] not in line("%s", f"{before} {key} {after}")


def test_everything_goes_to_stdout_once_configured() -> None:
    program = (
        "import logging, warnings; from orchestrator import logs; logs.configure('INFO')\n"
        "logging.getLogger('uvicorn.access').info('GET /?key=secret')\n"
        "logging.getLogger('httpx').info('GET http://bot/')\n"
        "logging.getLogger('orchestrator').info('hello'); logging.getLogger('orchestrator').debug('unsaid')\n"
        "warnings.warn('mind')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [text.split(" ", 1)[1].split(":")[0] for text in lines] == ["INFO orchestrator", "WARNING py.warnings"]
    assert done.stderr == ""
