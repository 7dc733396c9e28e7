"""What a hostile runtime answers, for hypothesis: answers that follow the contract, altered in any way.

An answer is generated in three layers: a value from the types of the contract, in which parts are replaced, removed,
multiplied or nested; its bytes, in any encoding; and how they are sent, from an ordinary response to a connection that
breaks in the middle of one. Each layer is often left as it should be, so that the next one is reached.
"""

import gzip
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec.inspect
from hypothesis import strategies as st

from bot_runtime import contract
from bot_runtime.contract import EventType
from tests.support.hostile.scripts import NOW, health, response
from tests.support.hostile.server import Answer, Step

Strategy = st.SearchStrategy[Any]

_MAX_BYTES = 16 << 20
"""Of what is generated as one part of an answer."""
_LONG = "<long number>"
"""In place of a number of 5,000 digits, which Python does not convert."""

SCALARS: Strategy = st.one_of(
    st.sampled_from([None, True, False, "", _LONG]),
    st.sampled_from([-1, 0, 1 << 31, 1 << 40, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63) - 1, 10**400]),
    st.sampled_from([1e308, -0.5, float("nan"), float("inf")]),
    st.sampled_from(
        [
            *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-02T03:04:05", "1969-12-31T23:59:59Z"),
            *("\x00", "\ud800", "\u202e\u2028", "../../../x", "a@g.us", "x" * 300, "é" * 70_000, "line\r\nX-More: 1"),
            *("phase-change", "container-oom", "protocol-violation", "controller-1", "online", "logged-out"),
        ]
    ),
    st.text(max_size=20),
)
JSON: Strategy = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def from_contract(kind: Any) -> Strategy:
    """JSON values of a type of the contract."""
    return _typed(msgspec.inspect.type_info(kind))


def _typed(info: Any) -> Strategy:
    match info:
        case msgspec.inspect.StructType():
            return _struct(info)
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return st.lists(_typed(info.item_type), min_size=info.min_length or 0, max_size=3)
        case msgspec.inspect.DictType():
            return st.dictionaries(_typed(info.key_type), _typed(info.value_type), max_size=3)
        case msgspec.inspect.UnionType():
            return st.one_of([_typed(each) for each in info.types])
        case msgspec.inspect.LiteralType():
            return st.sampled_from(info.values)
        case msgspec.inspect.EnumType():
            return st.sampled_from([each.value for each in info.cls])
        case msgspec.inspect.DateTimeType():
            moments = st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
            return st.just(NOW) | moments.map(lambda moment: moment.isoformat())
        case msgspec.inspect.IntType():
            low = 0 if info.ge is None else info.ge
            return st.integers(low, low + 1000 if info.le is None else info.le)
        case msgspec.inspect.FloatType():
            return st.floats(0, 1000)
        case msgspec.inspect.StrType() if info.pattern is not None:
            return st.from_regex(info.pattern)
        case msgspec.inspect.StrType():
            return st.text(min_size=info.min_length or 0, max_size=min(info.max_length or 20, 20))
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
    return JSON


def _struct(info: Any) -> Strategy:
    fields = {field.encode_name: _typed(field.type) for field in info.fields if field.required}
    optional = {field.encode_name: _typed(field.type) for field in info.fields if not field.required}
    tag = {} if info.tag_field is None else {info.tag_field: st.just(info.tag)}
    return st.fixed_dictionaries({**fields, **tag}, optional=optional)


_EVENT_DATA: Strategy = st.one_of(
    st.tuples(st.just(EventType.GROUP_UPDATE), from_contract(contract.GroupUpdate)),
    st.tuples(
        st.just(EventType.MESSAGE_ACK),
        st.fixed_dictionaries(
            {"messageIds": st.lists(st.text(max_size=20), max_size=3), "state": st.sampled_from(["delivered", "read"])}
        ),
    ),
    st.tuples(
        st.just(EventType.SETTINGS_UPDATE), st.fixed_dictionaries({"settings": from_contract(contract.RuntimeConfig)})
    ),
    st.tuples(st.just(EventType.MESSAGE_UPSERT), st.fixed_dictionaries({"messages": st.lists(JSON, max_size=2)})),
    st.tuples(st.sampled_from(list(EventType)), st.dictionaries(st.text(max_size=8), JSON, max_size=3)),
)


