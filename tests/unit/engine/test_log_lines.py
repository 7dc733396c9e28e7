"""Container output is shown as plain lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.log_lines import MAX_LINE_CHARS, log_lines


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"no end", ["no end"]),
        (b"\n\n", ["", ""]),
        (b"windows\r\n", ["windows"]),
        (b"a\tb", ["a b"]),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\x1bM", ["red text"]),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", ["link"]),
        (b"bell\x07 null\x00 \xc2\x9b31mc1", ["bell null 31mc1"]),
        ("ein\u202egedreht\u2028".encode(), ["eingedreht"]),
        ("größe 🦀".encode(), ["größe 🦀"]),
        (b"\xff", ["\ufffd"]),
        (b"x" * 5000, ["x" * MAX_LINE_CHARS]),
    ],
)
def test_output_becomes_lines(output: bytes, lines: list[str]) -> None:
    assert log_lines(output) == lines


@given(st.binary())
def test_no_output_can_move_the_cursor(output: bytes) -> None:
    for line in log_lines(output):
        assert len(line) <= MAX_LINE_CHARS
        assert all(character >= " " and not "\x7f" <= character <= "\x9f" for character in line)
