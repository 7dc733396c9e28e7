"""Store received messages on a phone, with decrypted votes and verified files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from whatsapp_simulator.content import files, votes
from whatsapp_simulator.content.model import Content, Kind
from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import history
from whatsapp_simulator.world.model import MAX_ITEMS, InboxItem, Person


@dataclass(frozen=True, slots=True)
class DecryptedMessage:
    """A decrypted message. chat: a group or `status@broadcast`, empty for a one-to-one chat."""

    id: str
    sender: Person
    chat: str
    content: Content


def store(network: Network, phone: Person, message: DecryptedMessage) -> None:
    """Store a message in the inbox of a phone."""
    content = _decrypt_vote(network, phone, message)
    item = InboxItem(
        phone.assign_index(),
        message.id,
        message.sender.phone,
        content.text,
        network.world.now(),
        message.chat,
        None if content == Content(Kind.TEXT, content.text) else content,
        _media_error(network, content),
    )
    phone.inbox.append(item)
    del phone.inbox[:-MAX_ITEMS]
    network.world.touch(phone)
    network.notifier.notify(phone.phone)


def file_of(network: Network, content: Content) -> bytes:
    """The decrypted file of a message; FileError if it is missing or does not match the message."""
    stored = network.world.files.get(content.media.path) if content.media else None
    if content.media is None or stored is None:
        raise files.FileError("the file is not in the media store")
    return files.decrypt(stored, content.media, content.kind)


def _media_error(network: Network, content: Content) -> str:
    if content.media is None:
        return ""
    try:
        file_of(network, content)
    except files.FileError as exc:
        return str(exc)
    return ""


def _decrypt_vote(network: Network, phone: Person, message: DecryptedMessage) -> Content:
    content = message.content
    if content.vote is None or content.target is None:
        return content
    known = history.find(network.world, phone, content.target.id)
    if known is None or known.content.poll is None:
        return content
    poll, author, voter = known.content.poll, known.author.lid_jid(), message.sender.lid_jid()
    try:
        return replace(content, vote=votes.unseal(content.vote, poll, known.id, author, voter))
    except votes.VoteError:
        return content
