"""What pairs a phone: kept from callers that may only read. Pure.

A QR code is shown by `GET …/qr`, which needs a key that may write. It is also in the events `qr` and
`connection-update`, and drawn into the container's log for the operators of the host.
"""

import re
from collections.abc import Iterable
from typing import Any

QR_FIELD = "qr"
HIDDEN_CODE = "(QR code hidden)"
HIDDEN_LINE = "(QR code hidden: read it with GET /api/bots/{id}/qr and a key that may write)"

_CODE = re.compile(r"(https?://[^\s\"\\]{1,100}#)?[0-9]@[A-Za-z0-9+/=_-]+(,[A-Za-z0-9+/=_-]+){3,}")
"""The text of a QR code, which an event that could not be read has somewhere in it."""
_DRAWN = re.compile(r"[█▀▄ ]{10,}")
"""A row of a drawn QR code: at least 21 modules wide, and not of spaces alone, because it has a light border."""


def without_qr_codes(data: dict[str, Any]) -> dict[str, Any]:
    """The data of an event with `null` in place of a QR code, at any depth, and without the text of one."""
    return {name: None if name == QR_FIELD else _without_codes(value) for name, value in data.items()}


def _without_codes(value: Any) -> Any:
    match value:
        case str():
            return _CODE.sub(HIDDEN_CODE, value)
        case dict():
            return without_qr_codes(value)
        case list():
            return [_without_codes(item) for item in value]
        case _:
            return value


def without_drawn_qr_codes(lines: Iterable[str]) -> list[str]:
    """Log lines with one sentence in place of each QR code that is drawn in them."""
    shown: list[str] = []
    for line in lines:
        if not _is_drawn(line):
            shown.append(_CODE.sub(HIDDEN_CODE, line))
        elif not shown or shown[-1] != HIDDEN_LINE:
            shown.append(HIDDEN_LINE)
    return shown


def _is_drawn(line: str) -> bool:
    return any(not run.isspace() for run in _DRAWN.findall(line))
