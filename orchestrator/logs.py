"""Logging of every process: one line per record on stdout, without secrets.

Line breaks and other control characters are escaped, so that a name or a path cannot forge a record, and a traceback
stays on the line of its record. Anything that looks like an API key, a bearer token or the password in a URL is
redacted last, as a safety net: the code itself does not log them.
"""

import logging
import re
import sys
import time

_SECRETS = (
    (re.compile(r"\bbd_([0-9a-f]{8})_[A-Za-z0-9_-]+"), r"bd_\1_***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"(\w://[^\s:/@]*):[^\s@]+@"), r"\1:***@"),
)
_CONTROL = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
} | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}

_QUIET = ("httpx", "httpcore", "docker", "urllib3", "asyncio", "alembic.runtime.plugins")


class LineFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO orchestrator.api: message`, always one line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """One line, escaped and without secrets."""
        line = super().format(record)
        for pattern, replacement in _SECRETS:
            line = pattern.sub(replacement, line)
        return line.translate(_CONTROL).encode("utf-8", "backslashreplace").decode()


def configure(level: str) -> None:
    """Log the whole process to stdout, from `level` up (DEBUG, INFO, WARNING or ERROR).

    Run uvicorn with `log_config=None, access_log=False`: its access log would show query strings.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger("uvicorn.access").disabled = True
