"""Sent and received messages that a phone remembers; replies, reactions, edits and votes refer to them."""

from __future__ import annotations

from dataclasses import dataclass, field

from whatsapp_simulator.content import reading
from whatsapp_simulator.content.model import Content, Kind, Quote, Target
from whatsapp_simulator.protocol.jid import parse
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import Person
from whatsapp_simulator.world.world import World


@dataclass(frozen=True, slots=True)
class KnownMessage:
    """A message. chat: its group or `status@broadcast`, empty for a one-to-one chat; partner: the other person in that.

    viewers: the recipients of a status of this phone.
    """

    id: str
    author: Person
    chat: str
    partner: Person | None
    content: Content
    viewers: list[Person] = field(default_factory=list)


def find(world: World, phone: Person, message_id: str) -> KnownMessage | None:
    """A message that this phone sent or received; None if it does not know it (any longer)."""
    sent = phone.sent.get(message_id)
    if sent is not None:
        content = reading.read(sent.plaintext) or Content(Kind.OTHER)
        viewers = [person for viewer in sent.viewers if (person := world.get(viewer))]
        return KnownMessage(message_id, phone, sent.chat, world.get(sent.to), content, viewers)
    for item in reversed(phone.inbox):
        if item.id == message_id:
            author = world.get(item.sender)
            if author is None:
                return None
            content = item.content or Content(Kind.TEXT, item.text)
            return KnownMessage(message_id, author, item.chat, None if item.chat else author, content)
    return None


def group_of(world: World, known: KnownMessage) -> Group | None:
    """The group of a message; None if it was not sent to a group."""
    return world.groups.find(parse(known.chat)) if known.chat else None


def target(known: KnownMessage, phone: Person) -> Target:
    """The reference to a message from another message of this phone."""
    own = known.author is phone
    chat = known.chat or str((known.partner or phone).lid_jid())
    participant = "" if own or not known.chat else str(known.author.lid_jid())
    return Target(known.id, own, chat, participant)


def quote(known: KnownMessage) -> Quote:
    """The quote of a message in a reply."""
    return Quote(known.id, str(known.author.lid_jid()), known.content.text)
