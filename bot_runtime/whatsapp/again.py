"""Messages with a file, prepared to be sent again.

Importing this costs as much as importing `decode.py`.
"""

from bot_runtime.whatsapp.imports import defer_package

defer_package("neonize")
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402


def shown_again(file: bytes) -> bytes:
    """The message as it can be forwarded, with its view-once restriction removed."""
    shown = Message.FromString(file)
    shown.ClearField("messageContextInfo")
    for field, part in shown.ListFields():
        if field.message_type is not None and "viewOnce" in field.message_type.fields_by_name:
            part.ClearField("viewOnce")
    return bytes(shown.SerializeToString())
