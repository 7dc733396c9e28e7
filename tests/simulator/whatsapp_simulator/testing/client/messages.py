"""Messages of contacts. `to` is a phone number or a group's id; all calls return the id of what was sent."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from whatsapp_simulator.content.model import Kind
from whatsapp_simulator.testing.client.base import Base


def file(data: bytes, kind: Kind | str, mimetype: str = "", file_name: str = "", **more: Any) -> dict[str, Any]:
    """A file in the JSON of the API; more: `seconds`, `voice`, `animated`."""
    encoded = base64.b64encode(data).decode()
    return {"kind": kind, "data": encoded, "mimetype": mimetype, "fileName": file_name, **more}


class Messages(Base):
    """Calls that send something as a contact."""

    async def send(
        self, phone: str, to: str, text: str, *, quote: str | None = None, mentions: Sequence[str] = ()
    ) -> str:
        """A contact writes to somebody, or to a group. quote: the id of the message it replies to."""
        return await self._sent(phone, "messages", to=to, text=text, quote=quote, mentions=list(mentions))

    async def send_media(
        self,
        phone: str,
        to: str,
        data: bytes,
        kind: Kind | str = Kind.IMAGE,
        *,
        caption: str = "",
        mimetype: str = "",
        file_name: str = "",
        seconds: int = 0,
        voice: bool = False,
        animated: bool = False,
        view_once: bool = False,
        withheld: bool = False,
        quote: str | None = None,
    ) -> str:
        """A contact sends a file. withheld (with view_once): linked devices get a placeholder only."""
        sent = file(data, kind, mimetype, file_name, seconds=seconds, voice=voice, animated=animated)
        more = {"caption": caption, "viewOnce": view_once, "withheld": withheld, "quote": quote}
        return await self._sent(phone, "media", to=to, **sent, **more)

    async def send_location(
        self, phone: str, to: str, latitude: float, longitude: float, *, name: str = "", address: str = ""
    ) -> str:
        """A contact sends a place."""
        place = {"latitude": latitude, "longitude": longitude, "name": name, "address": address}
        return await self._sent(phone, "locations", to=to, **place)

    async def send_card(self, phone: str, to: str, name: str, vcard: str) -> str:
        """A contact sends a contact card."""
        return await self._sent(phone, "cards", to=to, cards=[{"name": name, "vcard": vcard}])

    async def send_poll(
        self, phone: str, to: str, question: str, options: Sequence[str], *, selectable: int = 1
    ) -> str:
        """A contact asks a question. selectable: how many options may be chosen, 0 for any number."""
        return await self._sent(phone, "polls", to=to, question=question, options=list(options), selectable=selectable)

    async def vote(self, phone: str, message_id: str, options: Sequence[str]) -> str:
        """A contact votes in a poll that it sent or got."""
        return await self._sent(phone, "votes", message=message_id, options=list(options))

    async def react(self, phone: str, message_id: str, emoji: str) -> str:
        """A contact reacts to a message; an empty emoji takes the reaction back."""
        return await self._sent(phone, "reactions", message=message_id, emoji=emoji)

    async def edit(self, phone: str, message_id: str, text: str) -> str:
        """A contact changes the text of its message."""
        return await self._sent(phone, "edits", message=message_id, text=text)

    async def revoke(self, phone: str, message_id: str) -> str:
        """A contact deletes a message for everybody."""
        return await self._sent(phone, "revocations", message=message_id)

    async def repeat(self, phone: str, message_id: str) -> str:
        """A contact's message to somebody is delivered once more under its id."""
        return await self._sent(phone, "repeats", message=message_id)

    async def post_status(
        self, phone: str, to: Sequence[str], text: str = "", *, media: dict[str, Any] | None = None
    ) -> str:
        """A contact puts up a status that these accounts see. media: what `file` makes."""
        return await self._sent(phone, "statuses", to=list(to), text=text, media=media)

    async def _sent(self, phone: str, what: str, **body: Any) -> str:
        sent: dict[str, str] = await self._call("POST", f"/contacts/{phone}/{what}", body)
        return sent["id"]
