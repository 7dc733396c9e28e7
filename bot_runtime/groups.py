"""The groups of the account, queried from WhatsApp on request."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from bot_runtime.contract import Group
from bot_runtime.errors import ApiError
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import WhatsAppError
from bot_runtime.whatsapp.outgoing import Transport

_T = TypeVar("_T")

ANSWER_SECONDS = 30.0
LIST_SECONDS = 120.0
"""For the list of all groups, which has all of their members."""
_NOT_A_MEMBER = ("not-authorized", "item-not-found", "forbidden", "you're not participating", "does not exist")


class Groups:
    """Queries through `transport`, only while the bot is online. All methods raise `ApiError` 404, 502, 504."""

    def __init__(
        self, transport: Transport, *, timeout_seconds: float = ANSWER_SECONDS, list_seconds: float = LIST_SECONDS
    ) -> None:
        self._transport = transport
        self._timeout_seconds = timeout_seconds
        self._list_seconds = list_seconds

    async def all(self) -> AsyncGenerator[Group, None]:
        """All groups of the account, with their members; one at a time, so that they are never all in memory."""
        groups = self._transport.groups()
        while (group := await _query(lambda: next(groups, None), self._list_seconds)) is not None:
            yield group

    async def info(self, group: Address) -> Group:
        """One group."""
        return await _query(lambda: self._transport.group(group), self._timeout_seconds)


async def _query(call: Callable[[], _T], timeout_seconds: float) -> _T:
    try:
        return await asyncio.wait_for(asyncio.to_thread(call), timeout_seconds)
    except TimeoutError:
        raise ApiError(504, "timeout", "WhatsApp did not answer in time") from None
    except WhatsAppError as exc:
        if any(words in str(exc) for words in _NOT_A_MEMBER):
            raise ApiError(404, "unknown-group", "the account is not a member of this group") from exc
        raise ApiError(502, "groups-failed", f"WhatsApp did not return the groups: {exc}") from exc
