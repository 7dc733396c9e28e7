"""From the people of the network to the JSON of the control API."""

from __future__ import annotations

import datetime

from whatsapp_simulator.control import models
from whatsapp_simulator.network import Network
from whatsapp_simulator.world.failures import Failure
from whatsapp_simulator.world.model import Device, InboxItem, Person, ReceiptItem


def account(network: Network, person: Person) -> models.Account:
    """An account with its devices and its failure."""
    return models.Account(
        phone=person.phone,
        lid=str(person.lid_jid()),
        name=person.name,
        devices=[_device(network, person, device) for device in person.devices.values()],
        failure=failure(network.failures.own(person.phone)),
    )


def contact(person: Person) -> models.Contact:
    """A contact."""
    return models.Contact(
        phone=person.phone, lid=str(person.lid_jid()), name=person.name, read_receipts=person.read_receipts
    )


def failure(found: Failure | None) -> models.FailureState | None:
    """A failure in force."""
    if found is None:
        return None
    until = None if found.until is None else _time(found.until)
    return models.FailureState(kind=found.kind, until=until, strikes=found.strikes)


def inbox_item(item: InboxItem) -> models.InboxItem:
    """A text."""
    return models.InboxItem(
        index=item.index, id=item.id, sender=item.sender, text=item.text, timestamp=_time(item.timestamp)
    )


def receipt_item(item: ReceiptItem) -> models.ReceiptItem:
    """A receipt."""
    return models.ReceiptItem(
        index=item.index, id=item.id, sender=item.sender, kind=item.kind, timestamp=_time(item.timestamp)
    )


def _device(network: Network, person: Person, device: Device) -> models.LinkedDevice:
    link = network.link_of(person, device)
    since = link.connected_at if link else None
    return models.LinkedDevice(
        jid=str(person.phone_jid(device.number)),
        connected=link is not None,
        connected_since=None if since is None else _time(since),
        paired_at=_time(device.paired_at),
        last_active_at=_time(device.last_active_at),
    )


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
