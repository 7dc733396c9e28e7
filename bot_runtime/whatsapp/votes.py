"""Votes in polls, which are encrypted with a secret that only those have who have the poll.

The protobuf messages are imported by the first call, not before: they weigh 8 MiB.
"""

from bot_runtime.whatsapp.core import Core
from bot_runtime.whatsapp.messages import WhatsAppError

_IV_BYTES = 12


def open_vote(core: Core, event: bytes) -> list[bytes]:
    """The SHA-256 digests of the options that were chosen, none when the vote was taken back. Raises `WhatsAppError`.

    `event` is the library's event of the vote. It blocks for a look into the session file and needs no network.
    """
    from bot_runtime.whatsapp import decode

    if len(decode.vote_iv(event)) != _IV_BYTES:  # Go's cipher ends the process over any other length
        raise WhatsAppError("it is not encrypted as votes are")
    return decode.vote(core.decrypt_vote(event))
