"""What comes from WhatsApp, as plain data.

Importing this takes 8 MiB and 60 ms, so it is imported where the first message is read, and not before.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot_runtime.whatsapp import core
from bot_runtime.whatsapp.contents import cut, read_content
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.jid import STATUS, Address
from bot_runtime.whatsapp.messages import (
    Account,
    Ack,
    Arrival,
    Call,
    GroupChange,
    Incoming,
    Kind,
    Presence,
    Status,
    WhatsAppError,
)
from bot_runtime.whatsapp.state import Signal

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402

_PAIRED = 2
_MAIN_DEVICE_GONE, _UNKNOWN_LOGOUT = 4, 5
_ACKS = {1: "delivered", 4: "read", 6: "played"}
_PAUSED, _BY_VOICE = 2, 2
_NEVER = 0


def decode(code: int, data: bytes) -> Status | Account | Arrival | None:
    """One event of the library; None for what does not matter."""
    decoder = _DECODERS.get(code)
    return decoder(data) if decoder else None


def log_entry(data: bytes) -> tuple[str, str, str]:
    """(level as in logging, logger, message) of one line of the library's log."""
    entry = neonize.LogEntry.FromString(data)
    return {"WARN": "WARNING"}.get(entry.Level, entry.Level), entry.Name, entry.Message


def vote_iv(event: bytes) -> bytes:
    """What the encryption of a vote was started with."""
    return bytes(neonize.Message.FromString(event).Message.pollUpdateMessage.vote.encIV)


def vote(answer: bytes) -> list[bytes]:
    """The choice in a decrypted vote: SHA-256 digests of the options' names. Raises `WhatsAppError`."""
    decrypted = neonize.ReturnFunctionWithError.FromString(answer)
    if decrypted.Error:
        raise WhatsAppError(decrypted.Error)
    return list(decrypted.PollVoteMessage.selectedOptions)


def _paired(data: bytes) -> Account | Status:
    pairing = neonize.PairStatus.FromString(data)
    if pairing.Status == _PAIRED:
        return Account(pairing.ID.User, None)
    return Status(Signal.QR_EXPIRED, "pairing-failed", f"pairing failed: {pairing.Error}")


def _logged_out(data: bytes) -> Status:
    reason = neonize.LoggedOut.FromString(data).Reason
    if reason in (_MAIN_DEVICE_GONE, _UNKNOWN_LOGOUT):  # WhatsApp now calls them locked and banned
        return Status(Signal.BANNED, "account-locked", "WhatsApp has locked or banned this account")
    return Status(Signal.LOGGED_OUT, "logged-out", "this device was removed from the account")


def _banned(data: bytes) -> Status:
    ban = neonize.TemporaryBan.FromString(data)
    return Status(Signal.BANNED, "temporary-ban", f"banned for {ban.Expire} s (reason {ban.Code})")


def _refused(data: bytes) -> Status:
    failure = neonize.ConnectFailure.FromString(data)
    return Status(Signal.ATTEMPT_FAILED, "connect-failure", f"WhatsApp refused: {failure.Message or 'no reason'}")


def _incoming(data: bytes) -> Incoming | None:
    event = neonize.Message.FromString(data)
    content = read_content(event.Message, view_once=event.IsViewOnce)
    if content is None:
        return None
    info = event.Info
    # What the phone tells its own devices (keys of the app state, history) is no message of anybody.
    if info.Category == "peer":
        return None
    source = info.MessageSource
    sender, chat = _address(source.Sender), _address(source.Chat)
    numbered = source.SenderAlt if sender.server == "lid" else source.Sender
    if chat == STATUS and content.kind is not Kind.REVOKE:
        content = replace(content, kind=Kind.STATUS)
    elif chat.server == "broadcast" and not source.IsFromMe:  # a list of the sender's: the answer goes to them alone
        chat = sender
    elif chat.server == "newsletter":
        content = replace(content, kind=Kind.CHANNEL_POST)
    elif content.kind is Kind.POLL_VOTE:
        content = replace(content, sealed=data)
    return Incoming(
        id=info.ID,
        chat=chat,
        sender=sender,
        sender_number=(numbered.User or None) if numbered.Server != "newsletter" else None,
        from_me=source.IsFromMe,
        is_group=chat.server == "g.us",
        timestamp=datetime.fromtimestamp(info.Timestamp / 1000, UTC),
        push_name=cut(info.Pushname, 1024),
        content=content,
        server_id=info.ServerID,
    )


def _ack(data: bytes) -> Ack | None:
    receipt = neonize.Receipt.FromString(data)
    source = receipt.MessageSource
    state = _ACKS.get(receipt.Type)
    if state is None or source.IsFromMe or not receipt.MessageIDs:
        return None
    return Ack(tuple(receipt.MessageIDs), _address(source.Chat), _address(source.Sender), state)


def _typing(data: bytes) -> Presence:
    event = neonize.ChatPresence.FromString(data)
    typing = "recording" if event.Media == _BY_VOICE else "composing"
    source = event.MessageSource
    return Presence(_address(source.Sender), "paused" if event.State == _PAUSED else typing, chat=_address(source.Chat))


def _presence(data: bytes) -> Presence:
    event = neonize.Presence.FromString(data)
    seen = datetime.fromtimestamp(event.LastSeen, UTC) if event.LastSeen > _NEVER else None
    return Presence(_address(event.From), "unavailable" if event.Unavailable else "available", last_seen=seen)


def _joined(data: bytes) -> GroupChange:
    return GroupChange(_address(neonize.JoinedGroup.FromString(data).GroupInfo.JID))


def _group_changed(data: bytes) -> GroupChange:
    event = neonize.GroupInfoEvent.FromString(data)
    return GroupChange(
        _address(event.JID),
        left=tuple(_address(jid) for jid in event.Leave),
        deleted=event.HasField("Delete") and event.Delete.Deleted,
    )


def _call(kind: Any, status: str) -> Callable[[bytes], Call]:
    def decode_call(data: bytes) -> Call:
        meta = kind.FromString(data).basicCallMeta
        return Call(meta.callID, _address(getattr(meta, "from")), status)

    return decode_call


def _address(jid: Any) -> Address:
    return Address(jid.User, jid.Server)


_DECODERS: dict[int, Callable[[bytes], Status | Account | Arrival | None]] = {
    core.PAIR_STATUS: _paired,
    core.LOGGED_OUT: _logged_out,
    core.TEMPORARY_BAN: _banned,
    core.CONNECT_FAILURE: _refused,
    core.MESSAGE: _incoming,
    core.RECEIPT: _ack,
    core.CHAT_PRESENCE: _typing,
    core.PRESENCE: _presence,
    core.JOINED_GROUP: _joined,
    core.GROUP_INFO: _group_changed,
    core.CALL_OFFER: _call(neonize.CallOffer, "offer"),
    core.CALL_ACCEPT: _call(neonize.CallAccept, "accept"),
    core.CALL_OFFER_NOTICE: _call(neonize.CallOfferNotice, "offer"),
    core.CALL_TERMINATE: _call(neonize.CallTerminate, "terminate"),
}
