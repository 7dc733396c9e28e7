"""Keeps a controller from leading a server whose bots have their sessions on another engine.

Without this, a second host with the same server name and database, or an engine whose data was recreated, would start
every bot with an empty volume.
"""

import logging
import time

from orchestrator.db import binding
from orchestrator.db.binding import EngineBinding
from orchestrator.db.session import connect
from orchestrator.engine.base import Engine
from orchestrator.reconcile.metrics import Metrics
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

REPORT_INTERVAL_SECONDS = 10.0


class BindingCheck:
    """Checks before each term whether this controller's engine is the server's."""

    def __init__(self, *, settings: Settings, engine: Engine, metrics: Metrics) -> None:
        self._settings = settings
        self._engine = engine
        self._metrics = metrics
        self._next_report = 0.0
        self.refusal = ""
        """Why the controller may not lead; empty if it may."""

    async def permits(self, engine_id: str) -> bool:
        """Whether the controller may lead; else reports why not, in the log once and in Postgres regularly.

        Raises EngineError, and psycopg.Error or OSError when Postgres is unavailable.
        """
        server = self._settings.server_name
        async with await connect(self._settings) as connection:
            bound = await binding.read(connection, server)
            refusal = "" if bound is None else await self._refusal(bound, engine_id)
            if refusal and time.monotonic() >= self._next_report:
                await binding.report_refused(connection, server=server, engine_id=engine_id)
                self._next_report = time.monotonic() + REPORT_INTERVAL_SECONDS
        if refusal and refusal != self.refusal:
            log.error("%s", refusal)
        self.refusal = refusal
        self._metrics.refusing.set(bool(refusal))
        return not refusal

    async def _refusal(self, bound: EngineBinding, engine_id: str) -> str:
        server = self._settings.server_name
        if bound.engine_id == engine_id:
            return ""
        if bound.engine_id is not None:
            cause = (
                f"server {server} is bound to engine {bound.engine_id}, and this controller is on engine {engine_id}"
            )
        elif bound.paired and not await self._engine.list_volumes():
            # A database of before servers were bound, on a new host: binding would start its bots without sessions.
            cause = (
                f"{bound.paired} bots of server {server} have a session, and engine {engine_id} has no volume of them"
            )
        else:
            return ""
        return f"{cause}: starting no bots; to move the server to this engine, run `botdock server rebind {server}`"
