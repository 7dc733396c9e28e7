"""Encodes requests into neonize's protobuf messages, and decodes the answers.

Importing this takes 8 MiB and 60 ms, so it is imported when the first message is sent, and not before.
"""

import time
from datetime import UTC, datetime
from typing import Any

from bot_runtime.contract import (
    FILES,
    Audio,
    Contact,
    Content,
    Document,
    Image,
    Location,
    Poll,
    Reaction,
    Sticker,
    Text,
    Video,
)
from bot_runtime.whatsapp.again import shown_again
from bot_runtime.whatsapp.files import Facts
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import SentMessage, WhatsAppError
from bot_runtime.whatsapp.outgoing import ForwardedFile, OutgoingMessage, SendTarget, UploadedFile

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402

_FIELDS: dict[type, str] = {
    Text: "extendedTextMessage",
    Image: "imageMessage",
    Video: "videoMessage",
    Audio: "audioMessage",
    Document: "documentMessage",
    Sticker: "stickerMessage",
    Location: "locationMessage",
    Contact: "contactMessage",
    Poll: "pollCreationMessage",
}
_VCARD_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "", ",": "\\,", ";": "\\;"})


def device_properties() -> bytes:
    """How the bot appears in the phone's list of linked devices."""
    return bytes(DeviceProps(os="Botdock", platformType=DeviceProps.CHROME).SerializeToString())


def jid(address: Address) -> bytes:
    """A serialised JID."""
    return bytes(
        neonize.JID(
            User=address.user, Server=address.server, RawAgent=0, Device=0, Integrator=0, IsEmpty=False
        ).SerializeToString()
    )


def message(outgoing: OutgoingMessage) -> bytes:
    """A serialised Message. Texts have no link previews: the sender would have to fetch the page for them."""
    content, target = outgoing.content, outgoing.target
    if isinstance(content, ForwardedFile):
        return shown_again(content.message)
    encoded = Message()
    if isinstance(content, Reaction):
        _react(encoded.reactionMessage, outgoing.chat, content, target)
    elif isinstance(content, Text) and target is None:
        encoded.conversation = content.text
    else:
        part = getattr(encoded, _FIELDS[type(content)])
        part.SetInParent()
        _fill(part, content, outgoing.file)
        if target is not None:
            _quote(part.contextInfo, target)
    if outgoing.secret:
        encoded.messageContextInfo.messageSecret = outgoing.secret
    return bytes(encoded.SerializeToString())


def sent(data: bytes) -> SentMessage:
    """The answer to a send. Raises `WhatsAppError`."""
    answer = neonize.SendMessageReturnFunction.FromString(data)
    if answer.Error:
        raise WhatsAppError(answer.Error)
    return SentMessage(answer.SendResponse.ID, datetime.fromtimestamp(answer.SendResponse.Timestamp, UTC))


def uploaded(data: bytes, facts: Facts) -> UploadedFile:
    """The answer to an upload. Raises `WhatsAppError`."""
    answer = neonize.UploadReturnFunction.FromString(data)
    if answer.Error:
        raise WhatsAppError(answer.Error)
    file = answer.UploadResponse
    return UploadedFile(
        url=file.url,
        direct_path=file.DirectPath,
        media_key=file.MediaKey,
        encrypted_sha256=file.FileEncSHA256,
        sha256=file.FileSHA256,
        size=file.FileLength,
        facts=facts,
    )


def pair_phone_parameters(number: str) -> bytes:
    """A request for a pairing code. WhatsApp accepts only display names of known browsers."""
    return bytes(
        neonize.PairPhoneParams(
            phone=number, clientDisplayName="Chrome (Linux)", clientType=1, showPushNotification=True
        ).SerializeToString()
    )


def pair_code(data: bytes) -> str:
    """The code of an answer. Raises `WhatsAppError`."""
    answer = neonize.PairPhoneReturnFunction.FromString(data)
    if answer.Error:
        raise WhatsAppError(answer.Error)
    return str(answer.Code)


def _fill(part: Any, content: Content, file: UploadedFile | None) -> None:
    if isinstance(content, FILES):
        assert file is not None, "a file is uploaded before its message is encoded"  # noqa: S101
        _attach(part, content.mimetype, file)
    match content:
        case Text():
            part.text = content.text
        case Image() | Video():
            part.caption = content.caption
        case Audio():
            part.PTT = content.voice
        case Document():
            part.fileName = part.title = content.file_name
            part.caption = content.caption
        case Location():
            part.degreesLatitude, part.degreesLongitude = content.latitude, content.longitude
            part.name, part.address = content.name, content.address
        case Contact():
            part.displayName, part.vcard = content.name, _vcard(content)
        case Poll():
            part.name, part.selectableOptionsCount = content.question, content.selectable
            for option in content.options:
                part.options.add(optionName=option)


def _attach(part: Any, mimetype: str, file: UploadedFile) -> None:
    part.URL, part.directPath, part.mediaKey = file.url, file.direct_path, file.media_key
    part.fileEncSHA256, part.fileSHA256, part.fileLength = file.encrypted_sha256, file.sha256, file.size
    part.mimetype, part.mediaKeyTimestamp = mimetype, int(time.time())
    facts, known = file.facts, part.DESCRIPTOR.fields_by_name
    if facts.width and "width" in known:
        part.width, part.height = facts.width, facts.height
    if facts.seconds and "seconds" in known:
        part.seconds = facts.seconds
    if facts.animated and "isAnimated" in known:
        part.isAnimated = True


def _react(part: Any, chat: Address, reaction: Reaction, target: SendTarget | None) -> None:
    assert target is not None, "a reaction has a target"  # noqa: S101
    part.key.remoteJID, part.key.ID, part.key.fromMe = str(chat), target.message_id, target.mine
    if chat.is_group and not target.mine:
        part.key.participant = str(target.author)
    part.text = reaction.emoji
    part.senderTimestampMS = time.time_ns() // 1_000_000


def _quote(context: Any, target: SendTarget) -> None:
    context.stanzaID, context.participant = target.message_id, str(target.author)
    context.quotedMessage.conversation = target.text


def _vcard(contact: Contact) -> str:
    name, number = contact.name.translate(_VCARD_ESCAPES), contact.phone_number
    return (
        f"BEGIN:VCARD\nVERSION:3.0\nN:;{name};;;\nFN:{name}\n"
        f"TEL;type=CELL;type=VOICE;waid={number}:+{number}\nEND:VCARD"
    )
