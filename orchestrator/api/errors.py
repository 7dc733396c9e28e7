"""Error responses: every error becomes RFC 9457 `application/problem+json` here, and nowhere else.

    {"type": "about:blank", "title": "Conflict", "status": 409, "code": "not-approved", "detail": "…", "errors": […]}

`code` is stable and meant for programs, `detail` is a message for people, `errors` lists the invalid fields of a
request. Internals are never exposed: the response to an unexpected error only states that it was logged.

Errors of the session pool (`/api/whatsapp/…`) have a format of their own, with the same statuses:

    {"success": false, "error": "…", "retryAfter": 45000, "qrCode": "data:image/png;base64,…"}
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from orchestrator.db.session import is_missing_reference, is_unavailable
from orchestrator.errors import (
    BotdockError,
    NotFoundError,
    SlowRequestError,
    TooLargeError,
    TooManyMessagesError,
    TooManyRequestsError,
    UnauthorizedError,
)
from orchestrator.validation_messages import validation_message

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
MAX_ERRORS = 20
POOL_PREFIX = "/api/whatsapp/"
TOO_LARGE = "the body is larger than 1 MiB: send less data"

_HTTP_CODES = {
    HTTPStatus.NOT_FOUND: ("unknown-path", "unknown path: see /docs for the paths of this API"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method-not-allowed",
        "this path does not support this method: see the Allow header",
    ),
    HTTPStatus.BAD_REQUEST: ("malformed-request", "the request could not be parsed"),
}


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Register the error handlers of an application with these routes."""
    app.state.routes = routes
    kinds = (BotdockError, RequestValidationError, HTTPException, DBAPIError, PoolTimeout, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, exc: Exception) -> Response:
    response = error_response(exc, path=request.scope["path"])
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette lists the methods of the first matching route only; each of our routes has one method.
        response.headers["Allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    routes: Sequence[APIRoute] = request.app.state.routes
    methods = [route.methods or () for route in routes if route.path_regex.fullmatch(request.scope["path"])]
    return sorted(set().union(*methods))


@dataclass(frozen=True, slots=True)
class _ErrorContent:
    """The content of an error response."""

    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def error_response(exc: Exception, *, path: str = "") -> Response:
    """The response for any error, in the format used at `path`."""
    problem = _described(exc)
    if path.startswith(POOL_PREFIX):
        body = {"success": False, "error": problem.detail, **problem.extra}
        return JSONResponse(body, status_code=problem.status, headers=problem.headers)
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        **problem.extra,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    return JSONResponse(
        body, status_code=problem.status, headers=problem.headers, media_type="application/problem+json"
    )


def _described(exc: Exception) -> _ErrorContent:
    match exc:
        case BotdockError():
            return _of_botdock(exc)
        case RequestValidationError():
            return _of_validation(exc.errors())
        case HTTPException():
            return _of_http(exc)
        case DBAPIError() | PoolTimeout() if is_unavailable(exc):
            log.warning("database unavailable: %s", _first_line(exc))
            return _ErrorContent(
                503,
                "database-unavailable",
                "the database is unavailable, retry later; bots keep running",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        case DBAPIError() if is_missing_reference(exc):
            return _ErrorContent(404, NotFoundError.code, "the bot or server of this request was deleted meanwhile")
        case _:
            log.error("unexpected error", exc_info=exc)
            return _ErrorContent(500, "internal-error", "unexpected error: see the log of the api")


def _of_botdock(exc: BotdockError) -> _ErrorContent:
    headers: dict[str, str] = {}
    if isinstance(exc, UnauthorizedError):
        headers["WWW-Authenticate"] = 'Bearer realm="botdock"'
    if exc.status == HTTPStatus.SERVICE_UNAVAILABLE or isinstance(exc, TooManyRequestsError):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(exc, TooManyMessagesError):
        headers["Retry-After"] = str(-(-exc.retry_after_ms // 1000))
    return _ErrorContent(exc.status, exc.code, printable(exc.message), headers=headers, extra=exc.extra)


def _of_http(exc: HTTPException) -> _ErrorContent:
    if exc.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _ErrorContent(exc.status_code, TooLargeError.code, exc.detail)
    if exc.status_code == HTTPStatus.REQUEST_TIMEOUT:
        return _ErrorContent(exc.status_code, SlowRequestError.code, exc.detail)
    code, detail = _HTTP_CODES.get(HTTPStatus(exc.status_code), ("http-error", str(exc.detail)))
    return _ErrorContent(exc.status_code, code, detail, headers=exc.headers)


def _of_validation(raw: Sequence[Any]) -> _ErrorContent:
    if raw and raw[0]["type"] == "json_invalid":
        where = f"{raw[0]['ctx']['error']} at character {raw[0]['loc'][-1]}"
        return _ErrorContent(400, "malformed-json", f"the body is not valid JSON: {printable(where)}")
    errors = [_field_error(error) for error in raw[:MAX_ERRORS]]
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3])
    more = f"; and {len(raw) - 3} more" if len(raw) > 3 else ""
    return _ErrorContent(422, "invalid-input", detail + more, errors=errors)


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    where, *path = [str(part) for part in error["loc"]]
    field = ".".join(printable(part) for part in path) or where
    message = printable(validation_message(error), limit=300)
    if field == "body" and error["type"] in {"model_attributes_type", "dict_type"}:
        message = "must be a JSON object, sent with Content-Type: application/json"
    return {"in": where, "field": field, "message": message}


def printable(text: str, *, limit: int = 500) -> str:
    """Untrusted text made safe for a response: valid UTF-8, no control characters, truncated to `limit`."""
    clean = "".join(char if char.isprintable() else "�" for char in text)
    return clean if len(clean) <= limit else clean[:limit] + "…"


def _first_line(exc: BaseException) -> str:
    return next(iter(str(exc).splitlines()), type(exc).__name__)
