"""The HTTP endpoint: routes, authentication, bodies and errors. What the calls do is in `calls.py`."""

import hmac
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from bot_runtime.contract import (
    MAX_BODY_BYTES,
    MAX_EVENTS_PER_PAGE,
    MAX_WAIT_SECONDS,
    Error,
    PairCodeRequest,
    RuntimeConfig,
    Secrets,
    SendRequest,
    Wire,
    shortened,
)
from bot_runtime.endpoint.calls import EndpointCalls
from bot_runtime.endpoint.server import Application, HttpRequest, HttpResponse, RejectedError
from bot_runtime.errors import ApiError
from bot_runtime.files.downloads import DownloadedFile

log = logging.getLogger(__name__)

_T = TypeVar("_T", bound=Wire)
_Result = Wire | DownloadedFile | None
_Handler = Callable[[HttpRequest], Awaitable[_Result]]
_HandlerOfOne = Callable[[HttpRequest, str], Awaitable[_Result]]

_REJECTIONS = {
    408: ("too-slow", "the request did not arrive in time"),
    413: ("too-large", "the body is larger than this endpoint accepts"),
}


def rejection(status: int) -> bytes:
    """The body of the response to a request that could not be read."""
    code, message = _REJECTIONS.get(status, ("malformed", "this is not a valid HTTP request"))
    return msgspec.json.encode(Error(code=code, message=message))


def make_authorization(token: str) -> Callable[[bytes], bool]:
    """Whether an `Authorization` header carries `token`."""
    expected = b"Bearer " + token.encode()
    return lambda header: hmac.compare_digest(header, expected)


def make_application(calls: EndpointCalls) -> Application:
    """The application of the endpoint. All calls except `GET /livez` must be authorized."""

    async def health(_: HttpRequest) -> Wire:
        return calls.health()

    async def events(request: HttpRequest) -> Wire:
        return await calls.events(
            spool_id=request.query.get("spool", ""),
            after=int(_number(request, "after", 0, 2**62)),
            limit=max(1, int(_number(request, "limit", 100, MAX_EVENTS_PER_PAGE))),
            wait_seconds=_number(request, "wait", 0, MAX_WAIT_SECONDS),
        )

    async def qr(_: HttpRequest) -> Wire:
        return calls.qr()

    async def pair_code(request: HttpRequest) -> Wire:
        return await calls.pair_code(await _body(request, PairCodeRequest))

    async def configure(request: HttpRequest) -> Wire:
        return calls.configure(await _body(request, RuntimeConfig))

    async def secrets(request: HttpRequest) -> None:
        calls.use_secrets(await _body(request, Secrets))

    async def send(request: HttpRequest) -> Wire:
        return await calls.send(await _body(request, SendRequest))

    async def upload(request: HttpRequest, client_id: str) -> None:
        await calls.upload(client_id, request.body.pieces(), size=request.size)

    async def media(_: HttpRequest, message_id: str) -> DownloadedFile:
        return await calls.open_media(message_id)

    async def group(_: HttpRequest, group_id: str) -> Wire:
        return await calls.group(group_id)

    async def reset(_: HttpRequest) -> Wire:
        return await calls.reset()

    async def logout(_: HttpRequest) -> Wire:
        return await calls.logout()

    async def stats(_: HttpRequest) -> Wire:
        return calls.stats()

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
    }
    routes_of_one: dict[tuple[str, str], _HandlerOfOne] = {
        ("PUT", "/uploads"): upload,
        ("GET", "/media"): media,
        ("GET", "/groups"): group,
    }

    async def answer(request: HttpRequest) -> _Result:
        handler = routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        collection, _, name = request.path.rpartition("/")
        handler_of_one = routes_of_one.get((request.method, collection))
        if handler_of_one is None or not name:
            raise ApiError(404, "not-found", "this path and method do not exist")
        return await handler_of_one(request, unquote(name))

    async def application(request: HttpRequest) -> HttpResponse:
        if (request.method, request.path) == ("GET", "/livez"):
            return HttpResponse(204)
        try:
            if not request.authorized:
                raise ApiError(401, "unauthorized", "a valid bearer token is required")
            return _response(await answer(request))
        except ApiError as exc:
            return _error(exc)
        except RejectedError:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return _error(ApiError(500, "internal-error", "the runtime failed; see its log"))

    return application


def _response(answer: _Result) -> HttpResponse:
    if answer is None:
        return HttpResponse(204)
    if not isinstance(answer, DownloadedFile):
        return HttpResponse(200, msgspec.json.encode(answer))
    headers = [("content-type", answer.mimetype), ("x-content-type-options", "nosniff")]
    if answer.file_name:
        headers.append(("content-disposition", f"attachment; filename*=UTF-8''{quote(answer.file_name, safe='')}"))
    return HttpResponse(200, headers=tuple(headers), file=answer)


def _error(error: ApiError) -> HttpResponse:
    wait = error.retry_after_seconds
    body = Error(
        code=error.code,
        message=shortened(error.message),
        retry_after_ms=math.ceil(wait * 1000) if wait is not None else None,
    )
    headers = (("retry-after", str(math.ceil(wait))),) if wait is not None else ()
    return HttpResponse(error.status, msgspec.json.encode(body), headers)


async def _body(request: HttpRequest, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(await request.body.read(MAX_BODY_BYTES), type=kind)
    except msgspec.MsgspecError as exc:
        raise ApiError(400, "malformed", str(exc)) from exc


def _number(request: HttpRequest, name: str, default: float, maximum: float) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise ApiError(400, "malformed", f"{name} must be a non-negative number")
    return min(value, maximum)
