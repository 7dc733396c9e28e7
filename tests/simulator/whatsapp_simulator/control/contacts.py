"""Contacts: people who write to bots and read what they answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query

from whatsapp_simulator.control import views
from whatsapp_simulator.control.errors import ApiError
from whatsapp_simulator.control.models import Contact, Inbox, NewContact, NewMessage, Problem, Receipts, SentMessage
from whatsapp_simulator.phones import sending
from whatsapp_simulator.simulator import Simulator
from whatsapp_simulator.world.model import InboxItem, Person, ReceiptItem
from whatsapp_simulator.world.world import normalize_phone

Item = TypeVar("Item", InboxItem, ReceiptItem)
After = Annotated[int, Query(ge=0, description="Only items with a higher index")]
Wait = Annotated[float, Query(ge=0, le=60, description="Wait up to this many seconds for an item")]
Limit = Annotated[int, Query(ge=1, le=5000)]


def router(simulator: Simulator) -> APIRouter:
    """The calls."""
    routes = APIRouter(tags=["contacts"], responses={422: {"model": Problem}, 404: {"model": Problem}})
    network = simulator.network

    def find(phone: str) -> Person:
        person = network.world.get(normalize_phone(phone))
        if person is None:
            raise ApiError(404, "unknown-phone", f"nobody has the phone number {phone}")
        return person

    async def since(person: Person, items: list[Item], after: int, wait: float) -> list[Item]:
        deadline = time.monotonic() + wait
        while True:
            found = [item for item in items if item.index > after]
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            await network.bell.wait(person.phone, left)

    @routes.post("/contacts")
    async def create_contact(body: NewContact) -> Contact:
        """Create a contact, or get (and change) the one that is there."""
        person = network.world.contact(normalize_phone(body.phone), body.name)
        if body.read_receipts is not None:
            person.read_receipts = body.read_receipts
        return views.contact(person)

    @routes.post("/contacts/{phone}/messages")
    async def send(phone: str, body: NewMessage) -> SentMessage:
        """Write to somebody; a bot that is away gets it at its next login."""
        return SentMessage(id=sending.send_text(network, find(phone), find(body.to), body.text))

    @routes.get("/contacts/{phone}/inbox")
    async def inbox(phone: str, after: After = 0, wait: Wait = 0, limit: Limit = 1000) -> Inbox:
        """What arrived, oldest first; waits for something to arrive when there is nothing."""
        person = find(phone)
        found = (await since(person, person.inbox, after, wait))[:limit]
        return Inbox(items=[views.inbox_item(item) for item in found], next=_next(found, after))

    @routes.get("/contacts/{phone}/receipts")
    async def receipts(phone: str, after: After = 0, wait: Wait = 0, limit: Limit = 1000) -> Receipts:
        """The receipts by bots for messages of this contact."""
        person = find(phone)
        found = (await since(person, person.receipts, after, wait))[:limit]
        return Receipts(items=[views.receipt_item(item) for item in found], next=_next(found, after))

    return routes


def _next(found: Sequence[InboxItem | ReceiptItem], after: int) -> int:
    return found[-1].index if found else after
