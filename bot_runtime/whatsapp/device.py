"""Linking this device to an account by code, and unlinking it.

Everything here blocks and must run on a thread.
"""

from bot_runtime.whatsapp.core import Core
from bot_runtime.whatsapp.messages import WhatsAppError


class LinkedDevice:
    """This device as WhatsApp knows it. All methods raise `WhatsAppError`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def pair_code(self, number: str) -> str:
        """A code to type into the phone with that number."""
        from bot_runtime.whatsapp import encode

        return encode.pair_code(self._core.pair_phone(encode.pair_phone_parameters(number)))

    def logout(self) -> None:
        """Remove this device from the account and delete the session."""
        if error := self._core.logout():
            raise WhatsAppError(error)
