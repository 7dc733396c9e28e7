"""Sanitizes container output for display: text only, one line at a time, of bounded length."""

import re

MAX_LINE_CHARS = 1000

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # window titles, links
    r"|\x1b[@-Z\\^_]?"
)
# C0 and C1 controls, and bidirectional overrides, which make a line read differently.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def log_lines(output: bytes) -> list[str]:
    """The lines of a container's output, without escape sequences and control characters, each at most 1,000
    characters. Bytes that are not UTF-8 become U+FFFD."""
    lines = output.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [clean(line) for line in lines]


def clean(line: str) -> str:
    """One line, sanitized."""
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", line)).replace("\t", " ")[:MAX_LINE_CHARS]
