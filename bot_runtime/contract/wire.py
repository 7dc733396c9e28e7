"""The base of all bodies, and the body of errors."""

import msgspec


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all bodies: immutable, camelCase on the wire, unknown fields ignored (either side may be newer)."""


class Error(Wire, frozen=True):
    """An error body: a stable `code` for programs and a sentence for people."""

    code: str
    message: str
    retry_after_ms: int | None = None
    """With 429: when there is room again."""
