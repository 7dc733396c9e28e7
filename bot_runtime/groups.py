"""The groups of the account, queried from WhatsApp on request."""

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

ANSWER_SECONDS = 30.0
_NOT_A_MEMBER = ("not-authorized", "item-not-found", "forbidden", "you're not participating", "does not exist")


class Groups:
    """Queries through `transport`, only while the bot is online. All methods raise `ApiError` 404, 502, 504."""

    def __init__(self, transport: Transport, *, timeout_seconds: float = ANSWER_SECONDS) -> None:
        self._transport = transport
        self._timeout_seconds = timeout_seconds

    async def snapshot(self) -> list[Group]:
        """All groups of the account, with their members."""
        return await self._query(self._transport.groups)

    async def info(self, group: Address) -> Group:
        """One group."""
        return await self._query(lambda: self._transport.group(group))

    async def _query(self, call: Callable[[], _T]) -> _T:
        try:
            return await asyncio.wait_for(asyncio.to_thread(call), self._timeout_seconds)
        except TimeoutError:
            raise ApiError(504, "timeout", "WhatsApp did not answer in time") from None
        except WhatsAppError as exc:
            if any(words in str(exc) for words in _NOT_A_MEMBER):
                raise ApiError(404, "unknown-group", "the account is not a member of this group") from exc
            raise ApiError(502, "groups-failed", f"WhatsApp did not return the groups: {exc}") from exc


def event_data(group: Group) -> dict[str, Any]:
    """The data of a `group-update` event."""
    return {"group": msgspec.to_builtins(group)}
