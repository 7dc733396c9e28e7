"""The controller's own HTTP port.

GET /livez                          200 while the event loop turns, also on standby
GET /readyz                         200 while it acts and has adopted what runs, or stands by; else 503
GET /metrics                        Prometheus; with any API key
GET /internal/bots/{id}/logs        a bot's last lines, for the api, which has no Docker socket; with the bot's own
                                    runtime token, which only Postgres, the bot, the api and we have
"""

import hmac

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from orchestrator.auth import KeyVerifier, presented_key
from orchestrator.controller.controller import Controller
from orchestrator.db.session import is_unavailable
from orchestrator.engine.base import Engine, EngineError
from orchestrator.errors import BotdockError
from orchestrator.reconcile.metrics import Metrics

DEFAULT_TAIL = 100
MAX_TAIL = 1000


def create_app(*, controller: Controller, engine: Engine, verifier: KeyVerifier, metrics: Metrics) -> Starlette:
    """The application; it only reads."""

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_request: Request) -> Response:
        if controller.ready:
            return PlainTextResponse("acting")
        if controller.standing_by:
            return PlainTextResponse("standing by")
        return PlainTextResponse("not ready", status_code=503)

    async def prometheus(request: Request) -> Response:
        try:
            await verifier.verify(presented_key({name.lower(): value for name, value in request.headers.items()}))
        except BotdockError as exc:
            return JSONResponse({"code": exc.code, "message": exc.message}, status_code=exc.status)
        except Exception as exc:
            if not is_unavailable(exc):
                raise
            return JSONResponse({"code": "unavailable", "message": "Postgres is away"}, status_code=503)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def logs(request: Request) -> Response:
        fleet = controller.fleet
        record = None if fleet is None else fleet.record(request.path_params["bot_id"])
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if record is None or record.bot is None or not hmac.compare_digest(token, record.bot.runtime_token):
            return JSONResponse({"code": "unauthorized", "message": "no such bot here"}, status_code=401)
        tail = request.query_params.get("tail", str(DEFAULT_TAIL))
        if not tail.isascii() or not tail.isdigit() or not 1 <= int(tail) <= MAX_TAIL:
            return JSONResponse({"code": "invalid-input", "message": "tail: 1 to 1000"}, status_code=422)
        if record.container is None:
            return JSONResponse({"lines": []})
        try:
            return JSONResponse({"lines": await engine.logs(record.container.id, tail=int(tail))})
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
