"""Serialize `Content` to the protobuf that is encrypted, and to the attributes of its stanza."""

from __future__ import annotations

from whatsapp_simulator.content import fields as at
from whatsapp_simulator.content.model import MEDIA_KINDS, Card, Content, Kind, Media, Target
from whatsapp_simulator.protocol import wire

_EDITED_MESSAGE = 58


def write(content: Content, *, now: int) -> bytes:
    """Serialize a message; now: Unix seconds."""
    message = _message(content, now)
    if content.poll is not None:
        message += wire.encode((at.MESSAGE_CONTEXT, wire.encode((at.SECRET, content.poll.secret))))
    return wire.encode((at.VIEW_ONCE[0], wire.encode((1, message)))) if content.view_once else message


def device_sent(plaintext: bytes, chat: str) -> bytes:
    """The same message for the sender's own devices; chat: the address it was sent to."""
    return wire.encode((at.DEVICE_SENT, wire.encode((1, chat), (2, plaintext))))


def with_sender_key(plaintext: bytes, chat: str, key: bytes) -> bytes:
    """A message (may be empty) together with the sender key for a group."""
    return plaintext + wire.encode((at.SENDER_KEY, wire.encode((1, chat), (2, key))))


def app_state_key(key_id: bytes, key: bytes, now: int) -> bytes:
    """The message with which a phone shares the app state key with its linked device."""
    data = wire.encode((1, key), (2, wire.encode((1, 1), (2, 0))), (3, now))
    shared = wire.encode((1, wire.encode((1, wire.encode((1, key_id))), (2, data))))
    return wire.encode((at.PROTOCOL, wire.encode((at.TYPE, at.TYPE_KEY_SHARE), (at.KEY_SHARE, shared))))


def stanza_type(content: Content) -> str:
    """The `type` attribute of the stanza."""
    if content.kind in (Kind.POLL, Kind.POLL_VOTE):
        return "poll"
    if content.kind is Kind.REACTION:
        return "reaction"
    return "media" if content.kind in (*MEDIA_KINDS, Kind.LOCATION, Kind.CONTACT) else "text"


def media_type(content: Content) -> str:
    """The `mediatype` attribute of the encrypted part; empty if it has none."""
    if content.media and content.media.voice:
        return "ptt"
    if content.kind is Kind.VIDEO and content.media and content.media.animated:
        return "gif"
    if content.kind is Kind.CONTACT:
        return "vcard" if len(content.cards) == 1 else "contact_array"
    return content.kind.value if content.kind in (*MEDIA_KINDS, Kind.LOCATION) else ""


def edit_attribute(content: Content) -> str:
    """The `edit` attribute of the stanza; empty if it has none."""
    if content.kind is Kind.REVOKE:
        return "7" if content.target and content.target.from_me else "8"
    if content.kind is Kind.REACTION and not content.text:
        return "7"
    return "1" if content.kind is Kind.EDIT else ""


def _message(content: Content, now: int) -> bytes:
    if content.media is not None:
        return wire.encode((at.FILE_FIELDS[content.kind], _file(content, content.media)))
    match content.kind:
        case Kind.LOCATION if content.location:
            location = content.location
            parts: list[tuple[int, wire.Value]] = [
                (1, location.latitude),
                (2, location.longitude),
                (3, location.name or None),
                (4, location.address or None),
            ]
            return wire.encode((at.LOCATION, wire.encode(*parts, (at.CONTEXT, _context(content)))))
        case Kind.CONTACT if len(content.cards) == 1:
            card = _card(content.cards[0]) + wire.encode((at.CONTEXT, _context(content)))
            return wire.encode((at.CONTACT, card))
        case Kind.CONTACT:
            cards = [(2, _card(card)) for card in content.cards]
            return wire.encode((at.CONTACTS, wire.encode((1, content.text), *cards, (at.CONTEXT, _context(content)))))
        case Kind.POLL if content.poll:
            options = [(3, wire.encode((1, option))) for option in content.poll.options]
            question: list[tuple[int, wire.Value]] = [
                (2, content.poll.question),
                *options,
                (4, content.poll.selectable),
                (5, _context(content)),
            ]
            return wire.encode((at.POLLS[2 if content.poll.selectable == 1 else 0], wire.encode(*question)))
        case Kind.TEXT | Kind.OTHER:
            return _text(content)
    return _about(content, now)


def _about(content: Content, now: int) -> bytes:
    if content.target is None:
        raise ValueError(f"a message of kind {content.kind} needs a target message")
    key = _key(content.target)
    if content.kind is Kind.REACTION:
        return wire.encode((at.REACTION, wire.encode((1, key), (2, content.text), (4, now * 1000))))
    if content.kind is Kind.POLL_VOTE and content.vote:
        vote = wire.encode((1, content.vote.payload), (2, content.vote.iv))
        return wire.encode((at.POLL_UPDATE, wire.encode((1, key), (2, vote), (4, now * 1000))))
    if content.kind is Kind.REVOKE:
        return wire.encode((at.PROTOCOL, wire.encode((at.KEY, key), (at.TYPE, at.TYPE_REVOKE))))
    edited: list[tuple[int, wire.Value]] = [
        (at.KEY, key),
        (at.TYPE, at.TYPE_EDIT),
        (at.EDITED, _text(content)),
        (15, now * 1000),
    ]
    inner = wire.encode((at.PROTOCOL, wire.encode(*edited)))
    return wire.encode((_EDITED_MESSAGE, wire.encode((1, inner))))


def _text(content: Content) -> bytes:
    context = _context(content)
    if context is None:
        return wire.encode((at.CONVERSATION, content.text))
    return wire.encode((at.EXTENDED_TEXT, wire.encode((1, content.text), (at.CONTEXT, context))))


def _file(content: Content, media: Media) -> bytes:
    layout = at.FILES[at.FILE_FIELDS[content.kind]]
    parts: list[tuple[int, wire.Value]] = [
        (layout.url, media.url),
        (layout.mimetype, media.mimetype),
        (layout.sha256, media.sha256),
        (layout.size, media.size),
        (layout.key, media.key or None),
        (layout.enc_sha256, media.enc_sha256 or None),
        (layout.path, media.path),
        (layout.caption, content.text or None),
        (layout.file_name, media.file_name or None),
        (layout.seconds, media.seconds or None),
        (layout.voice, media.voice or None),
        (layout.animated, media.animated or None),
        (layout.view_once, content.view_once or None),
        (at.CONTEXT, _context(content)),
    ]
    return wire.encode(*((number, value) for number, value in parts if number))


def _card(card: Card) -> bytes:
    return wire.encode((1, card.name), (16, card.vcard))


def _key(target: Target) -> bytes:
    return wire.encode((1, target.chat), (2, target.from_me), (3, target.id), (4, target.participant or None))


def _context(content: Content) -> bytes | None:
    quote, mentions = content.quote, [(15, address) for address in content.mentions]
    if quote is None:
        return wire.encode(*mentions) if mentions else None
    quoted = wire.encode((at.CONVERSATION, quote.text))
    return wire.encode((1, quote.id), (2, quote.participant), (3, quoted), *mentions)