@st.composite
def _page(draw: st.DrawFn) -> Any:
    first = draw(st.sampled_from([1, 1, 1, 2, 1000]))
    items = [
        {"seq": first + number, "type": str(kind), "data": data, "timestamp": NOW}
        for number, (kind, data) in enumerate(draw(st.lists(_EVENT_DATA, max_size=4)))
    ]
    spool = draw(st.sampled_from(["spool-1", "spool-1", "spool-2"]))
    return {"spoolId": spool, "items": items, "next": first + len(items) - 1}


_ANSWERS: dict[str, Strategy] = {
    "GET /health": from_contract(contract.Health),
    "GET /events": _page(),
    "GET /qr": from_contract(contract.Qr),
    "POST /pair-code": from_contract(contract.PairCode),
    "POST /messages": from_contract(contract.SendResult),
    "GET /groups": from_contract(contract.Group),
    "POST /connection": from_contract(contract.Health),
    "POST /logout": from_contract(contract.Health),
    "PUT /config": from_contract(contract.RuntimeConfig),
    "GET /media": SCALARS,
    "PUT /secrets": st.none(),
}
_ERROR = from_contract(contract.Error)


@st.composite
def _altered(draw: st.DrawFn, values: Strategy) -> Any:
    """A value in which up to three parts are altered."""
    value = draw(values)
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        value = _alter(value, draw)
    return value


def _alter(value: Any, draw: st.DrawFn) -> Any:
    inner: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    if inner and draw(st.sampled_from([True, True, True, False])):
        key = draw(st.sampled_from(inner))
        match draw(st.sampled_from(["within", "within", "remove", "multiply"])):
            case "remove" if isinstance(value, dict):
                return {name: each for name, each in value.items() if name != key}
            case "multiply" if isinstance(value, list):
                room = _MAX_BYTES // (len(json.dumps(value[key])) + 1)
                return value + [value[key]] * min(room, draw(st.sampled_from([1, 600, 30_000])))
            case _:
                copy = dict(value) if isinstance(value, dict) else list(value)
                copy[key] = _alter(value[key], draw)
                return copy
    match draw(st.sampled_from(["scalar", "scalar", "any", "nest", "fill"])):
        case "scalar":
            return draw(SCALARS)
        case "any":
            return draw(JSON)
        case "nest":
            for _ in range(draw(st.sampled_from([1, 40, 900]))):
                value = [value]
            return value
        case _:
            return "x" * draw(st.sampled_from([1001, 70_000, 2 << 20]))


@st.composite
def _body(draw: st.DrawFn, values: Strategy) -> bytes:
    text = json.dumps(draw(values)).replace(f'"{_LONG}"', "9" * 5000)
    body = text.encode()
    match draw(
        st.sampled_from(["utf-8"] * 12 + ["utf-16", "latin-1", "truncated", "invalid", "blank", "gzip", "none"])
    ):
        case "utf-16":
            return text.encode("utf-16")
        case "latin-1":
            return json.dumps({"code": "é", "type": "é"}, ensure_ascii=False).encode("latin-1")
        case "truncated":
            return body[: draw(st.integers(0, len(body)))]
        case "invalid":
            at = draw(st.integers(0, len(body)))
            return body[:at] + draw(st.binary(min_size=1, max_size=8)) + body[at:]
        case "blank":
            return body + b" " * draw(st.sampled_from([1 << 10, 1 << 20, 9 << 20]))
        case "gzip":
            return gzip.compress(bytes(32 << 20), compresslevel=1)
        case "none":
            return b""
    return body


