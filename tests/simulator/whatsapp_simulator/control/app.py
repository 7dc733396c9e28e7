"""The control API of a running simulator as a FastAPI app."""

from __future__ import annotations

from fastapi import FastAPI

from whatsapp_simulator.control import accounts, calls, channels, contacts, docs, errors, groups, messages
from whatsapp_simulator.control.models import Health
from whatsapp_simulator.simulator import Simulator

_DESCRIPTION = """\
Control the phones of a simulated WhatsApp network: link a bot to a phone by QR code or pairing code, send it messages
of every kind as a contact, read its replies, use groups and channels, and inject failures.

Errors are `{code, message}`. Phone numbers are in international format, with or without `+`, spaces and dashes.
"""


def create(simulator: Simulator) -> FastAPI:
    """Create the app; its requests run in the simulator's event loop."""
    app = FastAPI(title="WhatsApp simulator", description=_DESCRIPTION, version="1", docs_url=None, redoc_url=None)
    errors.install(app)
    docs.install(app)
    for resource in (accounts, contacts, messages, groups, channels, calls):
        app.include_router(resource.router(simulator))

    @app.get("/health", tags=["simulator"])
    async def health() -> Health:
        """Get the status of the simulator and the number of accounts and connections."""
        network = simulator.network
        return Health(
            status="ok",
            accounts=sum(person.account for person in network.world),
            connections=len(network.links),
            pairing=len(network.unlinked),
        )

    return app
