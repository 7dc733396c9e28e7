"""Endpoints for monitoring: probes, the fleet overview, metrics."""

import platform
from collections import Counter
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field
from sqlalchemy import text

from orchestrator import __version__
from orchestrator.api.context import Parts, Session, Visible
from orchestrator.api.operations.fleet_metrics import MAX_SERVERS, fleet_metrics
from orchestrator.api.schemas import ResponseBody, problems
from orchestrator.db import servers
from orchestrator.db.schema import present_revision
from orchestrator.errors import UnavailableError

router = APIRouter(tags=["operations"])


class ProbeResponse(ResponseBody):
    """A successful probe."""

    status: Literal["ok"] = "ok"


class ComponentVersions(ResponseBody):
    """Versions of the components."""

    botdock: str
    python: str
    postgres: str
    database_revision: str


class Overview(ResponseBody):
    """Summary of the fleet."""

    status: Literal["ok", "degraded"] = Field(description="`degraded`: a server with bots has no active controller.")
    bots: int = Field(description="Number of bots.")
    phases: dict[str, int] = Field(description="Number of bots by phase.", examples=[{"online": 3}])
    servers_without_controller: list[str] = Field(description="Servers with bots and without an active controller.")
    servers_on_another_engine: list[str] = Field(
        description="Servers with a controller that manages no bots because their sessions are on another engine."
    )
    versions: ComponentVersions


@router.get("/livez", summary="Liveness probe")
async def livez() -> ProbeResponse:
    """Needs no key. Succeeds while the process responds; checks no dependencies."""
    return ProbeResponse()


@router.get("/readyz", summary="Readiness probe", responses=problems({503: "Postgres is unavailable or not migrated"}))
async def readyz(session: Session, parts: Parts) -> ProbeResponse:
    """Needs no key. Succeeds if Postgres responds and is migrated to the revision that this version needs."""
    present = await present_revision(session)
    if present != parts.revision:
        raise UnavailableError(
            f"the database is at revision {present or 'none'}, this version needs {parts.revision}: run migrate",
            code="not-migrated",
        )
    return ProbeResponse()


@router.get("/health", summary="Read the fleet overview")
async def health(session: Session, scope: Visible, parts: Parts) -> Overview:
    """The number of bots that the key has access to, by phase, and component versions."""
    rows = await servers.page(session, scope, limit=MAX_SERVERS)
    phases: Counter[str] = Counter()
    for row in rows:
        phases.update(row.phases)
    postgres = (await session.execute(text("SHOW server_version"))).scalar_one()
    unmanaged = [row.server.name for row in rows if row.bots and not row.has_leader]
    return Overview(
        status="degraded" if unmanaged else "ok",
        bots=phases.total(),
        phases=dict(phases),
        servers_without_controller=unmanaged,
        servers_on_another_engine=[row.server.name for row in rows if row.is_refusing],
        versions=ComponentVersions(
            botdock=__version__,
            python=platform.python_version(),
            postgres=str(postgres),
            database_revision=parts.revision,
        ),
    )


@router.get(
    "/metrics",
    summary="Read metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format"}},
)
async def metrics(request: Request, session: Session, scope: Visible) -> Response:
    """For Prometheus (`authorization: {credentials: <key>}`). Request metrics are visible to admins only."""
    body = await fleet_metrics(session, scope)
    if scope.server is None:
        body += generate_latest(request.app.state.http_metrics.registry)
    return Response(body, media_type=CONTENT_TYPE_LATEST)
