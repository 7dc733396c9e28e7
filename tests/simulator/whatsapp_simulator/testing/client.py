"""A typed client of the control API."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

import httpx

from whatsapp_simulator.control.models import Account, Contact, Health, Inbox, InboxItem, ReceiptItem, Receipts
from whatsapp_simulator.world.failures import FailureKind

_POLL_SECONDS = 0.02
_LONG_POLL_SECONDS = 20.0


class SimulatorError(Exception):
    """The simulator refused a call: HTTP status and stable code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class SimulatorClient:
    """Plays the phones of a simulator at `url`. Deadlines are in seconds; missing one is a TimeoutError."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def health(self) -> Health:
        """How much is going on."""
        return Health.model_validate(await self._call("GET", "/health"))

    async def create_account(self, phone: str, name: str | None = None) -> Account:
        """Create a simulated phone, or get the one that is there."""
        return Account.model_validate(await self._call("POST", "/accounts", {"phone": phone, "name": name}))

    async def account(self, phone: str) -> Account:
        """An account with its linked devices."""
        return Account.model_validate(await self._call("GET", f"/accounts/{phone}"))

    async def scan(self, phone: str, qr: str) -> Account:
        """The phone scans a QR code; returns when the device is linked."""
        return Account.model_validate(await self._call("POST", f"/accounts/{phone}/scan", {"qr": qr}))

    async def enter_code(self, phone: str, code: str) -> Account:
        """The phone's owner types a linking code; returns when the device is linked."""
        return Account.model_validate(await self._call("POST", f"/accounts/{phone}/enter-code", {"code": code}))

    async def fail(
        self,
        phone: str | None,
        kind: FailureKind | str,
        *,
        seconds: float | None = None,
        count: int | None = None,
        delay_seconds: float = 2.0,
    ) -> None:
        """Make something go wrong for an account, or for everybody (None)."""
        body = {"kind": kind, "seconds": seconds, "count": count, "delaySeconds": delay_seconds}
        await self._call("POST", _failures(phone), body)

    async def heal(self, phone: str | None) -> None:
        """End the failure of an account, or the one for everybody (None)."""
        await self._call("DELETE", _failures(phone))

    async def create_contact(
        self, phone: str, name: str | None = None, *, read_receipts: bool | None = None
    ) -> Contact:
        """Create a contact, or get (and change) the one that is there."""
        body = {"phone": phone, "name": name, "readReceipts": read_receipts}
        return Contact.model_validate(await self._call("POST", "/contacts", body))

    async def send(self, phone: str, to: str, text: str) -> str:
        """A contact writes to somebody; returns the message id."""
        sent: dict[str, str] = await self._call("POST", f"/contacts/{phone}/messages", {"to": to, "text": text})
        return sent["id"]

    async def inbox(self, phone: str, *, after: int = 0, wait: float = 0) -> list[InboxItem]:
        """What arrived on a phone, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/inbox", after=after, wait=wait)
        return Inbox.model_validate(page).items

    async def receipts(self, phone: str, *, after: int = 0, wait: float = 0) -> list[ReceiptItem]:
        """The receipts for messages of a contact, oldest first."""
        page = await self._call("GET", f"/contacts/{phone}/receipts", after=after, wait=wait)
        return Receipts.model_validate(page).items

    async def wait_for_message(
        self, phone: str, text: str | None = None, *, sender: str | None = None, after: int = 0, deadline: float = 10
    ) -> InboxItem:
        """The first message on a phone after an index with this text and from this number, if given."""
        end = time.monotonic() + deadline
        while (left := end - time.monotonic()) > 0:
            for item in await self.inbox(phone, after=after, wait=min(left, _LONG_POLL_SECONDS)):
                after = item.index
                if text in (None, item.text) and sender in (None, item.sender):
                    return item
        raise TimeoutError(f"no message {text!r} from {sender or 'anybody'} on {phone} within {deadline} s")

    async def wait_for_receipt(
        self, phone: str, message_id: str, kind: str = "delivered", *, deadline: float = 10
    ) -> ReceiptItem:
        """The receipt of a kind for a message of a contact."""
        end, after = time.monotonic() + deadline, 0
        while (left := end - time.monotonic()) > 0:
            for item in await self.receipts(phone, after=after, wait=min(left, _LONG_POLL_SECONDS)):
                after = item.index
                if (item.id, item.kind) == (message_id, kind):
                    return item
        raise TimeoutError(f"no {kind} receipt for {message_id} on {phone} within {deadline} s")

    async def wait_until_connected(self, phone: str, *, connected: bool = True, deadline: float = 15) -> Account:
        """Wait until a device of an account is (or none is) connected."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            account = await self.account(phone)
            if any(device.connected for device in account.devices) is connected:
                return account
            await asyncio.sleep(_POLL_SECONDS)
        raise TimeoutError(f"{phone} is not {'connected' if connected else 'disconnected'} within {deadline} s")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None, **query: float) -> Any:
        response = await self._http.request(method, path, json=body, params=query)
        if response.is_error:
            problem = response.json()
            raise SimulatorError(response.status_code, problem["code"], problem["message"])
        return response.json()


def _failures(phone: str | None) -> str:
    return "/failures" if phone is None else f"/accounts/{phone}/failures"
