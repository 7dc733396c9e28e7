"""The HTTP endpoint: routes, authentication, bodies and errors. What the calls do is in `bot.py`."""

import hmac
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from bot_runtime.bot import Bot
from bot_runtime.contract import (
    MAX_BODY_BYTES,
    MAX_EVENTS_PER_PAGE,
    MAX_WAIT_SECONDS,
    Error,
    Group,
    PairCodeRequest,
    RuntimeConfig,
    Secrets,
    SendRequest,
    Wire,
)
from bot_runtime.endpoint.server import Application, RejectedError, Request, Response
from bot_runtime.errors import ApiError
from bot_runtime.files.downloads import MediaFile

log = logging.getLogger(__name__)

_T = TypeVar("_T", bound=Wire)
_Answer = Wire | list[Group] | MediaFile | None
_Handler = Callable[[Request], Awaitable[_Answer]]
_HandlerOfOne = Callable[[Request, str], Awaitable[_Answer]]

_REJECTIONS = {
    408: ("too-slow", "the request did not arrive in time"),
    413: ("too-large", "the body is larger than this endpoint takes"),
}


def rejection(status: int) -> bytes:
    """The body of an answer to a request that could not be read."""
    code, message = _REJECTIONS.get(status, ("malformed", "this is not a valid HTTP request"))
    return msgspec.json.encode(Error(code=code, message=message))


def make_application(bot: Bot, token: str) -> Application:
    """The endpoint of `bot`; all calls but `GET /livez` need `token`."""
    expected = b"Bearer " + token.encode()

    async def health(_: Request) -> Wire:
        return bot.health()

    async def events(request: Request) -> Wire:
        return await bot.spool.page(
            spool_id=request.query.get("spool", ""),
            after=int(_number(request, "after", 0, 2**62)),
            limit=max(1, int(_number(request, "limit", 100, MAX_EVENTS_PER_PAGE))),
            wait=_number(request, "wait", 0, MAX_WAIT_SECONDS),
        )

    async def qr(_: Request) -> Wire:
        return bot.qr()

    async def pair_code(request: Request) -> Wire:
        return await bot.pair_code(await _body(request, PairCodeRequest))

    async def configure(request: Request) -> Wire:
        return bot.configure(await _body(request, RuntimeConfig))

    async def secrets(request: Request) -> None:
        bot.use_secrets(await _body(request, Secrets))

    async def send(request: Request) -> Wire:
        return await bot.send(await _body(request, SendRequest))

    async def upload(request: Request, client_id: str) -> None:
        await bot.uploads.receive(client_id, request.body.pieces(), size=request.size)

    async def media(_: Request, message_id: str) -> MediaFile:
        return await bot.open_media(message_id)

    async def groups(_: Request) -> list[Group]:
        return await bot.list_groups()

    async def group(_: Request, group_id: str) -> Wire:
        return await bot.group(group_id)

    async def reset(_: Request) -> Wire:
        return await bot.reset()

    async def logout(_: Request) -> Wire:
        return await bot.logout()

    async def stats(_: Request) -> Wire:
        return bot.stats()

    routes: dict[tuple[str, str], _Handler] = {
        ("GET", "/health"): health,
        ("GET", "/events"): events,
        ("GET", "/qr"): qr,
        ("POST", "/pair-code"): pair_code,
        ("PUT", "/config"): configure,
        ("PUT", "/secrets"): secrets,
        ("POST", "/messages"): send,
        ("POST", "/connection/reset"): reset,
        ("POST", "/logout"): logout,
        ("GET", "/stats"): stats,
        ("GET", "/groups"): groups,
    }
    routes_of_one: dict[tuple[str, str], _HandlerOfOne] = {
        ("PUT", "/uploads"): upload,
        ("GET", "/media"): media,
        ("GET", "/groups"): group,
    }

    async def answer(request: Request) -> _Answer:
        handler = routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        collection, _, name = request.path.rpartition("/")
        handler_of_one = routes_of_one.get((request.method, collection))
        if handler_of_one is None or not name:
            raise ApiError(404, "not-found", "there is no such call")
        return await handler_of_one(request, unquote(name))

    async def application(request: Request) -> Response:
        if (request.method, request.path) == ("GET", "/livez"):
            return Response(204)
        try:
            if not hmac.compare_digest(request.authorization, expected):
                raise ApiError(401, "unauthorized", "a valid bearer token is required")
            return _response(await answer(request))
        except ApiError as error:
            return _error(error)
        except RejectedError:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return _error(ApiError(500, "internal-error", "the runtime failed; its log says how"))

    return application


def _response(answer: _Answer) -> Response:
    if answer is None:
        return Response(204)
    if not isinstance(answer, MediaFile):
        return Response(200, msgspec.json.encode(answer))
    headers = [("content-type", answer.mimetype), ("x-content-type-options", "nosniff")]
    if answer.file_name:
        headers.append(("content-disposition", f"attachment; filename*=UTF-8''{quote(answer.file_name, safe='')}"))
    return Response(200, headers=tuple(headers), file=answer)


def _error(error: ApiError) -> Response:
    wait = error.retry_after
    body = Error(
        code=error.code,
        message=error.message,
        retry_after_ms=math.ceil(wait * 1000) if wait is not None else None,
    )
    headers = (("retry-after", str(math.ceil(wait))),) if wait is not None else ()
    return Response(error.status, msgspec.json.encode(body), headers)


async def _body(request: Request, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(await request.body.read(MAX_BODY_BYTES), type=kind)
    except msgspec.MsgspecError as error:
        raise ApiError(400, "malformed", str(error)) from error


def _number(request: Request, name: str, default: float, maximum: float) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise ApiError(400, "malformed", f"{name} must be a number and not negative")
    return min(value, maximum)
