"""Addresses of chats, parsed from what people and programs write. Pure."""

import re
from dataclasses import dataclass

PERSON, HIDDEN, GROUP, CHANNEL = "s.whatsapp.net", "lid", "g.us", "newsletter"
"""Servers: people by phone number, people by the id that hides it, groups, channels."""

_SERVERS = {"c.us": PERSON, PERSON: PERSON, HIDDEN: HIDDEN, GROUP: GROUP, CHANNEL: CHANNEL}
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Invisible characters that are copied along with a number from a phone's contacts."""
_TRUNK = re.compile(r"\(0\)")
_PUNCTUATION = re.compile("[\\s()./\u2010-\u2015-]")
_NUMBER = re.compile(r"(?:\+|00)?([1-9][0-9]{5,14})")
_USER = re.compile(r"[0-9]{5,32}(-[0-9]{5,32})?")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Address:
    """A chat: `user@server`, without the device."""

    user: str
    server: str

    def __str__(self) -> str:
        return f"{self.user}@{self.server}"

    @property
    def is_group(self) -> bool:
        return self.server == GROUP


STATUS = Address("status", "broadcast")
"""Where contacts' statuses are posted."""


def parse_address(text: str) -> Address:
    """Parse a phone number in international form (punctuation allowed) or a chat id. Raises ValueError."""
    if len(text) > _LONGEST:
        raise ValueError("not a phone number or chat id: too long")
    user, at, name = text.strip().partition("@")
    if not at:
        return Address(parse_number(user), PERSON)
    server = _SERVERS.get(name.strip().lower())
    user = user.partition(":")[0]
    if server == PERSON:
        return Address(parse_number(user), PERSON)
    if server is None or not _USER.fullmatch(user):
        raise ValueError("not a chat id: expected digits@s.whatsapp.net, @c.us, @lid, @g.us or @newsletter")
    return Address(user, server)


def read_address(text: str) -> Address:
    """Parse a chat id that this runtime has written itself."""
    user, _, server = text.partition("@")
    return Address(user, server)


def parse_number(text: str) -> str:
    """The digits of a phone number in international form: `+49 170 …`, `0049170…` or `49170…`. Raises ValueError."""
    bare = _PUNCTUATION.sub("", _TRUNK.sub("", _INVISIBLE.sub("", text)))
    match = _NUMBER.fullmatch(bare)
    if match is None:
        raise ValueError("not a phone number in international form (6 to 15 digits)")
    return match.group(1)
