"""Errors of the control API: always JSON with a stable code and a sentence, never a stack trace."""

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
    """Answer with this status, code and sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a router's calls may answer with, for the documentation."""
    return {status: {"model": Problem} for status in statuses}


def install(app: FastAPI) -> None:
    """Make every error of the app one of ours."""

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
        place = ".".join(str(part) for part in first["loc"])
        return _answer(422, "invalid-request", f"{place}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        return _answer(error.status_code, code, str(error.detail))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        logger.error("a control call failed", exc_info=error)
        return _answer(500, "internal-error", "the simulator failed; its log says how")


def _answer(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(Problem(code=code, message=message).model_dump(), status)
