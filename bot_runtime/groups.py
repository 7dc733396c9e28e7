"""The groups the account is in, asked of WhatsApp when somebody wants to know."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from bot_runtime.contract import Group
from bot_runtime.errors import ApiError
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError
from bot_runtime.whatsapp.outgoing import Transport

_T = TypeVar("_T")

SECONDS = 30.0
_NOT_IN_IT = ("not-authorized", "item-not-found", "forbidden", "you're not participating", "does not exist")


class Groups:
    """Asks through `transport`; only while the bot is online. Raises `ApiError` 404, 502, 504."""

    def __init__(self, transport: Transport, *, timeout: float = SECONDS) -> None:
        self._transport = transport
        self._timeout = timeout

    async def snapshot(self) -> list[Group]:
        """All groups the account is in, with their members."""
        return await self._ask(self._transport.groups)

    async def info(self, group: Address) -> Group:
        """One group."""
        return await self._ask(lambda: self._transport.group(group))

    async def _ask(self, call: Callable[[], _T]) -> _T:
        try:
            return await asyncio.wait_for(asyncio.to_thread(call), self._timeout)
        except TimeoutError:
            raise ApiError(504, "timeout", "WhatsApp has not answered") from None
        except WhatsAppError as error:
            if any(words in str(error) for words in _NOT_IN_IT):
                raise ApiError(404, "unknown-group", "the account is not in such a group") from error
            raise ApiError(502, "groups-failed", f"WhatsApp told nothing about groups: {error}") from error


def event_data(group: Group) -> dict[str, Any]:
    """What a `group-update` event carries about a group."""
    return {"group": msgspec.to_builtins(group)}
