"""The gate in front of everything: no path without a key but the two probes, so a new route is closed by itself.

It stands before routing and before a body is read, hence a caller without a key learns nothing, not even which paths
exist. It also keeps the count, the time and the log line of each request, and marks answers as not to be stored.
"""

import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api import docs, errors
from orchestrator.api.context import context
from orchestrator.api.http_metrics import HttpMetrics
from orchestrator.auth import Identity, presented_key
from orchestrator.errors import TooLarge, Unauthorized

log = logging.getLogger("orchestrator.api")

OPEN_PATHS = frozenset({"/livez", "/readyz"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY_BYTES = 1 << 20


class Gate:
    """ASGI middleware: who calls, and what came of it."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            refusal = await self._admit(scope)
            await (refusal or self._app)(scope, receive, answer)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    async def _admit(self, scope: Scope) -> Response | None:
        """Put the caller's identity into the request, or answer in place of the application."""
        if scope["path"] in OPEN_PATHS:
            return None
        for_browsers = docs.is_page(scope["path"])
        headers = dict(Headers(scope=scope))
        try:
            caller = await context(Request(scope)).keys.verify(presented_key(headers, basic=for_browsers))
            if scope["method"] not in READING:
                caller.require_writer()
            _refuse_announced_size(headers)
        except Exception as exc:
            refusal = errors.answer(exc)
            if for_browsers and isinstance(exc, Unauthorized):
                refusal.headers["WWW-Authenticate"] = 'Basic realm="botdock: any user, the API key as password"'
            return refusal
        state: dict[str, Any] = scope.setdefault("state", {})
        state["identity"] = caller
        return None

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        self._metrics.record(method=scope["method"], route=route, status=status, seconds=seconds)
        caller: Identity | None = scope.get("state", {}).get("identity")
        level = logging.INFO if scope["method"] not in READING or status >= 500 else logging.DEBUG
        log.log(
            level,
            "%s %s: %d in %.0f ms, key %s",
            scope["method"],
            scope["path"],
            status,
            seconds * 1000,
            caller.key_id if caller else "none",
        )


def _refuse_announced_size(headers: dict[str, str]) -> None:
    # FastAPI counts what really comes (`max_body_size`), but answers an announcement in plain text.
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise TooLarge("the body is larger than 1 MiB")
