"""The gate in front of everything: no path without a key but the two probes, so a new route is closed by itself.

It stands before routing and before a body is read, hence a caller without a key learns nothing, not even which paths
exist. It also keeps the count, the time and the log line of each request, and marks answers as not to be stored.
"""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api import docs, errors
from orchestrator.api.context import context
from orchestrator.api.messages import body
from orchestrator.api.operations.http_metrics import HttpMetrics
from orchestrator.auth import Identity, presented_key
from orchestrator.errors import TooLarge, Unauthorized

log = logging.getLogger("orchestrator.api")

OPEN_PATHS = frozenset({"/livez", "/readyz"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY_BYTES = 1 << 20


class AuthMiddleware:
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
        head = scope["method"] == "HEAD"
        if head:
            scope = {**scope, "method": "GET"}  # answered alike, less the body

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
            await send({**message, "body": b""} if head and message["type"] == "http.response.body" else message)

        try:
            try:
                limited = await self._admit(scope, receive)
            except Exception as exc:
                await _refusal(scope, exc)(scope, receive, answer)
            else:
                await self._app(scope, limited, answer)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Put the caller's identity into the request; where its body is to be read from. Raises what refuses it."""
        headers = dict(Headers(scope=scope))
        if scope["path"] not in OPEN_PATHS:
            key = presented_key(headers, basic=docs.is_page(scope["path"]))
            caller = await context(Request(scope)).keys.verify(key)
            if scope["method"] not in READING:
                caller.require_writer()
            scope.setdefault("state", {})["identity"] = caller
        large = body.takes_files(scope["method"], scope["path"])
        return _limited(headers, receive, body.MAX_JSON_BYTES if large else MAX_BODY_BYTES)

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


def _refusal(scope: Scope, exc: Exception) -> Response:
    response = errors.answer(exc, path=scope["path"])
    if isinstance(exc, Unauthorized) and docs.is_page(scope["path"]):
        response.headers["WWW-Authenticate"] = 'Basic realm="botdock: any user, the API key as password"'
    return response


def _limited(headers: dict[str, str], receive: Receive, limit: int) -> Receive:
    """The body, as long as it keeps to the limit. Raises TooLarge at once for one that announces more."""
    too_large = errors.TOO_LARGE if limit == MAX_BODY_BYTES else body.TOO_LARGE
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limit:
        raise TooLarge(too_large)
    taken = 0

    async def receive_limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise HTTPException(413, too_large)  # the one exception that FastAPI lets through while it reads a body
        return message

    return receive_limited
