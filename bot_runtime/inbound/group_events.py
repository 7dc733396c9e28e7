"""Reports groups: all of the account after each connect, and each one shortly after it has changed."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from bot_runtime.contract import EventType
from bot_runtime.errors import ApiError
from bot_runtime.groups import Groups, event_data
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import GroupChange

log = logging.getLogger(__name__)

SETTLING_SECONDS = 0.2
"""Changes come in bursts; the group is queried once."""


class GroupEvents:
    """Queries WhatsApp and records `group-update` events. `own_addresses` returns those of the account."""

    def __init__(
        self,
        groups: Groups,
        spool: Spool,
        *,
        own_addresses: Callable[[], frozenset[Address]],
        settling_seconds: float = SETTLING_SECONDS,
    ) -> None:
        self._groups = groups
        self._spool = spool
        self._own_addresses = own_addresses
        self._settling_seconds = settling_seconds
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connected(self) -> None:
        """Report all groups."""
        self._start("", self._report_all())

    def changed(self, change: GroupChange) -> None:
        """Report one group."""
        if change.deleted or self._own_addresses().intersection(change.left):
            self._spool.append(EventType.GROUP_UPDATE, {"left": str(change.group)})
        elif str(change.group) not in self._asking:
            self._start(str(change.group), self._report(change.group))

    def close(self) -> None:
        """Cancel running queries."""
        for task in self._tasks:
            task.cancel()

    def _start(self, key: str, report: Coroutine[Any, Any, None]) -> None:
        if (before := self._asking.pop(key, None)) is not None:
            before.cancel()
        task = self._asking[key] = asyncio.create_task(report)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a group could not be reported", exc_info=error)

    async def _report_all(self) -> None:
        try:
            groups = await self._groups.snapshot()
        except ApiError as exc:
            log.warning("the groups could not be queried: %s", exc)
            return
        for group in groups:
            self._spool.append(EventType.GROUP_UPDATE, event_data(group))

    async def _report(self, address: Address) -> None:
        await asyncio.sleep(self._settling_seconds)
        del self._asking[str(address)]  # a change from now on starts another query
        try:
            group = await self._groups.info(address)
        except ApiError as exc:
            if exc.status == 404:
                self._spool.append(EventType.GROUP_UPDATE, {"left": str(address)})
            else:
                log.warning("the group %s could not be queried: %s", address, exc)
            return
        self._spool.append(EventType.GROUP_UPDATE, event_data(group))
