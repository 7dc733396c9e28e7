"""Authentication in front of every route: all paths but the two probes need a key, so new routes are closed by default.

It runs before routing and before the body is read, so a caller without a key learns nothing, not even which paths
exist. It also lets requests take turns (`turns.py`), limits their bodies in size and time, records metrics and a log
line for each, and marks responses as not cacheable.
"""

import asyncio
import logging
import time
from contextlib import AsyncExitStack

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api import docs, errors
from orchestrator.api.context import context
from orchestrator.api.messages import body
from orchestrator.api.operations.http_metrics import HttpMetrics
from orchestrator.api.turns import Turn
from orchestrator.api.unread_responses import PIECE_BYTES, UnreadResponses
from orchestrator.auth import Identity, presented_key
from orchestrator.errors import TooLargeError, TooManyRequestsError, UnauthorizedError

log = logging.getLogger("orchestrator.api")

OPEN_PATHS = frozenset({"/livez", "/readyz"})
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY_BYTES = 1 << 20
BODY_SECONDS = 30.0
"""Within which a body has to arrive."""
LARGE_BODY_SECONDS = 120.0
"""The same for one that may contain a file."""
_ADMINS = ("admins",)
_NOBODY = ("nobody",)
"""Tenants that are no server."""
RECHECK_SECONDS = 1.0
"""A longer request, such as one that waits for a QR code, gets only an error if its key was revoked meanwhile."""


class AuthMiddleware:
    """ASGI middleware: authenticates each request, lets it take its turn, limits its body, and records its outcome."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, unread: UnreadResponses) -> None:
        self._app = app
        self._metrics = metrics
        self._unread = unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        head = scope["method"] == "HEAD"
        if head:
            scope = {**scope, "method": "GET"}  # the same response without the body
        sending = _Sending(self._unread, scope, receive, send, head=head)
        respond = self._app
        try:
            try:
                receive = await self._admit(scope, receive)
            except Exception as exc:
                respond = _error_response(scope, exc)
            try:
                async with AsyncExitStack() as stack:
                    if (tenant := _tenant(scope)) is not None:
                        sending.turn = await stack.enter_async_context(context(Request(scope)).turns.turn(tenant))
                    await respond(scope, receive, sending)
            except TooManyRequestsError as exc:
                await _error_response(scope, exc)(scope, receive, sending)
        finally:
            self._record(scope, sending.status, time.perf_counter() - started)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Authenticate the request and store the caller's identity in it; returns the limited `receive`."""
        headers = dict(Headers(scope=scope))
        if scope["path"] not in OPEN_PATHS:
            key = presented_key(headers, basic=docs.is_page(scope["path"]))
            caller = await context(Request(scope)).keys.verify(key)
            scope.setdefault("state", {})["identity"] = caller
            if scope["method"] not in READ_METHODS:
                caller.require_writer()
        if body.takes_files(scope["method"], scope["path"]):
            return _limited(headers, receive, body.MAX_JSON_BYTES, seconds=LARGE_BODY_SECONDS)
        return _limited(headers, receive, MAX_BODY_BYTES, seconds=BODY_SECONDS)

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


def _tenant(scope: Scope) -> object | None:
    """Whose turn a request takes; None for the probes, which take none."""
    if scope["path"] in OPEN_PATHS:
        return None
    caller: Identity | None = scope.get("state", {}).get("identity")
    if caller is None:
        return _NOBODY
    return _ADMINS if caller.server is None else caller.server


class _Sending:
    """`send` of one request. An error takes the place of a response that must not be sent any more."""

    def __init__(self, unread: UnreadResponses, scope: Scope, receive: Receive, send: Send, *, head: bool) -> None:
        self.status = 500
        self.turn: Turn | None = None
        self._unread = unread
        self._scope = scope
        self._receive = receive
        self._send = send
        self._head = head
        self._started = time.perf_counter()
        self._start: Message | None = None
        """Held back until the first part of the body is there."""
        self._begun = False
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        """An ASGI message of the application."""
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            self._start = message
        elif self._start is None:
            await self._transmit(message)
        else:
            start, self._start = self._start, None
            try:
                await self._begin(start, message)
            except Exception as exc:
                if self._begun:
                    raise
                self._replaced = True
                await _error_response(self._scope, exc)(self._scope, self._receive, self._transmit)

    async def _begin(self, start: Message, message: Message) -> None:
        """Send the start of a response with the first part of its body."""
        caller: Identity | None = self._scope.get("state", {}).get("identity")
        if caller is not None and time.perf_counter() - self._started > RECHECK_SECONDS:
            await context(Request(self._scope)).keys.require_unrevoked(caller)
        body = message.get("body", b"")
        if self._head or message.get("more_body") or len(body) <= PIECE_BYTES:
            await self._transmit(start)
            await self._transmit(message)
        else:
            await self._unread.send(start, body, self._transmit, server=caller.server if caller else None)

    async def _transmit(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Content-Type-Options"] = "nosniff"
            if self.turn is not None:
                self.turn.end()  # a caller that reads slowly must not delay others
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)


def _error_response(scope: Scope, exc: Exception) -> Response:
    response = errors.error_response(exc, path=scope["path"])
    if isinstance(exc, UnauthorizedError) and docs.is_page(scope["path"]):
        response.headers["WWW-Authenticate"] = 'Basic realm="botdock: any user, the API key as password"'
    return response


def _limited(headers: dict[str, str], receive: Receive, limit: int, *, seconds: float) -> Receive:
    """`receive` that enforces limits of a body. Raises TooLargeError at once if `Content-Length` exceeds it."""
    too_large = errors.TOO_LARGE if limit == MAX_BODY_BYTES else body.TOO_LARGE
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise TooLargeError(too_large)
    received = 0
    deadline: float | None = None
    complete = False

    async def receive_limited() -> Message:
        nonlocal received, deadline, complete
        if complete:
            return await receive()  # waits until the caller is gone
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + seconds
        # HTTPException is the only exception that FastAPI passes on while it reads a body.
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {seconds:g} seconds: retry") from None
        complete = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, too_large)
        return message

    return receive_limited
