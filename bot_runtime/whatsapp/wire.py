"""neonize's protobuf messages in and out: what came from WhatsApp as plain data, what goes there as bytes.

Importing this takes 8 MiB and 60 ms, so it is imported where the first message is read or written, and not before.
"""

from datetime import UTC, datetime
from typing import Any

from bot_runtime.whatsapp import core
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Account, Incoming, Sent, Status, WhatsAppError
from bot_runtime.whatsapp.state import Signal

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402

_PAIRED = 2
_MAIN_DEVICE_GONE, _UNKNOWN_LOGOUT = 4, 5


def decode(code: int, data: bytes) -> Status | Account | Incoming | None:
    """One event of the library; None for what does not matter."""
    match code:
        case core.PAIR_STATUS:
            pairing = neonize.PairStatus.FromString(data)
            if pairing.Status == _PAIRED:
                return Account(pairing.ID.User, None)
            return Status(Signal.QR_EXPIRED, "pairing-failed", f"pairing failed: {pairing.Error}")
        case core.LOGGED_OUT:
            return _logged_out(neonize.LoggedOut.FromString(data).Reason)
        case core.TEMPORARY_BAN:
            ban = neonize.TemporaryBan.FromString(data)
            return Status(Signal.BANNED, "temporary-ban", f"banned for {ban.Expire} s (reason {ban.Code})")
        case core.CONNECT_FAILURE:
            failure = neonize.ConnectFailure.FromString(data)
            return Status(
                Signal.ATTEMPT_FAILED, "connect-failure", f"WhatsApp refused: {failure.Message or 'no reason'}"
            )
        case core.MESSAGE:
            return _incoming(neonize.Message.FromString(data))
    return None


def log_entry(data: bytes) -> tuple[str, str, str]:
    """(level as in logging, logger, message) of one line of the library's log."""
    entry = neonize.LogEntry.FromString(data)
    return {"WARN": "WARNING"}.get(entry.Level, entry.Level), entry.Name, entry.Message


def device_properties() -> bytes:
    """How the bot shows up in the phone's list of linked devices."""
    return bytes(DeviceProps(os="Botdock", platformType=DeviceProps.CHROME).SerializeToString())


def jid(address: Address) -> bytes:
    """A chat as the library wants it."""
    return bytes(
        neonize.JID(
            User=address.user, Server=address.server, RawAgent=0, Device=0, Integrator=0, IsEmpty=False
        ).SerializeToString()
    )


def text_message(text: str) -> bytes:
    """A plain text."""
    return bytes(Message(conversation=text).SerializeToString())


def sent(data: bytes) -> Sent:
    """The answer to a send. Raises `WhatsAppError`."""
    answer = neonize.SendMessageReturnFunction.FromString(data)
    if answer.Error:
        raise WhatsAppError(answer.Error)
    return Sent(answer.SendResponse.ID, datetime.fromtimestamp(answer.SendResponse.Timestamp, UTC))


def pair_phone_parameters(number: str) -> bytes:
    """A request for a pairing code; WhatsApp accepts only display names of known browsers."""
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


def _logged_out(reason: int) -> Status:
    if reason in (_MAIN_DEVICE_GONE, _UNKNOWN_LOGOUT):  # WhatsApp now calls them locked and banned
        return Status(Signal.BANNED, "account-locked", "WhatsApp has locked or banned this account")
    return Status(Signal.LOGGED_OUT, "logged-out", "this device was removed from the account")


def _incoming(event: Any) -> Incoming | None:
    source, info = event.Info.MessageSource, event.Info
    # What the phone tells its own devices (keys of the app state, history) is no message of anybody.
    if info.Category == "peer" or not _has_content(event.Message):
        return None
    sender = Address(source.Sender.User, source.Sender.Server)
    numbered = source.SenderAlt if sender.server == "lid" else source.Sender
    return Incoming(
        id=info.ID,
        chat=Address(source.Chat.User, source.Chat.Server),
        sender=sender,
        sender_number=numbered.User or None,
        from_me=source.IsFromMe,
        is_group=source.IsGroup,
        text=_text(event.Message),
        timestamp=datetime.fromtimestamp(info.Timestamp / 1000, UTC),
        push_name=info.Pushname,
    )


def _has_content(message: Any) -> bool:
    """False for what only carries keys: group messages can come twice, first with nothing but a key."""
    return any(
        field.name not in ("senderKeyDistributionMessage", "messageContextInfo") for field, _ in message.ListFields()
    )


def _text(message: Any) -> str:
    if message.conversation:
        return str(message.conversation)
    if message.HasField("extendedTextMessage"):
        return str(message.extendedTextMessage.text)
    for media in ("imageMessage", "videoMessage", "documentMessage"):
        if message.HasField(media):
            return str(getattr(message, media).caption)
    return ""
