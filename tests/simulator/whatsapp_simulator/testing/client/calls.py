"""Voice and video calls of contacts."""

from __future__ import annotations

from whatsapp_simulator.control.models import Call
from whatsapp_simulator.control.models import Calls as CallList
from whatsapp_simulator.testing.client.base import BaseClient


class CallsClient(BaseClient):
    """Requests for calls."""

    async def start_call(self, phone: str, to: str, *, video: bool = False) -> Call:
        """Call an account as a contact."""
        return Call.model_validate(await self._call("POST", f"/contacts/{phone}/calls", {"to": to, "video": video}))

    async def calls(self, phone: str) -> list[Call]:
        """The calls of a contact."""
        return CallList.model_validate(await self._call("GET", f"/contacts/{phone}/calls")).items

    async def end_call(self, phone: str, call_id: str) -> Call:
        """Hang up as the contact."""
        return Call.model_validate(await self._call("DELETE", f"/contacts/{phone}/calls/{call_id}"))

    async def wait_for_call(self, phone: str, call_id: str, state: str, *, timeout_seconds: float = 10) -> Call:
        """Wait until a call is in this state."""

        async def read() -> Call | None:
            found = await self.calls(phone)
            return next((call for call in found if (call.id, call.state) == (call_id, state)), None)

        return await self._until(read, f"the call {call_id} is not {state}", timeout_seconds=timeout_seconds)
