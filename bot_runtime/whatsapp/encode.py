"""What goes to WhatsApp, as the bytes neonize wants, and its answers.

Importing this takes 8 MiB and 60 ms, so it is imported where the first message is written, and not before.
"""

from datetime import UTC, datetime

from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Sent, WhatsAppError

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402


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
