"""Decodes the events of neonize's library into plain data.

Importing this takes 8 MiB and 60 ms, so it is imported when the first message is read, and not before.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot_runtime.whatsapp import event_codes
from bot_runtime.whatsapp.contents import cut, read_content
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.jid import STATUS, Address
from bot_runtime.whatsapp.messages import (
    Account,
    Arrival,
    Call,
    ConnectionReport,
    GroupChange,
    Incoming,
    Kind,
    Presence,
    ReceiptUpdate,
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


def decode(code: int, data: bytes) -> ConnectionReport | Account | Arrival | None:
    """One event of the library; None for events that the bot ignores."""
    decoder = _DECODERS.get(code)
    return decoder(data) if decoder else None


def log_entry(data: bytes) -> tuple[str, str, str]:
    """(level as in logging, logger, message) of one line of the library's log."""
    entry = neonize.LogEntry.FromString(data)
    return {"WARN": "WARNING"}.get(entry.Level, entry.Level), entry.Name, entry.Message


def vote_iv(event: bytes) -> bytes:
    """The initialisation vector of an encrypted vote."""
    return bytes(neonize.Message.FromString(event).Message.pollUpdateMessage.vote.encIV)


def vote(answer: bytes) -> list[bytes]:
    """The choice in a decrypted vote: SHA-256 digests of the names of the options. Raises `WhatsAppError`."""
    decrypted = neonize.ReturnFunctionWithError.FromString(answer)
    if decrypted.Error:
        raise WhatsAppError(decrypted.Error)
    return list(decrypted.PollVoteMessage.selectedOptions)


def _paired(data: bytes) -> Account | ConnectionReport:
    pairing = neonize.PairStatus.FromString(data)
    if pairing.Status == _PAIRED:
        return Account(pairing.ID.User, None)
    return ConnectionReport(Signal.QR_EXPIRED, "pairing-failed", f"pairing failed: {pairing.Error}")


def _logged_out(data: bytes) -> ConnectionReport:
    reason = neonize.LoggedOut.FromString(data).Reason
    if reason in (_MAIN_DEVICE_GONE, _UNKNOWN_LOGOUT):  # WhatsApp now calls these locked and banned
        return ConnectionReport(Signal.BANNED, "account-locked", "WhatsApp has locked or banned this account")
    return ConnectionReport(Signal.LOGGED_OUT, "logged-out", "this device was removed from the account")


def _banned(data: bytes) -> ConnectionReport:
    ban = neonize.TemporaryBan.FromString(data)
    return ConnectionReport(Signal.BANNED, "temporary-ban", f"banned for {ban.Expire} s (reason {ban.Code})")


def _refused(data: bytes) -> ConnectionReport:
    failure = neonize.ConnectFailure.FromString(data)
    return ConnectionReport(
        Signal.ATTEMPT_FAILED, "connect-failure", f"WhatsApp refused: {failure.Message or 'no reason'}"
    )


def _incoming(data: bytes) -> Incoming | None:
    event = neonize.Message.FromString(data)
    content = read_content(event.Message, view_once=event.IsViewOnce)
    if content is None:
        return None
    info = event.Info
    # What the phone sends to its own devices (keys of the app state, history) is not a message from a person.
    if info.Category == "peer":
        return None
    source = info.MessageSource
    sender, chat = _address(source.Sender), _address(source.Chat)
    numbered = source.SenderAlt if sender.server == "lid" else source.Sender
    if chat == STATUS and content.kind is not Kind.REVOKE:
        content = replace(content, kind=Kind.STATUS)
    elif chat.server == "broadcast" and not source.IsFromMe:  # a broadcast list: the answer goes to the sender alone
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
        device=source.Sender.Device,
        is_group=chat.server == "g.us",
        timestamp=datetime.fromtimestamp(info.Timestamp / 1000, UTC),
        push_name=cut(info.Pushname, 1024),
        content=content,
        server_id=info.ServerID,
    )


def _ack(data: bytes) -> ReceiptUpdate | None:
    receipt = neonize.Receipt.FromString(data)
    source = receipt.MessageSource
    state = _ACKS.get(receipt.Type)
    if state is None or source.IsFromMe or not receipt.MessageIDs:
        return None
    return ReceiptUpdate(tuple(receipt.MessageIDs), _address(source.Chat), _address(source.Sender), state)


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


_DECODERS: dict[int, Callable[[bytes], ConnectionReport | Account | Arrival | None]] = {
    event_codes.PAIR_STATUS: _paired,
    event_codes.LOGGED_OUT: _logged_out,
    event_codes.TEMPORARY_BAN: _banned,
    event_codes.CONNECT_FAILURE: _refused,
    event_codes.MESSAGE: _incoming,
    event_codes.RECEIPT: _ack,
    event_codes.CHAT_PRESENCE: _typing,
    event_codes.PRESENCE: _presence,
    event_codes.JOINED_GROUP: _joined,
    event_codes.GROUP_INFO: _group_changed,
    event_codes.CALL_OFFER: _call(neonize.CallOffer, "offer"),
    event_codes.CALL_ACCEPT: _call(neonize.CallAccept, "accept"),
    event_codes.CALL_OFFER_NOTICE: _call(neonize.CallOfferNotice, "offer"),
    event_codes.CALL_TERMINATE: _call(neonize.CallTerminate, "terminate"),
}
