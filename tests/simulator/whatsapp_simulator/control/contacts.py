"""Contacts: people who write to bots, their inboxes, receipts, presence and typing."""

from __future__ import annotations

from fastapi import APIRouter, Response

from whatsapp_simulator.content import files
from whatsapp_simulator.control import models, views
from whatsapp_simulator.control.errors import ApiError, problems
from whatsapp_simulator.control.lookup import Lookup
from whatsapp_simulator.control.polling import After, Limit, Wait, next_after, since
from whatsapp_simulator.phones import inbox as inboxes
from whatsapp_simulator.phones import presence, receiving
from whatsapp_simulator.simulator import Simulator
from whatsapp_simulator.world.world import normalize_phone


def router(simulator: Simulator) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["contacts"], responses=problems(404, 422))
    network = simulator.network
    find = Lookup(network)

    @routes.post("/contacts")
    async def create_contact(body: models.NewContact) -> models.Contact:
        """Create a contact, or update and return the existing one."""
        person = network.world.contact(normalize_phone(body.phone), body.name)
        if body.read_receipts is not None:
            person.read_receipts = body.read_receipts
        return views.contact(person)

    @routes.get("/contacts/{phone}/inbox")
    async def inbox(phone: str, after: After = 0, wait: Wait = 0, limit: Limit = 1000) -> models.Inbox:
        """List received messages, oldest first. With `wait`, waits for a message if there is none."""
        person = find.person(phone)
        found = (await since(network.notifier, person.phone, person.inbox, after, wait))[:limit]
        items = [views.inbox_item(network.world, person, item) for item in found]
        return models.Inbox(items=items, next=next_after(found, after))

    @routes.get("/contacts/{phone}/inbox/{message}/media", response_class=Response)
    async def media(phone: str, message: str) -> Response:
        """Download the decrypted file of a message."""
        known = find.message(find.person(phone), message)
        try:
            data = inboxes.file_of(network, known.content)
        except files.FileError as exc:
            raise ApiError(404, "no-media", str(exc)) from exc
        return Response(data, media_type=known.content.media.mimetype if known.content.media else None)

    @routes.get("/contacts/{phone}/receipts")
    async def receipts(phone: str, after: After = 0, wait: Wait = 0, limit: Limit = 1000) -> models.Receipts:
        """List the receipts that bots sent for messages and statuses of this contact."""
        person = find.person(phone)
        found = (await since(network.notifier, person.phone, person.receipts, after, wait))[:limit]
        return models.Receipts(items=[views.receipt_item(item) for item in found], next=next_after(found, after))

    @routes.post("/contacts/{phone}/receipts", status_code=204)
    async def acknowledge(phone: str, body: models.NewReceipt) -> None:
        """Send a read or played receipt for a message as the contact."""
        person = find.person(phone)
        receiving.acknowledge(network, person, find.message(person, body.message), body.kind)

    @routes.get("/contacts/{phone}/chat-states")
    async def chat_states(phone: str, after: After = 0, wait: Wait = 0, limit: Limit = 1000) -> models.ChatStates:
        """List who typed, recorded or stopped in chats with this contact."""
        person = find.person(phone)
        found = (await since(network.notifier, person.phone, person.chat_states, after, wait))[:limit]
        return models.ChatStates(items=[views.chat_state(item) for item in found], next=next_after(found, after))

    @routes.post("/contacts/{phone}/typing", status_code=204)
    async def typing(phone: str, body: models.NewTyping) -> None:
        """Show the contact as typing, recording or paused."""
        for _ in range(body.times):
            presence.set_typing(network, find.person(phone), find.chat(body.to), body.state)

    @routes.post("/contacts/{phone}/presence", status_code=204)
    async def set_presence(phone: str, body: models.NewPresence) -> None:
        """Set the contact online or offline, and notify bots that subscribed to its presence."""
        presence.set_presence(network, find.person(phone), body.state)

    return routes
