"""A fake of a bot's HTTP endpoint: implements `bot_runtime/contract/` on loopback, controlled by the test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot_runtime import contract
from bot_runtime.contract import ConnectionState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QR = contract.Qr(code="https://wa.me/settings/linked_devices#2@ref,noise,identity,adv,6", expires_at=NOW)


@dataclass
class FakeRuntime:
    """The endpoint of a bot; set the fields to control its behaviour."""

    token: str
    port: int = 0
    connection: ConnectionState = ConnectionState.PAIRING
    qr: contract.Qr | None = QR
    fails: tuple[int, str, str] | None = None
    """Status, code and message of the response to every request that changes something."""
    silent: bool = False
    """Never responds."""
    sent: list[contract.SendRequest] = field(default_factory=list)
    """Messages that were sent, each once."""
    asked: list[str] = field(default_factory=list)
    """Client ids of all send requests."""
    refuses: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    """Error responses to the next send requests for a chat."""
    loses: int = 0
    """How many of the next messages are sent although the response is lost."""
    unconfirmed: bool = False
    """WhatsApp's confirmations do not reach the bot."""
    hold: asyncio.Event | None = None
    """What send requests wait for."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    media: dict[str, tuple[str, str | None, bytes]] = field(default_factory=dict)
    """Type, name and bytes of the files of received messages."""
    secrets: list[contract.Secrets] = field(default_factory=list)
    pair_codes: list[str] = field(default_factory=list)
    resets: int = 0
    logouts: int = 0
    on_reset: Callable[["FakeRuntime"], None] = lambda _: None

    async def health(self, _request: Request) -> Response:
        return _json(self._health())

    async def show_qr(self, _request: Request) -> Response:
        if self.qr is None:
            return _error(409, "no-qr", "no QR code is shown")
        return _json(self.qr)

    async def pair_code(self, request: Request) -> Response:
        asked = msgspec.json.decode(await request.body(), type=contract.PairCodeRequest)
        if self.fails:
            return _error(*self.fails)
        if self.qr is None:
            return _error(409, "not-pairing", "the bot is not waiting for a phone")
        self.pair_codes.append(asked.phone_number)
        return _json(contract.PairCode(code="ABCD-1234", expires_at=NOW))

    async def send(self, request: Request) -> Response:
        message = msgspec.json.decode(await request.body(), type=contract.SendRequest)
        self.asked.append(message.client_id)
        if self.hold is not None:
            await self.hold.wait()
        repeated = message.client_id in {earlier.client_id for earlier in self.sent}
        if not repeated:
            if refusals := self.refuses.get(message.to):
                return _error(*refusals.pop(0))
            if self.fails:
                return _error(*self.fails)
            if isinstance(message.content, contract.FILES) and message.client_id not in self.uploads:
                return _error(409, "upload-missing", "no file")
            self.sent.append(message)
            if self.loses:
                self.loses -= 1
                return Response(b"<html>lost</html>", 502)
        whatsapp_id = f"3EB0{message.client_id[:8]}"
        return _json(
            contract.SendResult(message_id=whatsapp_id, timestamp=NOW, repeated=repeated, unconfirmed=self.unconfirmed)
        )

    async def upload(self, request: Request) -> Response:
        self.uploads[request.path_params["client_id"]] = await request.body()
        return Response(status_code=204)

    async def show_media(self, request: Request) -> Response:
        if self.fails:
            return _error(*self.fails)
        found = self.media.get(request.path_params["message_id"])
        if found is None:
            return _error(404, "no-media", "this message has no file, or is too old")
        kind, name, data = found
        headers = {} if name is None else {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return Response(data, media_type=kind, headers=headers)

    async def put_secrets(self, request: Request) -> Response:
        self.secrets.append(msgspec.json.decode(await request.body(), type=contract.Secrets))
        return Response(status_code=204)

    async def reset(self, _request: Request) -> Response:
        if self.fails:
            return _error(*self.fails)
        self.resets += 1
        self.on_reset(self)
        return _json(self._health())

    async def logout(self, _request: Request) -> Response:
        if self.fails:
            return _error(*self.fails)
        if self.connection is ConnectionState.LOGGED_OUT:
            return _error(409, "no-session", "there is no session")
        self.logouts += 1
        self.connection = ConnectionState.LOGGED_OUT
        return _json(self._health())

    def _health(self) -> contract.Health:
        return contract.Health(
            bot_id="bot-1",
            server_name="server1",
            boot_id="boot",
            started_at=NOW,
            connection=self.connection,
            since=NOW,
            phone_number=None,
            push_name=None,
            last_heartbeat=NOW,
            last_activity=None,
            connection_attempts=0,
            last_error=None,
            events=contract.EventCursor(spool_id="spool", last_seq=0, acked_seq=0),
            event_history_size=0,
            creds_updated_at=None,
            config_generation=1,
            memory_bytes=1,
            versions=contract.Versions(runtime="0", neonize="0", python="3"),
        )

    def app(self) -> Starlette:
        """The ASGI application."""

        def guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
            async def handle(request: Request) -> Response:
                if self.silent:
                    await asyncio.Event().wait()
                if request.headers.get("authorization") != f"Bearer {self.token}":
                    return _error(401, "unauthorized", "wrong token")
                return await handler(request)

            return handle

        return Starlette(
            routes=[
                Route("/health", guarded(self.health)),
                Route("/qr", guarded(self.show_qr)),
                Route("/pair-code", guarded(self.pair_code), methods=["POST"]),
                Route("/messages", guarded(self.send), methods=["POST"]),
                Route("/uploads/{client_id}", guarded(self.upload), methods=["PUT"]),
                Route("/media/{message_id}", guarded(self.show_media)),
                Route("/secrets", guarded(self.put_secrets), methods=["PUT"]),
                Route("/connection/reset", guarded(self.reset), methods=["POST"]),
                Route("/logout", guarded(self.logout), methods=["POST"]),
            ]
        )


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[int]:
    """Serve an application on a free port of loopback; the port."""
    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    serving = asyncio.create_task(server._serve(sockets=[listener]))  # without its signal handlers
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def _json(body: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _error(status: int, code: str, message: str) -> Response:
    return Response(
        msgspec.json.encode(contract.Error(code=code, message=message)), status, media_type="application/json"
    )
