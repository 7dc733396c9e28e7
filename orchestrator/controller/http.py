"""The controller's own HTTP port.

GET /livez                          200 while the event loop runs, on a standby too
GET /readyz                         200 for a standby (with the settings in which it differs from the leader),
                                    and for a leader after its first sweep; else 503, with the reason if the server is
                                    bound to another engine
GET /metrics                        Prometheus; needs an API key of the server, or of an admin
GET /internal/bots/{id}/logs        a bot's last log lines, for the api, which has no Docker socket; needs the bot's
                                    runtime token, which only Postgres, the bot, the api and the controller hold
"""

import asyncio
import hmac
import re

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from orchestrator.auth import KeyVerifier, presented_key
from orchestrator.controller.controller import Controller
from orchestrator.db.session import is_unavailable
from orchestrator.engine.base import Engine, EngineError
from orchestrator.errors import BotdockError, ForbiddenError
from orchestrator.reconcile.metrics import Metrics

DEFAULT_TAIL = 100
MAX_TAIL = 1000
LOG_READS = 2
"""Logs read at the same time: the engine has to start and kill bots meanwhile."""
LOG_SECONDS = 9.0
"""Less than the api waits."""


def create_app(*, controller: Controller, engine: Engine, verifier: KeyVerifier, metrics: Metrics) -> Starlette:
    """The application. All endpoints are read-only."""
    reading = asyncio.Semaphore(LOG_READS)

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_request: Request) -> Response:
        if controller.ready:
            return PlainTextResponse("leader")
        if controller.is_standby:
            names = ", ".join(controller.differing_settings)
            return PlainTextResponse(f"standby; settings differ from the leader's: {names}" if names else "standby")
        return PlainTextResponse(controller.refusal or "not ready", status_code=503)

    async def prometheus(request: Request) -> Response:
        try:
            caller = await verifier.verify(presented_key(dict(request.headers)))
            if caller.server not in {
                None,
                controller.server,
            }:  # a tenant must not see how busy another is
                raise ForbiddenError("this API key has no access to the server of this controller")
        except BotdockError as exc:
            return JSONResponse({"code": exc.code, "message": exc.message}, status_code=exc.status)
        except Exception as exc:
            if not is_unavailable(exc):
                raise
            return JSONResponse({"code": "unavailable", "message": "Postgres is unavailable"}, status_code=503)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def logs(request: Request) -> Response:
        reconciler = controller.reconciler
        state = None if reconciler is None else reconciler.state(request.path_params["bot_id"])
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if state is None or not hmac.compare_digest(token.encode(), state.bot.runtime_token.encode()):
            return JSONResponse({"code": "unauthorized", "message": "unknown bot or wrong token"}, status_code=401)
        tail = request.query_params.get("tail", str(DEFAULT_TAIL))
        if re.fullmatch("[0-9]{1,4}", tail) is None or not 1 <= int(tail) <= MAX_TAIL:
            return JSONResponse(
                {"code": "invalid-input", "message": "tail must be a number from 1 to 1000"}, status_code=422
            )
        if state.container is None:
            return JSONResponse({"lines": []})
        try:
            async with asyncio.timeout(LOG_SECONDS), reading:
                return JSONResponse({"lines": await engine.logs(state.container.id, tail=int(tail))})
        except TimeoutError:
            return JSONResponse(
                {"code": "busy", "message": "the engine did not return the log in time"}, status_code=503
            )
        except EngineError as exc:
            return JSONResponse({"code": exc.code, "message": str(exc)}, status_code=503)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", prometheus),
            Route("/internal/bots/{bot_id}/logs", logs),
        ]
    )
