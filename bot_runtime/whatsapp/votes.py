"""Decrypts votes in polls. They are encrypted with a secret that only clients have that received the poll.

The protobuf messages are imported by the first call, not before: they take 8 MiB.
"""

from bot_runtime.whatsapp.core import Core
from bot_runtime.whatsapp.messages import WhatsAppError

_IV_BYTES = 12


def open_vote(core: Core, event: bytes) -> list[bytes]:
    """The SHA-256 digests of the chosen options, none when the vote was withdrawn. Raises `WhatsAppError`.

    `event` is the library's event of the vote. Blocks while reading the session file, and needs no network.
    """
    from bot_runtime.whatsapp import decode

    if len(decode.vote_iv(event)) != _IV_BYTES:  # Go's cipher ends the process for any other length
        raise WhatsAppError("the vote has no valid initialisation vector")
    return decode.vote(core.decrypt_vote(event))
