"""Assembles the controller process: engine, database, controller and its HTTP port."""

import asyncio

from orchestrator.auth import KeyVerifier
from orchestrator.controller.controller import Controller
from orchestrator.controller.http import create_app
from orchestrator.db.schema import wait_until_migrated
from orchestrator.db.session import CONTROLLER_LOCK_TIMEOUT_MS, Database
from orchestrator.engine.factory import make_engine
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.status_store import installation_id
from orchestrator.serving import serve
from orchestrator.settings import Settings


async def run_controller(settings: Settings) -> None:
    """Run the controller of `settings.server_name` until a signal or cancellation."""
    database = Database(settings, lock_timeout_ms=CONTROLLER_LOCK_TIMEOUT_MS)
    try:
        await wait_until_migrated(database)
        owner = await installation_id(database)
        engine = make_engine(settings, owner)
        try:
            metrics = Metrics()
            controller = Controller(settings=settings, database=database, engine=engine, owner=owner, metrics=metrics)
            app = create_app(controller=controller, engine=engine, verifier=KeyVerifier.on(database), metrics=metrics)
            running = asyncio.create_task(controller.run(), name="controller")
            try:
                await serve(
                    app,
                    host=settings.controller_host,
                    port=settings.controller_port,
                    closed_to=settings.bot_network_pool,
                )
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        finally:
            await engine.close()
    finally:
        await database.close()
