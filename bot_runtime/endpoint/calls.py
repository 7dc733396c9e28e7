"""What the calls of the endpoint do with the bot. `routes.py` reads the requests and writes the responses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

from bot_runtime.bot import BotRuntime
from bot_runtime.contract import (
    ConnectionState,
    EventPage,
    Group,
    Health,
    PairCode,
    PairCodeRequest,
    Qr,
    RuntimeConfig,
    Secrets,
    SendRequest,
    SendResult,
    Stats,
)
from bot_runtime.errors import ApiError, is_full, wrong_state
from bot_runtime.files.downloads import DownloadedFile
from bot_runtime.logs import set_level
from bot_runtime.storage.config import StaleConfigError
from bot_runtime.whatsapp.jid import parse_address, parse_number
from bot_runtime.whatsapp.messages import WhatsAppError

WHATSAPP_SECONDS = 30.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class EndpointCalls:
    """The calls of `bot_runtime/contract/__init__.py`. All raise `ApiError`."""

    def __init__(self, bot: BotRuntime) -> None:
        self._bot = bot

    def health(self) -> Health:
        return self._bot.health()

    def stats(self) -> Stats:
        return self._bot.stats()

    async def events(self, *, spool_id: str, after: int, limit: int, wait_seconds: float) -> EventPage:
        self._bot.group_events.events_requested(spool_id, after)
        return await self._bot.spool.page(spool_id=spool_id, after=after, limit=limit, wait_seconds=wait_seconds)

    def qr(self) -> Qr:
        connection = self._bot.connection
        if connection.qr is None:
            raise wrong_state(f"there is no QR code: the connection is {connection.status.state}")
        return connection.qr

    async def pair_code(self, request: PairCodeRequest) -> PairCode:
        try:
            number = parse_number(request.phone_number)
        except ValueError as exc:
            raise ApiError(400, "bad-phone-number", str(exc)) from exc
        connection = self._bot.connection
        until = connection.pairing_until
        if connection.status.state is not ConnectionState.PAIRING or until is None:
            raise wrong_state(f"the bot is not waiting for a phone: the connection is {connection.status.state}")
        try:
            return PairCode(code=await _in_time(self._bot.device.pair_code, number), expires_at=until)
        except WhatsAppError as exc:
            raise ApiError(502, "pair-code-failed", f"WhatsApp returned no pairing code: {exc}") from exc

    def configure(self, config: RuntimeConfig) -> RuntimeConfig:
        try:
            configured = self._bot.host.configure(config)
        except StaleConfigError as exc:
            raise ApiError(409, "stale-generation", str(exc)) from exc
        except OSError as exc:
            if is_full(exc):
                raise ApiError(507, "disk-full", "the volume of the bot is full") from exc
            raise
        set_level(configured.log_level)
        return configured

    def use_secrets(self, secrets: Secrets) -> None:
        self._bot.responder.use_secrets(secrets)

    async def send(self, request: SendRequest) -> SendResult:
        if not self._bot.sender.known(request.client_id):
            self._check_online()
        return await self._bot.sender.send(request)

    async def upload(self, client_id: str, pieces: AsyncIterator[bytes], *, size: int | None) -> None:
        await self._bot.uploads.receive(client_id, pieces, size=size)

    async def open_media(self, message_id: str) -> DownloadedFile:
        self._bot.media.reference(message_id)  # an unknown file is a 404 in any state
        self._check_online()
        return await self._bot.media.open(message_id)

    async def group(self, group_id: str) -> Group:
        try:
            address = parse_address(group_id)
        except ValueError as exc:
            raise ApiError(400, "bad-group", str(exc)) from exc
        if not address.is_group:
            raise ApiError(400, "bad-group", "not a group id: expected digits@g.us")
        self._check_online()
        return await self._bot.groups.info(address)

    async def reset(self) -> Health:
        self._bot.connection.reset()
        return self.health()

    async def logout(self) -> Health:
        connection = self._bot.connection
        if self._bot.credentials.account is None:
            raise wrong_state("there is no session to log out")
        if connection.status.state is not ConnectionState.ONLINE:
            raise wrong_state(f"logging out requires a connection: the connection is {connection.status.state}")
        try:
            await _in_time(self._bot.device.logout)
        except WhatsAppError as exc:
            raise ApiError(502, "logout-failed", f"WhatsApp did not log the bot out: {exc}") from exc
        connection.logged_out()
        return self.health()

    def _check_online(self) -> None:
        state = self._bot.connection.status.state
        if state is not ConnectionState.ONLINE:
            raise wrong_state(f"the bot is not online: the connection is {state}")


async def _in_time(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    try:
        return await asyncio.wait_for(asyncio.to_thread(call, *args, **kwargs), WHATSAPP_SECONDS)
    except TimeoutError:
        raise ApiError(504, "timeout", "WhatsApp did not answer in time") from None
