"""Accounts: simulated phones, their linked devices, profiles and failures."""

from __future__ import annotations

import base64
from typing import Any

from whatsapp_simulator.control.models import Account, Health, Profile
from whatsapp_simulator.testing.client.base import BaseClient
from whatsapp_simulator.world.failures import FailureKind


class AccountsClient(BaseClient):
    """Requests for accounts."""

    async def health(self) -> Health:
        """The status of the simulator."""
        return Health.model_validate(await self._call("GET", "/health"))

    async def create_account(self, phone: str, name: str | None = None) -> Account:
        """Create a simulated phone, or return the existing one."""
        return Account.model_validate(await self._call("POST", "/accounts", {"phone": phone, "name": name}))

    async def account(self, phone: str) -> Account:
        """An account with its linked devices."""
        return Account.model_validate(await self._call("GET", f"/accounts/{phone}"))

    async def scan(self, phone: str, qr: str) -> Account:
        """Scan a QR code with the phone; returns once the device is linked."""
        return Account.model_validate(await self._call("POST", f"/accounts/{phone}/scan", {"qr": qr}))

    async def enter_code(self, phone: str, code: str) -> Account:
        """Enter a pairing code on the phone; returns once the device is linked."""
        return Account.model_validate(await self._call("POST", f"/accounts/{phone}/enter-code", {"code": code}))

    async def inject_failure(
        self,
        phone: str | None,
        kind: FailureKind | str,
        *,
        seconds: float | None = None,
        count: int | None = None,
        delay_seconds: float = 2.0,
    ) -> None:
        """Inject a failure for an account, or for all clients (None)."""
        body = {"kind": kind, "seconds": seconds, "count": count, "delaySeconds": delay_seconds}
        await self._call("POST", _failures(phone), body)

    async def clear_failure(self, phone: str | None) -> None:
        """Clear the failure of an account, or the one for all clients (None)."""
        await self._call("DELETE", _failures(phone))

    async def wait_until_connected(self, phone: str, *, connected: bool = True, timeout_seconds: float = 15) -> Account:
        """Wait until a device of an account is connected, or with `connected=False` until none is."""

        async def read() -> Account | None:
            account = await self.account(phone)
            return account if any(device.connected for device in account.devices) is connected else None

        what = f"{phone} is not {'connected' if connected else 'disconnected'}"
        return await self._until(read, what, timeout_seconds=timeout_seconds)

    async def profile(self, phone: str) -> Profile:
        """The profile of an account or contact."""
        return Profile.model_validate(await self._call("GET", f"/people/{phone}/profile"))

    async def change_profile(
        self, phone: str, *, name: str | None = None, about: str | None = None, profile_picture: bytes | None = None
    ) -> Profile:
        """Change the profile of an account or contact; None leaves a field unchanged."""
        body: dict[str, Any] = {"name": name, "about": about}
        if profile_picture is not None:
            body["profilePicture"] = base64.b64encode(profile_picture).decode()
        return Profile.model_validate(await self._call("PATCH", f"/people/{phone}/profile", body))

    async def wait_for_presence(self, phone: str, state: str, *, timeout_seconds: float = 10) -> Profile:
        """Wait until an account is available or unavailable."""

        async def read() -> Profile | None:
            profile = await self.profile(phone)
            return profile if profile.presence == state else None

        return await self._until(read, f"{phone} is not {state}", timeout_seconds=timeout_seconds)


def _failures(phone: str | None) -> str:
    return "/failures" if phone is None else f"/accounts/{phone}/failures"
