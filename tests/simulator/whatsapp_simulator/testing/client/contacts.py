"""Contacts: what arrives, receipts, presence and typing."""

from __future__ import annotations

from whatsapp_simulator.content.model import Kind
from whatsapp_simulator.control.models import (
    ChatStateItem,
    ChatStates,
    Contact,
    Inbox,
    InboxItem,
    ReceiptItem,
    Receipts,
)
from whatsapp_simulator.testing.client.base import Base


class Contacts(Base):
    """Calls about contacts."""

    async def create_contact(
        self, phone: str, name: str | None = None, *, read_receipts: bool | None = None
    ) -> Contact:
        """Create a contact, or get (and change) the one that is there."""
        body = {"phone": phone, "name": name, "readReceipts": read_receipts}
        return Contact.model_validate(await self._call("POST", "/contacts", body))

    async def inbox(self, phone: str, *, after: int = 0, wait: float = 0) -> list[InboxItem]:
        """What arrived on a phone, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/inbox", after=after, wait=wait)
        return Inbox.model_validate(page).items

    async def media(self, phone: str, message_id: str) -> bytes:
        """The decrypted file of a message that arrived on a phone."""
        return (await self._send("GET", f"/contacts/{phone}/inbox/{message_id}/media")).content

    async def wait_for_message(
        self,
        phone: str,
        text: str | None = None,
        *,
        sender: str | None = None,
        kind: Kind | str | None = None,
        chat: str | None = None,
        after: int = 0,
        deadline: float = 10,
    ) -> InboxItem:
        """The first message on a phone after an index with this text, sender, kind and chat, where given."""

        def wanted(item: InboxItem) -> bool:
            asked = ((text, item.text), (sender, item.sender), (kind, item.kind), (chat, item.chat))
            return all(value in (None, found) for value, found in asked)

        what = f"message {kind or ''} {text!r} from {sender or 'anybody'} on {phone}"
        return await self._first(
            lambda start, wait: self.inbox(phone, after=start, wait=wait), wanted, what, after=after, deadline=deadline
        )

    async def receipts(self, phone: str, *, after: int = 0, wait: float = 0) -> list[ReceiptItem]:
        """The receipts for messages of a contact, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/receipts", after=after, wait=wait)
        return Receipts.model_validate(page).items

    async def wait_for_receipt(
        self, phone: str, message_id: str, kind: str = "delivered", *, deadline: float = 10
    ) -> ReceiptItem:
        """The receipt of a kind for a message of a contact."""
        return await self._first(
            lambda start, wait: self.receipts(phone, after=start, wait=wait),
            lambda item: (item.id, item.kind) == (message_id, kind),
            f"{kind} receipt for {message_id} on {phone}",
            deadline=deadline,
        )

    async def acknowledge(self, phone: str, message_id: str, kind: str = "read") -> None:
        """The contact reads a message, or plays it ("played"), and says so."""
        await self._call("POST", f"/contacts/{phone}/receipts", {"message": message_id, "kind": kind})

    async def set_presence(self, phone: str, state: str) -> None:
        """The contact comes online ("available") or goes ("unavailable")."""
        await self._call("POST", f"/contacts/{phone}/presence", {"state": state})

    async def type_to(self, phone: str, to: str, state: str = "composing") -> None:
        """The contact types ("composing"), records ("recording") or stops ("paused")."""
        await self._call("POST", f"/contacts/{phone}/typing", {"to": to, "state": state})

    async def chat_states(self, phone: str, *, after: int = 0, wait: float = 0) -> list[ChatStateItem]:
        """Who typed in chats with a contact, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/chat-states", after=after, wait=wait)
        return ChatStates.model_validate(page).items

    async def wait_for_chat_state(
        self, phone: str, state: str, *, sender: str | None = None, after: int = 0, deadline: float = 10
    ) -> ChatStateItem:
        """The first time after an index that somebody does this in a chat with the contact."""
        return await self._first(
            lambda start, wait: self.chat_states(phone, after=start, wait=wait),
            lambda item: item.state == state and sender in (None, item.sender),
            f"{state} from {sender or 'anybody'} on {phone}",
            after=after,
            deadline=deadline,
        )
