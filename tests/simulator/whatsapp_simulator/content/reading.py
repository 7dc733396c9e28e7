"""Parse the decrypted protobuf of a message into `Content`."""

from __future__ import annotations

from dataclasses import replace

from whatsapp_simulator.content import fields as at
from whatsapp_simulator.content.model import Card, Content, Kind, Location, Media, Poll, Quote, Target, Vote
from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.wire import Fields

_MAX_DEPTH = 6
#: A message with only these fields has no content for people.
_SILENT = {at.SENDER_KEY, at.MESSAGE_CONTEXT}


def read(plaintext: bytes) -> Content | None:
    """The content of a message; None if it is only for the client itself. WireError if it is malformed."""
    return _message(wire.decode(plaintext), b"", 0)


def sender_key(plaintext: bytes) -> bytes | None:
    """The sender key for a group that a message distributes; None if it has none."""
    fields = wire.decode(plaintext)
    return fields.message(at.SENDER_KEY).raw(2) if at.SENDER_KEY in fields else None


def requests_app_state_keys(plaintext: bytes) -> bool:
    """Whether the message is a client's request to its phone for the app state keys."""
    protocol = wire.decode(plaintext).message(at.PROTOCOL)
    return protocol.number(at.TYPE) == at.TYPE_KEY_REQUEST


def _message(fields: Fields, secret: bytes, depth: int) -> Content | None:
    secret = fields.message(at.MESSAGE_CONTEXT).raw(at.SECRET) or secret
    for number in (*at.VIEW_ONCE, *at.WRAPPERS):
        if number in fields and depth < _MAX_DEPTH:
            inner = _message(fields.message(number).message(1), secret, depth + 1)
            return replace(inner, view_once=True) if inner and number in at.VIEW_ONCE else inner
    for number, layout in at.FILES.items():
        if number in fields:
            return _file(fields.message(number), layout)
    if at.CONVERSATION in fields:
        return Content(Kind.TEXT, fields.text(at.CONVERSATION))
    if at.EXTENDED_TEXT in fields:
        text = fields.message(at.EXTENDED_TEXT)
        return _in_context(Content(Kind.TEXT, text.text(1)), text.message(at.CONTEXT))
    if at.PROTOCOL in fields:
        return _protocol(fields.message(at.PROTOCOL), secret, depth)
    for number in at.POLLS:
        if number in fields:
            return _poll(fields.message(number), secret)
    return _other(fields)


def _other(fields: Fields) -> Content | None:
    if at.REACTION in fields:
        reaction = fields.message(at.REACTION)
        return Content(Kind.REACTION, reaction.text(2), target=_target(reaction.message(1)))
    if at.POLL_UPDATE in fields:
        update = fields.message(at.POLL_UPDATE)
        vote = update.message(2)
        return Content(Kind.POLL_VOTE, vote=Vote(vote.raw(1), vote.raw(2)), target=_target(update.message(1)))
    if at.LOCATION in fields or at.LIVE_LOCATION in fields:
        return _location(fields)
    if at.CONTACT in fields:
        card = fields.message(at.CONTACT)
        return _in_context(Content(Kind.CONTACT, cards=[_card(card)]), card.message(at.CONTEXT))
    if at.CONTACTS in fields:
        several = fields.message(at.CONTACTS)
        cards = [_card(wire.decode(card)) for card in several.repeated(2)]
        return _in_context(Content(Kind.CONTACT, several.text(1), cards=cards), several.message(at.CONTEXT))
    return Content(Kind.OTHER) if fields.numbers - _SILENT else None


def _file(fields: Fields, layout: at.Layout) -> Content:
    media = Media(
        path=fields.text(layout.path),
        url=fields.text(layout.url),
        mimetype=fields.text(layout.mimetype),
        size=fields.number(layout.size),
        sha256=fields.raw(layout.sha256),
        key=fields.raw(layout.key),
        enc_sha256=fields.raw(layout.enc_sha256),
        file_name=fields.text(layout.file_name),
        seconds=fields.number(layout.seconds),
        voice=bool(fields.number(layout.voice)),
        animated=bool(fields.number(layout.animated)),
    )
    caption = fields.text(layout.caption)
    content = Content(layout.kind, caption, media, view_once=bool(fields.number(layout.view_once)))
    return _in_context(content, fields.message(at.CONTEXT))


def _location(fields: Fields) -> Content:
    live = at.LIVE_LOCATION in fields
    parsed = fields.message(at.LIVE_LOCATION if live else at.LOCATION)
    name, address = ("", "") if live else (parsed.text(3), parsed.text(4))
    location = Location(parsed.double(1), parsed.double(2), name, address, live)
    text = parsed.text(6) if live else ""
    return _in_context(Content(Kind.LOCATION, text, location=location), parsed.message(at.CONTEXT))


def _poll(fields: Fields, secret: bytes) -> Content:
    options = [wire.decode(option).text(1) for option in fields.repeated(3)]
    poll = Poll(fields.text(2), options, fields.number(4), secret)
    return _in_context(Content(Kind.POLL, poll.question, poll=poll), fields.message(5))


def _protocol(fields: Fields, secret: bytes, depth: int) -> Content | None:
    kind = fields.number(at.TYPE)
    if kind == at.TYPE_REVOKE and at.KEY in fields:
        return Content(Kind.REVOKE, target=_target(fields.message(at.KEY)))
    if kind == at.TYPE_EDIT and depth < _MAX_DEPTH:
        edited = _message(fields.message(at.EDITED), secret, depth + 1) or Content(Kind.OTHER)
        return replace(edited, kind=Kind.EDIT, target=_target(fields.message(at.KEY)))
    return None


def _card(fields: Fields) -> Card:
    return Card(fields.text(1), fields.text(16))


def _target(key: Fields) -> Target:
    return Target(key.text(3), bool(key.number(2)), key.text(1), key.text(4))


def _in_context(content: Content, context: Fields) -> Content:
    quote = None
    if 1 in context:
        quoted = _message(context.message(3), b"", _MAX_DEPTH - 1)
        quote = Quote(context.text(1), context.text(2), quoted.text if quoted else "")
    mentions = [address.decode(errors="replace") for address in context.repeated(15)]
    return replace(content, quote=quote, mentions=mentions)
