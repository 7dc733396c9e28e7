"""The control API as a FastAPI app over a running simulator."""

from __future__ import annotations

from fastapi import FastAPI

from whatsapp_simulator.control import accounts, calls, channels, contacts, docs, errors, groups, messages
from whatsapp_simulator.control.models import Health
from whatsapp_simulator.simulator import Simulator

_DESCRIPTION = """\
Play the phones of a simulated WhatsApp network: link a bot to a phone by QR code or by code, write to it as a contact
in all the ways that people do, read what it answers, meet it in groups and channels, and make things fail.

Errors are `{code, message}`. Phone numbers are international, with or without `+`, spaces and dashes.
"""


def create(simulator: Simulator) -> FastAPI:
    """The app; its calls run in the simulator's event loop."""
    app = FastAPI(title="WhatsApp simulator", description=_DESCRIPTION, version="1", docs_url=None, redoc_url=None)
    errors.install(app)
    docs.install(app)
    for resource in (accounts, contacts, messages, groups, channels, calls):
        app.include_router(resource.router(simulator))

    @app.get("/health", tags=["simulator"])
    async def health() -> Health:
        """Whether the simulator runs, and how much is going on."""
        network = simulator.network
        return Health(
            status="ok",
            accounts=sum(person.account for person in network.world),
            connections=len(network.links),
            pairing=len(network.unlinked),
        )

    return app
