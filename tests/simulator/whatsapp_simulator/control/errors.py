"""Errors of the control API: always JSON with a stable code and a message, never a stack trace."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from whatsapp_simulator.control.models import Problem
from whatsapp_simulator.pairing import PairingError
from whatsapp_simulator.world.groups import GroupError
from whatsapp_simulator.world.world import PhoneError

logger = logging.getLogger(__name__)


class ApiError(Exception):
    """Respond with this status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a router, for the OpenAPI document."""
    return {status: {"model": Problem} for status in statuses}


def install(app: FastAPI) -> None:
    """Convert every error of the app to the API's error format."""

    @app.exception_handler(ApiError)
    @app.exception_handler(PairingError)
    @app.exception_handler(GroupError)
    async def expected(_: Request, error: ApiError | PairingError | GroupError) -> JSONResponse:
        return _answer(error.status, error.code, str(error))

    @app.exception_handler(PhoneError)
    async def phone(_: Request, error: PhoneError) -> JSONResponse:
        return _answer(422, "invalid-phone", str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return _answer(422, "invalid-request", f"{field}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        return _answer(error.status_code, code, str(error.detail))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        logger.error("a request to the control API failed", exc_info=error)
        return _answer(500, "internal-error", "internal error; see the log of the simulator")


def _answer(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(Problem(code=code, message=message).model_dump(), status)
