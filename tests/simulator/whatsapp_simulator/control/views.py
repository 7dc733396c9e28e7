"""Convert people, messages and groups of the network to the models of the control API."""

from __future__ import annotations

import datetime

from whatsapp_simulator.content import reading
from whatsapp_simulator.content.model import Content, Kind
from whatsapp_simulator.control import models
from whatsapp_simulator.network import Network
from whatsapp_simulator.protocol.jid import parse
from whatsapp_simulator.world.channels import Channel, Post
from whatsapp_simulator.world.failures import Failure
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import Call, ChatStateItem, Device, InboxItem, Person, ReceiptItem
from whatsapp_simulator.world.world import World

_INVITES = "https://chat.whatsapp.com/"
_CHANNELS = "https://whatsapp.com/channel/"


def account(network: Network, person: Person) -> models.Account:
    """An account with its devices and its failure."""
    return models.Account(
        phone=person.phone,
        lid=str(person.lid_jid()),
        name=person.name,
        devices=[_device(network, person, device) for device in person.devices.values()],
        failure=failure(network.failures.get(person.phone)),
    )


def contact(person: Person) -> models.Contact:
    """A contact."""
    return models.Contact(
        phone=person.phone, lid=str(person.lid_jid()), name=person.name, read_receipts=person.read_receipts
    )


def failure(found: Failure | None) -> models.FailureState | None:
    """An active failure, None if there is none."""
    if found is None:
        return None
    until = None if found.until is None else _time(found.until)
    return models.FailureState(kind=found.kind, until=until, remaining_connections=found.remaining_connections)


def profile(person: Person) -> models.Profile:
    """The profile of a person."""
    found = person.profile
    return models.Profile(
        name=person.name,
        about=found.about,
        profile_picture=bool(found.picture),
        presence=found.presence,
        last_seen=_time(found.last_seen) if found.last_seen else None,
        blocked=found.blocked,
        privacy=found.privacy,
    )


def inbox_item(world: World, person: Person, item: InboxItem) -> models.InboxItem:
    """A message in an inbox."""
    content = item.content or Content(Kind.TEXT, item.text)
    location, quote, poll = content.location, content.quote, content.poll
    return models.InboxItem(
        index=item.index,
        id=item.id,
        kind=content.kind,
        sender=item.sender,
        chat=item.chat or None,
        text=item.text,
        timestamp=_time(item.timestamp),
        view_once=content.view_once,
        quoted=models.Quote(id=quote.id, sender=_phone(world, quote.participant), text=quote.text) if quote else None,
        mentions=[_phone(world, address) for address in content.mentions],
        target=content.target.id if content.target else None,
        media=_media(person, item),
        location=models.Location(
            latitude=location.latitude, longitude=location.longitude, name=location.name, address=location.address
        )
        if location
        else None,
        contacts=[models.Card(name=card.name, vcard=card.vcard) for card in content.cards],
        poll=models.Poll.model_construct(question=poll.question, options=poll.options, selectable=poll.selectable)
        if poll
        else None,
        selected=content.vote.selected if content.vote else None,
    )


def receipt_item(item: ReceiptItem) -> models.ReceiptItem:
    """A receipt."""
    return models.ReceiptItem(
        index=item.index,
        id=item.id,
        sender=item.sender,
        kind=item.kind,
        timestamp=_time(item.timestamp),
        chat=item.chat or None,
    )


def chat_state(item: ChatStateItem) -> models.ChatStateItem:
    """A typing state."""
    return models.ChatStateItem(
        index=item.index,
        sender=item.sender,
        state=item.state,
        timestamp=_time(item.timestamp),
        chat=item.chat or None,
    )


def call(found: Call) -> models.Call:
    """A call."""
    return models.Call(id=found.id, to=found.to, video=found.video, state=found.state, timestamp=_time(found.timestamp))


def group(found: Group) -> models.Group:
    """A group with its members."""
    return models.Group(
        id=str(found.jid),
        subject=found.subject,
        description=found.description,
        creator=found.creator,
        created_at=_time(found.created),
        invite=_INVITES + found.invite,
        announce=found.announce,
        locked=found.locked,
        ephemeral_seconds=found.ephemeral,
        members=[models.Member(phone=phone, role=role) for phone, role in found.members.items()],
        crowd=found.crowd,
    )


def channel(found: Channel) -> models.Channel:
    """A channel with its posts."""
    return models.Channel(
        id=str(found.jid),
        name=found.name,
        description=found.description,
        invite=_CHANNELS + found.invite,
        owner=found.owner or None,
        followers=found.followers,
        muted=found.muted,
        created_at=_time(found.created),
        posts=[post(item) for item in found.posts],
    )


def post(item: Post) -> models.Post:
    """A post of a channel."""
    content = reading.read(item.plaintext) or Content(Kind.OTHER)
    return models.Post(
        server_id=item.server_id,
        id=item.id,
        kind=content.kind,
        text=content.text,
        timestamp=_time(item.timestamp),
        reactions=[models.Reaction(sender=phone, emoji=emoji) for phone, emoji in item.reactions.items()],
        viewers=item.viewers,
    )


def _media(person: Person, item: InboxItem) -> models.Media | None:
    media = item.content.media if item.content else None
    if media is None:
        return None
    return models.Media(
        mimetype=media.mimetype,
        size=media.size,
        sha256=media.sha256.hex(),
        file_name=media.file_name,
        seconds=media.seconds,
        voice=media.voice,
        animated=media.animated,
        url=f"/contacts/{person.phone}/inbox/{item.id}/media",
        error=item.media_error or None,
    )


def _phone(world: World, address: str) -> str:
    """The phone number of an address; the address itself if it is unknown."""
    try:
        person = world.find(parse(address))
    except ValueError:
        return address
    return person.phone if person else address


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
