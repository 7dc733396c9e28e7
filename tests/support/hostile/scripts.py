"""Kinds of hostile runtimes, for containers: what is large is built from a few repeated bytes."""

import json
from typing import Any

from bot_runtime import contract
from tests.support.hostile.server import Answer, Script

NOW = "2026-01-02T03:04:05Z"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
_BLANKS = b" " * 65536
_ENDLESS: Answer = [
    ("send", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("repeat", b"%x\r\n%b\r\n" % (len(_BLANKS), _BLANKS), 5000),
]
_HUGE_HEADER: Answer = [("send", b"HTTP/1.1 200 OK\r\nX: "), ("repeat", _BLANKS, 800)]
_BLANK_JSON: Answer = [("send", _HEAD % (300 << 20)), ("repeat", _BLANKS, 4800)]
_LARGE_PAGES, _FULL_PAGES = 400, 40


def health(bot: str, **changes: Any) -> dict[str, Any]:
    """The health of a bot that is online."""
    return {
        "botId": bot,
        "serverName": "server1",
        "bootId": "boot",
        "startedAt": NOW,
        "since": NOW,
        "connection": "online",
        "phoneNumber": "491700000009",
        "pushName": "Hostile",
        "lastHeartbeat": NOW,
        "lastActivity": NOW,
        "connectionAttempts": 0,
        "lastError": None,
        "eventHistorySize": 0,
        "events": {"spoolId": "spool-1", "lastSeq": 0, "ackedSeq": 0},
        "credsUpdatedAt": None,
        "configGeneration": 1,
        "memoryBytes": 1,
        "versions": {"runtime": "0", "neonize": "0", "python": "3"},
        **changes,
    }


def response(value: Any, status: int = 200) -> Answer:
    """An ordinary response."""
    body = json.dumps(value).encode()
    return [("send", b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))]


def ordinary(bot: str) -> Script:
    """A runtime that harms nobody, and notes when it is probed."""
    page = {"spoolId": "spool-1", "items": [], "next": 0}
    return {
        "GET /health": [[("note",), *response(health(bot))]],
        "GET /events": [[("wait", 55), *response(page)]],
        "*": [response({})],
    }


def largest(bot: str) -> Script:
    """The largest answers that are accepted, and much larger ones."""
    fault = {"code": "x", "message": "y" * 60_000, "at": NOW}
    return {
        "GET /health": [response(health(bot, lastError=fault)), _ENDLESS, _HUGE_HEADER],
        "GET /events": [_largest_page(number) for number in range(_LARGE_PAGES)],
        "GET /media": [
            [("send", b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % (16 << 20)),
             ("repeat", _BLANKS, 256)],
            _ENDLESS,
        ],
        "*": [_ENDLESS, _HUGE_HEADER, _BLANK_JSON],
    }  # fmt: skip


def _largest_page(number: int) -> Answer:
    """A page of the maximum size, after `number` others."""
    filling = contract.PAGE_BYTES // 4
    first = number * 4 + 1
    begin = b'{"spoolId": "spool-1", "next": %d, "items": [' % (first + 3)
    steps: list[Any] = [("send", begin)]
    size = len(begin)
    for seq in range(first, first + 4):
        head = b'{"seq": %d, "type": "x", "timestamp": "%b", "data": {"a": "' % (seq, NOW.encode())
        end = b'"}}' + (b"," if seq < first + 3 else b"]}")
        steps += [("send", head), ("repeat", b"x" * 1024, filling // 1024), ("send", end)]
        size += len(head) + filling + len(end)
    return [("send", _HEAD % size), *steps]


def slow(bot: str) -> Script:
    """Answers that take as long as they may, and never end."""
    drip = [step for _ in range(100) for step in (("send", b"1\r\n \r\n"), ("wait", 0.2))]
    begin = ("send", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    return {"GET /health": [response(health(bot)), [begin, *drip]], "*": [[begin, *drip]]}


def flooding(bot: str) -> Script:
    """Answers at once, whatever is asked, with something new each time."""
    pages = [
        response({"spoolId": "spool-1", "next": (number + 1) * 200, "items": _small_events(number * 200)})
        for number in range(_FULL_PAGES)
    ]
    return {"GET /health": [response(health(bot))], "GET /events": pages, "*": [response({"code": "x"}, 429)]}


def _small_events(after: int) -> list[dict[str, Any]]:
    kinds = ("connection-update", "message-ack", "error", "qr")
    return [
        {"seq": after + number + 1, "type": kinds[number % 4], "timestamp": NOW, "data": {"state": "online"}}
        for number in range(200)
    ]


def broken(bot: str) -> Script:
    """Answers that break the protocol or the connection."""
    return {
        "GET /health": [
            response(health(bot)),
            response(health(bot, startedAt="0001-01-01T00:00:00+14:00")),
            [("reset",)],
        ],
        "GET /events": [response({"spoolId": "s", "items": [1, None, {"seq": -1}], "next": 1 << 70}), [("close",)]],
        "*": [[("send", b"\x00" * 5000), ("close",)], response("[" * 1000), [("reset",)]],
    }


KINDS = (largest, slow, flooding, broken)
