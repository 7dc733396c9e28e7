"""Authentication in front of every route: all paths but the two probes need a key, so new routes are closed by default.

It runs before routing and before the body is read, so a caller without a key learns nothing, not even which paths
exist. It also records metrics and a log line for each request, and marks responses as not cacheable.
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
from orchestrator.errors import TooLargeError, UnauthorizedError

log = logging.getLogger("orchestrator.api")

OPEN_PATHS = frozenset({"/livez", "/readyz"})
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY_BYTES = 1 << 20


class AuthMiddleware:
    """ASGI middleware: authenticates each request, limits its body, and records its outcome."""

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
            scope = {**scope, "method": "GET"}  # the same response without the body

        async def send_response(message: Message) -> None:
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
                await _error_response(scope, exc)(scope, receive, send_response)
            else:
                await self._app(scope, limited, send_response)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Authenticate the request and store the caller's identity in it; returns the limited `receive`."""
        headers = dict(Headers(scope=scope))
        if scope["path"] not in OPEN_PATHS:
            key = presented_key(headers, basic=docs.is_page(scope["path"]))
            caller = await context(Request(scope)).keys.verify(key)
            if scope["method"] not in READ_METHODS:
                caller.require_writer()
            scope.setdefault("state", {})["identity"] = caller
        large = body.takes_files(scope["method"], scope["path"])
        return _limited(headers, receive, body.MAX_JSON_BYTES if large else MAX_BODY_BYTES)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        self._metrics.record(method=scope["method"], route=route, status=status, seconds=seconds)
        caller: Identity | None = scope.get("state", {}).get("identity")
        level = logging.INFO if scope["method"] not in READ_METHODS or status >= 500 else logging.DEBUG
        log.log(
            level,
            "%s %s: %d in %.0f ms, key %s",
            scope["method"],
            scope["path"],
            status,
            seconds * 1000,
            caller.key_id if caller else "none",
        )


def _error_response(scope: Scope, exc: Exception) -> Response:
    response = errors.error_response(exc, path=scope["path"])
    if isinstance(exc, UnauthorizedError) and docs.is_page(scope["path"]):
        response.headers["WWW-Authenticate"] = 'Basic realm="botdock: any user, the API key as password"'
    return response


def _limited(headers: dict[str, str], receive: Receive, limit: int) -> Receive:
    """`receive` that enforces a body limit. Raises TooLargeError at once if `Content-Length` exceeds it."""
    too_large = errors.TOO_LARGE if limit == MAX_BODY_BYTES else body.TOO_LARGE
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise TooLargeError(too_large)
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, too_large)  # the only exception that FastAPI passes on while it reads a body
        return message

    return receive_limited
