"""Decoding of messages, from real protobufs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot_runtime.whatsapp import event_codes
from bot_runtime.whatsapp.again import shown_again
from bot_runtime.whatsapp.contents import MAX_TEXT_BYTES, cut, read_content
from bot_runtime.whatsapp.decode import decode
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Call, GroupChange, Incoming, Kind, Presence, ReceiptUpdate

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402


def jid(text: str) -> Any:
    user, _, server = text.partition("@")
    return neonize.JID(User=user, Server=server, RawAgent=0, Device=0, Integrator=0, IsEmpty=not user)


def source(chat: str, sender: str, *, alt: str = "@", from_me: bool = False) -> Any:
    return neonize.MessageSource(
        Chat=jid(chat), Sender=jid(sender), IsFromMe=from_me, IsGroup=chat.endswith(("g.us", "broadcast")),
        SenderAlt=jid(alt), RecipientAlt=jid("@"), BroadcastListOwner=jid("@"),
    )  # fmt: skip


def event(message: Any, *, chat: str = "77@lid", sender: str = "77@lid", **flags: Any) -> bytes:
    info = neonize.MessageInfo(
        MessageSource=source(chat, sender, alt="4917@s.whatsapp.net"), ID="A", ServerID=7, Type="text",
        Pushname="Ada", Timestamp=1_767_323_045_000, Category="", Multicast=False, MediaType="", Edit="",
    )  # fmt: skip
    names = (
        "IsEphemeral", "IsViewOnce", "IsViewOnceV2", "IsViewOnceV2Extension", "IsDocumentWithCaption",
        "IsLottieSticker", "IsEdit",
    )  # fmt: skip
    values = {name: flags.get(name, False) for name in names}
    built = neonize.Message(Info=info, Message=message, UnavailableRequestID="", RetryCount=0, **values)
    return bytes(built.SerializeToString())


def incoming(message: Any, **more: Any) -> Incoming:
    decoded = decode(event_codes.MESSAGE, event(message, **more))
    assert isinstance(decoded, Incoming)
    return decoded


def test_a_text_has_a_sender_a_time_and_a_chat() -> None:
    message = incoming(Message(conversation="hello"))
    assert (message.id, message.text, message.kind, message.push_name) == ("A", "hello", Kind.TEXT, "Ada")
    assert (str(message.chat), message.sender_number, message.is_group) == ("77@lid", "4917", False)
    assert message.timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_status_is_not_a_group_and_a_channel_post_has_its_number() -> None:
    status = incoming(Message(conversation="sun"), chat="status@broadcast")
    assert (status.kind, status.is_group, str(status.sender)) == (Kind.STATUS, False, "77@lid")
    post = incoming(Message(conversation="news"), chat="9@newsletter", sender="9@newsletter")
    assert (post.kind, post.server_id, post.sender_number) == (Kind.CHANNEL_POST, 7, None)


def test_a_broadcast_list_is_answered_in_the_chat_with_its_sender() -> None:
    assert str(incoming(Message(conversation="all of you"), chat="123@broadcast").chat) == "77@lid"


def test_messages_without_content_are_ignored() -> None:
    only_a_key, only_a_note, of_the_protocol = Message(), Message(), Message()
    only_a_key.senderKeyDistributionMessage.groupID = "1@g.us"
    only_a_note.messageContextInfo.deviceListMetadataVersion = 2
    of_the_protocol.protocolMessage.type = 3
    for message in (Message(), only_a_key, only_a_note, of_the_protocol):
        assert decode(event_codes.MESSAGE, event(message)) is None


def test_unknown_content_is_unsupported() -> None:
    message = Message()
    message.eventMessage.name = "party"
    assert incoming(message).kind is Kind.UNSUPPORTED


def test_a_text_with_a_quote_and_mentions() -> None:
    message = Message()
    message.extendedTextMessage.text = "see"
    context = message.extendedTextMessage.contextInfo
    context.stanzaID, context.participant = "Q", "77@lid"
    context.quotedMessage.conversation = "before"
    context.mentionedJID.append("88@lid")
    content = incoming(message).content
    assert content.details == {"quoted": {"messageId": "Q", "sender": "77@lid", "text": "before"}}
    assert content.mentions == ("88@lid",)


@pytest.mark.parametrize("flagged", ["around", "inside"])
def test_a_view_once_file_is_recognised_by_either_flag_and_can_be_forwarded(flagged: str) -> None:
    message = Message()
    message.imageMessage.mimetype, message.imageMessage.fileLength = "image/jpeg", 4
    message.imageMessage.viewOnce = flagged == "inside"
    content = incoming(message, IsViewOnce=flagged == "around").content
    assert content.view_once
    assert content.details == {"media": {"mimetype": "image/jpeg", "size": 4}, "viewOnce": True}
    assert not Message.FromString(shown_again(content.file)).imageMessage.viewOnce


def test_a_video_note_and_a_voice_message_have_a_length() -> None:
    video, voice = Message(), Message()
    video.ptvMessage.mimetype, video.ptvMessage.seconds = "video/mp4", 5
    voice.audioMessage.mimetype, voice.audioMessage.seconds = "audio/ogg; codecs=opus", 3
    assert incoming(video).content.details["media"]["seconds"] == 5
    assert incoming(voice).kind is Kind.AUDIO


def test_an_edit_has_the_new_text_and_a_deletion_the_old_id() -> None:
    edit, revoke = Message(), Message()
    edit.protocolMessage.type, edit.protocolMessage.key.ID = 14, "OLD"
    edit.protocolMessage.editedMessage.extendedTextMessage.text = "new"
    revoke.protocolMessage.type, revoke.protocolMessage.key.ID = 0, "OLD"
    changed, deleted = incoming(edit), incoming(revoke, chat="status@broadcast")
    assert (changed.kind, changed.text, changed.content.target) == (Kind.EDIT, "new", "OLD")
    assert (deleted.kind, deleted.content.target) == (Kind.REVOKE, "OLD")


def test_a_contact_card_without_a_whatsapp_number_has_its_phone_number() -> None:
    message = Message()
    message.contactMessage.displayName = "Bob"
    message.contactMessage.vcard = "BEGIN:VCARD\nTEL;TYPE=CELL:+49 (170) 000-1\nEND:VCARD"
    assert incoming(message).content.details == {"contact": {"name": "Bob", "phoneNumber": "491700001"}}
    message.contactMessage.vcard = "BEGIN:VCARD\nEND:VCARD"
    assert incoming(message).content.details == {"contact": {"name": "Bob", "phoneNumber": None}}


def test_a_live_location_and_a_vote() -> None:
    place, vote = Message(), Message()
    place.liveLocationMessage.degreesLatitude = 1.5
    vote.pollUpdateMessage.pollCreationMessageKey.ID = "POLL"
    assert incoming(place).content.details == {"location": {"latitude": 1.5, "longitude": 0.0}}
    assert (incoming(vote).kind, incoming(vote).content.details) == (Kind.POLL_VOTE, {"poll": {"messageId": "POLL"}})


@pytest.mark.parametrize("character", ["x", "ä", "€", "😀"])
def test_long_texts_are_truncated_between_characters(character: str) -> None:
    content = read_content(Message(conversation=character * MAX_TEXT_BYTES))
    assert content is not None
    assert len(content.text.encode()) <= MAX_TEXT_BYTES
    assert len(content.text.encode()) > MAX_TEXT_BYTES - 4
    assert set(content.text) == {character}
    assert cut("short") == "short"


def test_only_receipts_of_others_are_acknowledgements() -> None:
    def receipt(kind: int, *, from_me: bool = False) -> Any:
        of = source("1@g.us", "77@lid", from_me=from_me)
        data = neonize.Receipt(MessageSource=of, MessageIDs=["A"], Timestamp=1, Type=kind)
        return decode(event_codes.RECEIPT, data.SerializeToString())

    chat, by = Address("1", "g.us"), Address("77", "lid")
    assert [receipt(kind) for kind in (1, 4, 6)] == [
        ReceiptUpdate(("A",), chat, by, state) for state in ("delivered", "read", "played")
    ]
    assert [receipt(kind) for kind in (2, 3, 5, 8, 9)] == [None] * 5
    assert receipt(4, from_me=True) is None


def test_presences_calls_and_changes_of_groups() -> None:
    typing = neonize.ChatPresence(MessageSource=source("1@g.us", "77@lid"), State=1, Media=2)
    gone = neonize.Presence(From=jid("77@lid"), Unavailable=True, LastSeen=-62135596800)
    meta = neonize.BasicCallMeta(timestamp=1, callCreator=jid("77@lid"), callCreatorAlt=jid("@"), callID="C")
    getattr(meta, "from").CopyFrom(jid("77@lid"))
    ended = neonize.CallTerminate(basicCallMeta=meta, reason="", data=neonize.Node(Tag="terminate"))
    left = neonize.GroupInfoEvent(
        JID=jid("1@g.us"), Notify="", Timestamp=1, PrevParticipantsVersionID="", ParticipantVersionID="",
        JoinReason="", Leave=[jid("77@lid")],
    )  # fmt: skip
    who, group = Address("77", "lid"), Address("1", "g.us")
    assert decode(event_codes.CHAT_PRESENCE, typing.SerializeToString()) == Presence(who, "recording", chat=group)
    assert decode(event_codes.PRESENCE, gone.SerializeToString()) == Presence(who, "unavailable")
    assert decode(event_codes.CALL_TERMINATE, ended.SerializeToString()) == Call("C", who, "terminate")
    assert decode(event_codes.GROUP_INFO, left.SerializeToString()) == GroupChange(group, left=(who,))
