"""What a phone knows of earlier messages, its own and received ones: replies, reactions, edits and votes need it."""

from __future__ import annotations

from dataclasses import dataclass, field

from whatsapp_simulator.content import reading
from whatsapp_simulator.content.model import Content, Kind, Quote, Target
from whatsapp_simulator.protocol.jid import parse
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import Person
from whatsapp_simulator.world.world import World


@dataclass(frozen=True, slots=True)
class Known:
    """A message. chat: the group or status it was in, empty for a chat of two; partner: the other one in that.

    viewers: who saw a status of this phone.
    """

    id: str
    author: Person
    chat: str
    partner: Person | None
    content: Content
    viewers: list[Person] = field(default_factory=list)


def find(world: World, phone: Person, message_id: str) -> Known | None:
    """A message that this phone sent or got; None if it does not know it (any more)."""
    sent = phone.sent.get(message_id)
    if sent is not None:
        content = reading.read(sent.plaintext) or Content(Kind.OTHER)
        viewers = [person for viewer in sent.viewers if (person := world.get(viewer))]
        return Known(message_id, phone, sent.chat, world.get(sent.to), content, viewers)
    for item in reversed(phone.inbox):
        if item.id == message_id:
            author = world.get(item.sender)
            if author is None:
                return None
            content = item.content or Content(Kind.TEXT, item.text)
            return Known(message_id, author, item.chat, None if item.chat else author, content)
    return None


def group_of(world: World, known: Known) -> Group | None:
    """The group that a message was in."""
    return world.groups.find(parse(known.chat)) if known.chat else None


def target(known: Known, phone: Person) -> Target:
    """How a message of this phone points to another one."""
    own = known.author is phone
    chat = known.chat or str((known.partner or phone).lid_jid())
    participant = "" if own or not known.chat else str(known.author.lid_jid())
    return Target(known.id, own, chat, participant)


def quote(known: Known) -> Quote:
    """How a message quotes another one."""
    return Quote(known.id, str(known.author.lid_jid()), known.content.text)
