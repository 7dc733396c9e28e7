"""Messages of contacts: everything that a person can send to another person or to a group."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter

from whatsapp_simulator.content import votes
from whatsapp_simulator.content.model import Card, Content, Kind, Location, Media, Poll
from whatsapp_simulator.control import models
from whatsapp_simulator.control.errors import ApiError, problems
from whatsapp_simulator.control.lookup import Lookup
from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import history, sending, uploads
from whatsapp_simulator.simulator import Simulator
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import Person


def router(simulator: Simulator) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["messages"], responses=problems(403, 404, 409, 422))
    network = simulator.network
    find = Lookup(network)

    def send(sender: Person, to: Person | Group, content: Content, *, withheld: bool = False) -> models.SentMessage:
        if isinstance(to, Group):
            return models.SentMessage(id=sending.post(network, sender, to, content))
        return models.SentMessage(id=sending.send(network, sender, to, content, withheld=withheld))

    def write(
        phone: str, to: str, content: Content, quote: str | None = None, *, withheld: bool = False
    ) -> models.SentMessage:
        sender, chat = find.person(phone), find.chat(to)
        if quote is not None:
            content = replace(content, quote=history.quote(find.message(sender, quote)))
        return send(sender, chat, content, withheld=withheld)

    def about(sender: Person, known: history.KnownMessage, content: Content) -> models.SentMessage:
        """Send a message that refers to another one, to the chat of that one."""
        content = replace(content, target=history.target(known, sender))
        if known.viewers:
            return models.SentMessage(id=sending.post_status(network, sender, known.viewers, content))
        return send(sender, history.group_of(network.world, known) or known.partner or known.author, content)

    @routes.post("/contacts/{phone}/messages")
    async def send_text(phone: str, body: models.NewMessage) -> models.SentMessage:
        """Send a text to a person or a group. An offline bot receives it at its next login."""
        mentions = [str(person.lid_jid()) for person in find.people(body.mentions)]
        return write(phone, body.to, Content(Kind.TEXT, body.text, mentions=mentions), body.quote)

    @routes.post("/contacts/{phone}/media")
    async def send_media(phone: str, body: models.NewMedia) -> models.SentMessage:
        """Send an image, video, audio file, document or sticker."""
        find.person(phone), find.chat(body.to)
        content = Content(body.kind, body.caption, upload(network, body), view_once=body.view_once)
        return write(phone, body.to, content, body.quote, withheld=body.withheld)

    @routes.post("/contacts/{phone}/locations")
    async def send_location(phone: str, body: models.NewLocation) -> models.SentMessage:
        """Send a location."""
        location = Location(body.latitude, body.longitude, body.name, body.address)
        return write(phone, body.to, Content(Kind.LOCATION, location=location), body.quote)

    @routes.post("/contacts/{phone}/cards")
    async def send_cards(phone: str, body: models.NewCards) -> models.SentMessage:
        """Send contact cards."""
        cards = [Card(card.name, card.vcard) for card in body.cards]
        return write(phone, body.to, Content(Kind.CONTACT, cards=cards), body.quote)

    @routes.post("/contacts/{phone}/polls")
    async def send_poll(phone: str, body: models.NewPoll) -> models.SentMessage:
        """Send a poll."""
        poll = Poll(body.question, body.options, body.selectable, network.world.random(32))
        return write(phone, body.to, Content(Kind.POLL, body.question, poll=poll))

    @routes.post("/contacts/{phone}/votes")
    async def vote(phone: str, body: models.NewVote) -> models.SentMessage:
        """Vote in a poll."""
        person = find.person(phone)
        known = find.message(person, body.message)
        poll = known.content.poll
        if poll is None or not set(body.options) <= set(poll.options):
            raise ApiError(409, "not-in-the-poll", f"{body.message} is not a poll with these options")
        author, voter = known.author.lid_jid(), person.lid_jid()
        sealed = votes.seal(poll, known.id, author, voter, body.options, network.world.random)
        return about(person, known, Content(Kind.POLL_VOTE, vote=sealed))

    @routes.post("/contacts/{phone}/reactions")
    async def react(phone: str, body: models.NewReaction) -> models.SentMessage:
        """React to a message. An empty emoji removes the reaction."""
        person = find.person(phone)
        return about(person, find.message(person, body.message), Content(Kind.REACTION, body.emoji))

    @routes.post("/contacts/{phone}/edits")
    async def edit(phone: str, body: models.NewEdit) -> models.SentMessage:
        """Edit the text of a message of the contact."""
        person = find.person(phone)
        known = find.message(person, body.message)
        if known.author is not person:
            raise ApiError(409, "not-yours", f"{body.message} is not a message of {person.phone}")
        return about(person, known, Content(Kind.EDIT, body.text))

    @routes.post("/contacts/{phone}/revocations")
    async def revoke(phone: str, body: models.NewRevocation) -> models.SentMessage:
        """Delete a message for everyone."""
        person = find.person(phone)
        known = find.message(person, body.message)
        if known.author is not person:
            group = history.group_of(network.world, known)
            if group is None:
                raise ApiError(409, "not-yours", f"{body.message} is not a message of {person.phone}")
            group.require_admin(person.phone)
        return about(person, known, Content(Kind.REVOKE))

    @routes.post("/contacts/{phone}/redeliveries")
    async def redeliver(phone: str, body: models.NewRedelivery) -> models.SentMessage:
        """Deliver a message of the contact again under the same id, as WhatsApp sometimes does."""
        person = find.person(phone)
        known = find.message(person, body.message)
        if known.author is not person or known.partner is None:
            raise ApiError(409, "not-redeliverable", f"{body.message} is not a one-to-one message of {person.phone}")
        sending.redeliver(network, person, known.partner, known.id)
        return models.SentMessage(id=known.id)

    @routes.post("/contacts/{phone}/statuses", tags=["statuses"])
    async def post_status(phone: str, body: models.NewStatus) -> models.SentMessage:
        """Post a status for these accounts."""
        person, viewers = find.person(phone), find.people(body.to)
        content = content_of(network, body.text, body.media)
        return models.SentMessage(id=sending.post_status(network, person, viewers, content))

    return routes


def upload(network: Network, file: models.File, *, encrypted: bool = True) -> Media:
    """Upload a file to the media host."""
    media = uploads.upload(network, file.data, file.kind, file.mimetype, encrypted=encrypted)
    return replace(media, file_name=file.file_name, seconds=file.seconds, voice=file.voice, animated=file.animated)


def content_of(network: Network, text: str, file: models.File | None, *, encrypted: bool = True) -> Content:
    """A text, or a file with the text as its caption."""
    if file is None:
        return Content(Kind.TEXT, text)
    return Content(file.kind, text, upload(network, file, encrypted=encrypted))
