"""Contacts: inboxes, receipts, presence and typing."""

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
from whatsapp_simulator.testing.client.base import BaseClient


class ContactsClient(BaseClient):
    """Requests for contacts."""

    async def create_contact(
        self, phone: str, name: str | None = None, *, read_receipts: bool | None = None
    ) -> Contact:
        """Create a contact, or update and return the existing one."""
        body = {"phone": phone, "name": name, "readReceipts": read_receipts}
        return Contact.model_validate(await self._call("POST", "/contacts", body))

    async def inbox(self, phone: str, *, after: int = 0, wait: float = 0) -> list[InboxItem]:
        """The messages in a phone's inbox, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/inbox", after=after, wait=wait)
        return Inbox.model_validate(page).items

    async def media(self, phone: str, message_id: str) -> bytes:
        """The decrypted file of a message in a phone's inbox."""
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
        timeout_seconds: float = 10,
    ) -> InboxItem:
        """Wait for a message after an index with this text, sender, kind and chat (None: any)."""

        def matches(item: InboxItem) -> bool:
            expected = ((text, item.text), (sender, item.sender), (kind, item.kind), (chat, item.chat))
            return all(value in (None, found) for value, found in expected)

        what = f"message {kind or ''} {text!r} from {sender or 'anybody'} on {phone}"
        return await self._first(
            lambda start, wait: self.inbox(phone, after=start, wait=wait),
            matches,
            what,
            after=after,
            timeout_seconds=timeout_seconds,
        )

    async def receipts(self, phone: str, *, after: int = 0, wait: float = 0) -> list[ReceiptItem]:
        """The receipts for messages of a contact, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/receipts", after=after, wait=wait)
        return Receipts.model_validate(page).items

    async def wait_for_receipt(
        self, phone: str, message_id: str, kind: str = "delivered", *, timeout_seconds: float = 10
    ) -> ReceiptItem:
        """Wait for a receipt of a kind for a message of a contact."""
        return await self._first(
            lambda start, wait: self.receipts(phone, after=start, wait=wait),
            lambda item: (item.id, item.kind) == (message_id, kind),
            f"{kind} receipt for {message_id} on {phone}",
            timeout_seconds=timeout_seconds,
        )

    async def acknowledge(self, phone: str, message_id: str, kind: str = "read") -> None:
        """Send a "read" or "played" receipt for a message as the contact."""
        await self._call("POST", f"/contacts/{phone}/receipts", {"message": message_id, "kind": kind})

    async def set_presence(self, phone: str, state: str) -> None:
        """Set the contact online ("available") or offline ("unavailable")."""
        await self._call("POST", f"/contacts/{phone}/presence", {"state": state})

    async def set_typing(self, phone: str, to: str, state: str = "composing") -> None:
        """Show the contact as typing ("composing"), recording ("recording") or stopped ("paused")."""
        await self._call("POST", f"/contacts/{phone}/typing", {"to": to, "state": state})

    async def chat_states(self, phone: str, *, after: int = 0, wait: float = 0) -> list[ChatStateItem]:
        """The typing states in chats with a contact, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/chat-states", after=after, wait=wait)
        return ChatStates.model_validate(page).items

    async def wait_for_chat_state(
        self, phone: str, state: str, *, sender: str | None = None, after: int = 0, timeout_seconds: float = 10
    ) -> ChatStateItem:
        """Wait for a typing state after an index in a chat with the contact."""
        return await self._first(
            lambda start, wait: self.chat_states(phone, after=start, wait=wait),
            lambda item: item.state == state and sender in (None, item.sender),
            f"{state} from {sender or 'anybody'} on {phone}",
            after=after,
            timeout_seconds=timeout_seconds,
        )
