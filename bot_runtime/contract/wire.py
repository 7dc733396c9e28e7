"""The base class of all bodies, and the error body."""

import msgspec

from bot_runtime.contract.limits import Code


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The base of all bodies: immutable, camelCase in JSON, unknown fields are ignored (either side may be newer)."""


class Error(Wire, frozen=True):
    """An error body: a stable `code` for programs and a `message` for people."""

    code: Code
    message: str
    retry_after_ms: int | None = None
    """With 429: when the next message may be sent."""
