"""usync: which phone numbers are on WhatsApp, their hidden addresses and their devices."""

from __future__ import annotations

from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import LID, SERVER, Jid, parse
from whatsapp_simulator.stanzas.registry import Context, IqError, on_iq
from whatsapp_simulator.world.model import Person
from whatsapp_simulator.world.world import PhoneError, normalize_phone


@on_iq("usync", "get")
def usync(context: Context) -> list[Node]:
    """Return the queried properties for each user in the list."""
    request = context.node.child("usync")
    query = request.child("query") if request else None
    users = request.child("list") if request else None
    if request is None or query is None or users is None:
        raise IqError(400, "bad-request")
    properties = [child.tag for child in query.children]
    answers = [_user(context, user, properties) for user in users.walk("user")]
    attrs = {name: request.get(name) for name in ("sid", "index", "last", "mode", "context") if request.get(name)}
    return [Node("usync", attrs, [Node("list", {}, answers)])]


def _user(context: Context, user: Node, properties: list[str]) -> Node:
    address = user.jid("jid")
    contact = user.child_data("contact")
    if address is None and contact:
        address = _phone_address(contact)
    person = context.network.world.find(address)
    if address is None:
        return Node("user", {"jid": SERVER}, [Node("contact", {"type": "out"}, contact)])
    if person is None:
        unknown = [Node("contact", {"type": "out"}, contact)] if "contact" in properties else []
        return Node("user", {"jid": address}, unknown)
    if "devices" in properties:
        _watch(context, person)
    shown = person.lid_jid() if contact or address.server == LID else person.phone_jid()
    attrs: Attrs = {"jid": shown, "pn_jid": person.phone_jid()}
    parts = {
        "contact": lambda: Node("contact", {"type": "in"}, contact),
        "lid": lambda: Node("lid", {"val": person.lid_jid()}),
        "devices": lambda: _devices(person),
        "status": lambda: Node("status", {"t": "0"}, person.profile.about.encode()),
        "picture": lambda: Node("picture", {"id": person.profile.picture_id} if person.profile.picture_id else {}),
    }
    return Node("user", attrs, [parts[tag]() for tag in properties if tag in parts])


def _watch(context: Context, person: Person) -> None:
    watcher, _ = context.owner
    if watcher is not person and watcher.phone not in person.watchers:
        person.watchers.append(watcher.phone)
        context.network.world.touch(person)


def _phone_address(contact: bytes) -> Jid | None:
    try:
        text = contact.decode()
        return Jid(normalize_phone(parse(text).user or text), "s.whatsapp.net")
    except (PhoneError, ValueError):
        return None


def _devices(person: Person) -> Node:
    numbers = [0, *person.devices]
    return Node("devices", {}, [Node("device-list", {}, [Node("device", {"id": str(number)}) for number in numbers])])
