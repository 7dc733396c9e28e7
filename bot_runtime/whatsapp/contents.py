"""The content of a WhatsApp message, as plain data. Pure.

A message is a protobuf with one field for each kind of content; the field that is set determines the kind.
"""

import re
from collections.abc import Callable
from typing import Any

from bot_runtime.whatsapp.messages import Content, Kind

MAX_TEXT_BYTES = 65536
_MAX_SHORT = 1024
_REVOKE, _EDIT = 0, 14

_FILES = {
    "imageMessage": Kind.IMAGE,
    "videoMessage": Kind.VIDEO,
    "ptvMessage": Kind.VIDEO,
    "audioMessage": Kind.AUDIO,
    "documentMessage": Kind.DOCUMENT,
    "stickerMessage": Kind.STICKER,
}
_WITHOUT_CONTENT = frozenset(
    {"senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage", "messageContextInfo"}
)
"""Keys and metadata beside the content; group messages can arrive twice, the first time with only a key."""
_VCARD_NUMBER = re.compile(r"waid=([0-9]{5,15})|^TEL[^:\n]*:([+0-9 ()./-]{5,30})", re.MULTILINE)


def read_content(message: Any, *, view_once: bool = False) -> Content | None:
    """The content of a message; None when a person wrote none."""
    for field, value in message.ListFields():
        name = field.name
        if name in _WITHOUT_CONTENT:
            continue
        if name in _FILES:
            return _file(message, _FILES[name], value, view_once=view_once)
        reader = _READERS.get(name)
        return reader(value) if reader else Content(kind=Kind.UNSUPPORTED)
    return None


def cut(text: str, size: int = MAX_TEXT_BYTES) -> str:
    """The text, truncated to at most `size` bytes of UTF-8."""
    if len(text) * 4 <= size:
        return text
    return text.encode(errors="replace")[:size].decode(errors="ignore")


def _file(message: Any, kind: Kind, value: Any, *, view_once: bool) -> Content:
    media: dict[str, Any] = {"mimetype": _short(value.mimetype), "size": value.fileLength}
    known = value.DESCRIPTOR.fields_by_name
    caption = cut(value.caption) if "caption" in known else ""
    if caption:
        media["caption"] = caption
    if "fileName" in known and value.fileName:
        media["fileName"] = _short(value.fileName)
    if "seconds" in known and value.seconds:
        media["seconds"] = value.seconds
    view_once = view_once or ("viewOnce" in known and value.viewOnce)
    details: dict[str, Any] = {"media": media, **_quoted(value)}
    if view_once:
        details["viewOnce"] = True
    return Content(
        kind=kind,
        text=caption,
        details=details,
        mentions=_mentions(value),
        view_once=view_once,
        file=message.SerializeToString(),
    )


def _extended_text(value: Any) -> Content:
    return Content(kind=Kind.TEXT, text=cut(value.text), details=_quoted(value), mentions=_mentions(value))


def _location(value: Any) -> Content:
    location: dict[str, Any] = {"latitude": value.degreesLatitude, "longitude": value.degreesLongitude}
    for key in ("name", "address"):
        if text := _short(getattr(value, key, "")):
            location[key] = text
    return Content(kind=Kind.LOCATION, details={"location": location, **_quoted(value)})


def _contact(value: Any) -> Content:
    found = _VCARD_NUMBER.search(value.vcard[:MAX_TEXT_BYTES])
    number = re.sub(r"[^0-9]", "", found.group(1) or found.group(2)) if found else None
    contact = {"name": _short(value.displayName), "phoneNumber": number}
    return Content(kind=Kind.CONTACT, details={"contact": contact, **_quoted(value)})


def _contacts(value: Any) -> Content:
    return _contact(value.contacts[0]) if value.contacts else Content(kind=Kind.UNSUPPORTED)


def _reaction(value: Any) -> Content:
    reaction = {"messageId": value.key.ID, "emoji": _short(value.text)}
    return Content(kind=Kind.REACTION, details={"reaction": reaction})


def _poll(value: Any) -> Content:
    poll = {"question": _short(value.name), "options": [_short(option.optionName) for option in value.options[:32]]}
    return Content(kind=Kind.POLL, details={"poll": poll, **_quoted(value)})


def _poll_vote(value: Any) -> Content:
    return Content(kind=Kind.POLL_VOTE, details={"poll": {"messageId": value.pollCreationMessageKey.ID}})


def _protocol(value: Any) -> Content | None:
    if value.type == _REVOKE and value.HasField("key"):
        return Content(kind=Kind.REVOKE, target=value.key.ID, details={"revoked": value.key.ID})
    if value.type == _EDIT and value.HasField("editedMessage"):
        return Content(
            kind=Kind.EDIT,
            text=_text(value.editedMessage),
            target=value.key.ID,
            details={"edited": value.key.ID},
        )
    return None


_READERS: dict[str, Callable[[Any], Content | None]] = {
    "conversation": lambda text: Content(kind=Kind.TEXT, text=cut(text)),
    "extendedTextMessage": _extended_text,
    "locationMessage": _location,
    "liveLocationMessage": _location,
    "contactMessage": _contact,
    "contactsArrayMessage": _contacts,
    "reactionMessage": _reaction,
    "pollCreationMessage": _poll,
    "pollCreationMessageV2": _poll,
    "pollCreationMessageV3": _poll,
    "pollCreationMessageV5": _poll,
    "pollUpdateMessage": _poll_vote,
    "protocolMessage": _protocol,
    "buttonsResponseMessage": lambda value: Content(kind=Kind.TEXT, text=cut(value.selectedDisplayText)),
    "templateButtonReplyMessage": lambda value: Content(kind=Kind.TEXT, text=cut(value.selectedDisplayText)),
    "listResponseMessage": lambda value: Content(kind=Kind.TEXT, text=cut(value.title)),
}


def _text(message: Any) -> str:
    if message.conversation:
        return cut(message.conversation)
    if message.HasField("extendedTextMessage"):
        return cut(message.extendedTextMessage.text)
    for media in ("imageMessage", "videoMessage", "documentMessage"):
        if message.HasField(media):
            return cut(getattr(message, media).caption)
    return ""


def _quoted(value: Any) -> dict[str, Any]:
    if not value.HasField("contextInfo") or not value.contextInfo.stanzaID:
        return {}
    context = value.contextInfo
    text = _text(context.quotedMessage) if context.HasField("quotedMessage") else ""
    return {"quoted": {"messageId": context.stanzaID, "sender": context.participant, "text": cut(text, 4096)}}


def _mentions(value: Any) -> tuple[str, ...]:
    return tuple(value.contextInfo.mentionedJID[:256]) if value.HasField("contextInfo") else ()


def _short(text: str) -> str:
    return cut(text, _MAX_SHORT)
