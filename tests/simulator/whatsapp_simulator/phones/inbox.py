"""What a phone keeps of a message that arrived: opened votes, verified files, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

from whatsapp_simulator.content import files, votes
from whatsapp_simulator.content.model import Content, Kind
from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import history
from whatsapp_simulator.world.model import KEPT_ITEMS, InboxItem, Person


@dataclass(frozen=True, slots=True)
class Arrival:
    """A decrypted message. chat: a group or `status@broadcast`, empty for a chat of two."""

    id: str
    sender: Person
    chat: str
    content: Content


def keep(network: Network, phone: Person, arrival: Arrival) -> None:
    """Put a message into the inbox of a phone."""
    content = _opened(network, phone, arrival)
    item = InboxItem(
        phone.take_index(),
        arrival.id,
        arrival.sender.phone,
        content.text,
        network.world.now(),
        arrival.chat,
        None if content == Content(Kind.TEXT, content.text) else content,
        _media_error(network, content),
    )
    phone.inbox.append(item)
    del phone.inbox[:-KEPT_ITEMS]
    network.world.touch(phone)
    network.bell.ring(phone.phone)


def file_of(network: Network, content: Content) -> bytes:
    """The decrypted file of a message; FileError if it is missing or not what the message says."""
    stored = network.world.files.get(content.media.path) if content.media else None
    if content.media is None or stored is None:
        raise files.FileError("the file is not in the media store")
    return files.decrypt(stored, content.media, content.kind)


def _media_error(network: Network, content: Content) -> str:
    if content.media is None:
        return ""
    try:
        file_of(network, content)
    except files.FileError as error:
        return str(error)
    return ""


def _opened(network: Network, phone: Person, arrival: Arrival) -> Content:
    content = arrival.content
    if content.vote is None or content.target is None:
        return content
    known = history.find(network.world, phone, content.target.id)
    if known is None or known.content.poll is None:
        return content
    poll, author, voter = known.content.poll, known.author.lid_jid(), arrival.sender.lid_jid()
    try:
        return replace(content, vote=votes.unseal(content.vote, poll, known.id, author, voter))
    except votes.VoteError:
        return content