_STATUS = st.sampled_from([200] * 12 + [204, 206, 302, 400, 404, 409, 410, 429, 500, 503, 999, 100, 0])
_HEADERS: Strategy = st.lists(
    st.sampled_from(
        [
            *(b"Content-Encoding: gzip", b"Content-Encoding: br", b"Content-Type: text/html; charset=utf-7"),
            *(b"Location: http://127.0.0.1:5432/", b"Set-Cookie: a=b", b"Retry-After: 99999999", b"X: \xff\xfe"),
            *(b"Connection: close", b"Content-Disposition: attachment; filename*=UTF-8''%00%0d%0aX", b"no colon", b":"),
            *(b"X: " + b"y" * 70_000, b"\r\n".join(b"X-%d: y" % number for number in range(900))),
        ]
    ),
    max_size=2,
)


@st.composite
def _response(draw: st.DrawFn, values: Strategy) -> list[Step]:
    status = draw(_STATUS)
    body = draw(_body(values if 200 <= status < 300 else values | _altered(_ERROR)))
    length = len(body)
    lines = [b"HTTP/1.1 %d -" % status]
    framing = draw(
        st.sampled_from(["length"] * 12 + ["chunked", "endless chunks", "longer", "shorter", "odd", "close"])
    )
    match framing:
        case "length":
            lines.append(b"Content-Length: %d" % length)
        case "longer":
            lines.append(b"Content-Length: %d" % draw(st.sampled_from([length + 1, 1 << 31, 1 << 63])))
        case "shorter":
            lines.append(b"Content-Length: %d" % (length // 2))
        case "odd":
            lines.append(b"Content-Length: " + draw(st.sampled_from([b"-1", b"0x10", b"1, 2", b"9" * 4400, b""])))
        case "chunked" | "endless chunks":
            lines.append(b"Transfer-Encoding: chunked")
    if draw(st.sampled_from([False] * 4 + [True])):
        lines += draw(_HEADERS)
    head = b"\r\n".join([*lines, b"", b""])
    match framing:
        case "endless chunks":
            return [("send", head), ("repeat", b"10000\r\n" + b" " * 65536 + b"\r\n", 400), ("close",)]
        case "chunked":
            return [("send", head + b"%x\r\n%b\r\n0\r\n\r\n" % (length, body) if body else head + b"0\r\n\r\n")]
        case "close":
            return [("send", head + body), ("close",)]
        case "longer":
            return [("send", head + body), ("wait", 0.5), ("close",)]
    return [("send", head + body)]


@st.composite
def _delivery(draw: st.DrawFn, values: Strategy) -> list[Step]:
    steps = draw(_response(values))
    first = steps[0][1]
    match draw(st.sampled_from(["whole"] * 12 + ["early end", "reset", "drip", "garbage", "nothing", "informational"])):
        case "early end":
            return [("send", first[: draw(st.integers(0, len(first)))]), ("close",)]
        case "reset":
            return [("send", first[: draw(st.integers(0, len(first)))]), ("reset",)]
        case "drip":
            pieces = [("send", first[at : at + 7]) for at in range(0, min(len(first), 140), 7)]
            return [step for piece in pieces for step in (piece, ("wait", 0.05))] + [("close",)]
        case "garbage":
            return [*steps, ("send", draw(st.binary(min_size=1, max_size=200)))]
        case "nothing":
            return [("wait", 0.5), ("close",)]
        case "informational":
            return [("repeat", b"HTTP/1.1 102 Processing\r\n\r\n", 20_000), ("close",)]
    return steps


def scripts(bot: str) -> "st.SearchStrategy[HostileScript]":
    """A hostile runtime: up to three answers to each call, in turn. Half of the runtimes are online otherwise."""
    answers = {call: st.lists(_delivery(_altered(values)), min_size=1, max_size=3) for call, values in _ANSWERS.items()}
    answers["GET /health"] |= st.just([list(response(health(bot)))])
    return st.fixed_dictionaries(answers).map(HostileScript)


class HostileScript(dict[str, Sequence[Answer]]):
    """A script that is printed in a few lines."""

    def __repr__(self) -> str:
        lines = [f"{call}: {_shortened(repr(answers))}" for call, answers in self.items()]
        return "\n".join(["HostileScript", *lines])


def _shortened(text: str) -> str:
    return re.sub(r"(?s)(.{300}).{50,}?(.{100})$", r"\1…\2", text)
