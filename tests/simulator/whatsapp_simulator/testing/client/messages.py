"""Messages of contacts. `to` is a phone number or a group id; all methods return the id of the sent message."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from whatsapp_simulator.content.model import Kind
from whatsapp_simulator.testing.client.base import BaseClient


def file(data: bytes, kind: Kind | str, mimetype: str = "", file_name: str = "", **more: Any) -> dict[str, Any]:
    """A file in the JSON format of the API; more: `seconds`, `voice`, `animated`."""
    encoded = base64.b64encode(data).decode()
    return {"kind": kind, "data": encoded, "mimetype": mimetype, "fileName": file_name, **more}


class MessagesClient(BaseClient):
    """Requests that send messages as a contact."""

    async def send(
        self, phone: str, to: str, text: str, *, quote: str | None = None, mentions: Sequence[str] = ()
    ) -> str:
        """Send a text. quote: the id of the message to reply to; mentions: phone numbers."""
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
        """Send a file. withheld (with view_once): linked devices only get a placeholder."""
        sent = file(data, kind, mimetype, file_name, seconds=seconds, voice=voice, animated=animated)
        more = {"caption": caption, "viewOnce": view_once, "withheld": withheld, "quote": quote}
        return await self._sent(phone, "media", to=to, **sent, **more)

    async def send_location(
        self, phone: str, to: str, latitude: float, longitude: float, *, name: str = "", address: str = ""
    ) -> str:
        """Send a location."""
        location = {"latitude": latitude, "longitude": longitude, "name": name, "address": address}
        return await self._sent(phone, "locations", to=to, **location)

    async def send_card(self, phone: str, to: str, name: str, vcard: str) -> str:
        """Send a contact card."""
        return await self._sent(phone, "cards", to=to, cards=[{"name": name, "vcard": vcard}])

    async def send_poll(
        self, phone: str, to: str, question: str, options: Sequence[str], *, selectable: int = 1
    ) -> str:
        """Send a poll. selectable: how many options may be chosen, 0 for any number."""
        return await self._sent(phone, "polls", to=to, question=question, options=list(options), selectable=selectable)

    async def vote(self, phone: str, message_id: str, options: Sequence[str]) -> str:
        """Vote in a poll that the contact sent or received."""
        return await self._sent(phone, "votes", message=message_id, options=list(options))

    async def react(self, phone: str, message_id: str, emoji: str) -> str:
        """React to a message; an empty emoji removes the reaction."""
        return await self._sent(phone, "reactions", message=message_id, emoji=emoji)

    async def edit(self, phone: str, message_id: str, text: str) -> str:
        """Edit the text of the contact's own message."""
        return await self._sent(phone, "edits", message=message_id, text=text)

    async def revoke(self, phone: str, message_id: str) -> str:
        """Delete a message for everyone."""
        return await self._sent(phone, "revocations", message=message_id)

    async def redeliver(self, phone: str, message_id: str) -> str:
        """Deliver the contact's message to a person again under the same id."""
        return await self._sent(phone, "redeliveries", message=message_id)

    async def post_status(
        self, phone: str, to: Sequence[str], text: str = "", *, media: dict[str, Any] | None = None
    ) -> str:
        """Post a status for these accounts. media: the result of `file`."""
        return await self._sent(phone, "statuses", to=list(to), text=text, media=media)

    async def _sent(self, phone: str, what: str, **body: Any) -> str:
        sent: dict[str, str] = await self._call("POST", f"/contacts/{phone}/{what}", body)
        return sent["id"]
