"""Addresses: `user[:device]@server`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

USER = "s.whatsapp.net"
LID = "lid"
GROUP = "g.us"
BROADCAST = "broadcast"
NEWSLETTER = "newsletter"

_TEXT = re.compile(r"(?:(?P<user>[^:@]+)(?::(?P<device>\d+))?)?@(?P<server>.+)|(?P<bare>[^@:]+)")


@dataclass(frozen=True, slots=True, order=True)
class Jid:
    """One address; device 0 is the phone itself, and an empty user is the server."""

    user: str
    server: str
    device: int = 0

    def __str__(self) -> str:
        device = f":{self.device}" if self.device else ""
        return f"{self.user}{device}@{self.server}" if self.user else self.server

    def bare(self) -> Jid:
        """The same user without a device."""
        return replace(self, device=0)

    def with_device(self, device: int) -> Jid:
        """Another device of the same user."""
        return replace(self, device=device)


SERVER = Jid("", USER)
STATUS = Jid("status", BROADCAST)


def parse(text: str) -> Jid:
    """Parse the text form; ValueError if it is not an address."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not an address: {text!r}")
    if match["bare"]:
        return Jid("", match["bare"])
    return Jid(match["user"] or "", match["server"], int(match["device"] or 0))
