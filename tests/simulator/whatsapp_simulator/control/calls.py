"""Voice and video calls from contacts to accounts."""

from __future__ import annotations

from fastapi import APIRouter

from whatsapp_simulator.control import models, views
from whatsapp_simulator.control.errors import ApiError, problems
from whatsapp_simulator.control.lookup import Lookup
from whatsapp_simulator.phones import calls
from whatsapp_simulator.simulator import Simulator


def router(simulator: Simulator) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["calls"], responses=problems(404, 422))
    network = simulator.network
    find = Lookup(network)

    @routes.post("/contacts/{phone}/calls")
    async def start_call(phone: str, body: models.NewCall) -> models.Call:
        """Call an account as the contact. The call rings until the bot rejects it or the contact hangs up."""
        return views.call(calls.start(network, find.person(phone), find.account(body.to), video=body.video))

    @routes.get("/contacts/{phone}/calls")
    async def list_calls(phone: str) -> models.Calls:
        """List the calls of the contact."""
        return models.Calls(items=[views.call(call) for call in find.person(phone).calls.values()])

    @routes.delete("/contacts/{phone}/calls/{call_id}")
    async def end_call(phone: str, call_id: str) -> models.Call:
        """Hang up as the contact."""
        person = find.person(phone)
        call = person.calls.get(call_id)
        if call is None:
            raise ApiError(404, "unknown-call", f"{person.phone} has no call {call_id}")
        calls.end(network, person, call)
        return views.call(call)

    return routes
