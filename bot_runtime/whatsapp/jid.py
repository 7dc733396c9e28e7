"""Addresses of chats: from what people and programs write to what WhatsApp wants."""

import re
from dataclasses import dataclass

_SERVERS = frozenset({"s.whatsapp.net", "lid", "g.us", "newsletter"})
_PUNCTUATION = re.compile(r"[\s().-]")
_NUMBER = re.compile(r"\+?([1-9][0-9]{5,14})")
_USER = re.compile(r"[0-9]{5,32}(-[0-9]{5,32})?")


@dataclass(frozen=True, slots=True)
class Address:
    """A chat: `user@server`, without the device."""

    user: str
    server: str

    def __str__(self) -> str:
        return f"{self.user}@{self.server}"


def parse_address(text: str) -> Address:
    """Read a phone number in international form (punctuation allowed) or a chat id. Raises ValueError."""
    user, at, server = text.strip().partition("@")
    if at:
        server = "s.whatsapp.net" if server == "c.us" else server
        user = user.partition(":")[0]
        if server not in _SERVERS or not _USER.fullmatch(user):
            raise ValueError("not a chat id: expected digits@s.whatsapp.net, @lid, @g.us or @newsletter")
        return Address(user, server)
    return Address(parse_number(user), "s.whatsapp.net")


def parse_number(text: str) -> str:
    """The digits of a phone number in international form. Raises ValueError."""
    match = _NUMBER.fullmatch(_PUNCTUATION.sub("", text))
    if match is None:
        raise ValueError("not a phone number in international form (6 to 15 digits)")
    return match.group(1)
