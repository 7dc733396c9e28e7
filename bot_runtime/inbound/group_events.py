"""Tells of groups: all that the account is in after each connect, and each that changes, a while after it did."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from bot_runtime.contract import EventType
from bot_runtime.errors import ApiError
from bot_runtime.groups import Groups, event_data
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import GroupChange

log = logging.getLogger(__name__)

SETTLING_SECONDS = 0.2
"""Changes come in bursts; the group is asked for once."""


class GroupEvents:
    """Asks WhatsApp and records `group-update` events."""

    def __init__(self, groups: Groups, spool: Spool, *, settling: float = SETTLING_SECONDS) -> None:
        self._groups = groups
        self._spool = spool
        self._settling = settling
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connected(self) -> None:
        """Tell of all groups."""
        self._start("", self._tell_all())

    def changed(self, change: GroupChange, own: frozenset[Address]) -> None:
        """Tell of one group; `own` are the account's own addresses."""
        if change.deleted or own.intersection(change.left):
            self._spool.append(EventType.GROUP_UPDATE, {"left": str(change.group)})
        elif str(change.group) not in self._asking:
            self._start(str(change.group), self._tell(change.group))

    def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()

    def _start(self, key: str, telling: Coroutine[Any, Any, None]) -> None:
        if (before := self._asking.pop(key, None)) is not None:
            before.cancel()
        task = self._asking[key] = asyncio.create_task(telling)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("telling of groups failed", exc_info=error)

    async def _tell_all(self) -> None:
        try:
            groups = await self._groups.snapshot()
        except ApiError as error:
            log.warning("the groups are not known: %s", error)
            return
        for group in groups:
            self._spool.append(EventType.GROUP_UPDATE, event_data(group))

    async def _tell(self, address: Address) -> None:
        await asyncio.sleep(self._settling)
        del self._asking[str(address)]  # a change from now on is asked for anew
        try:
            group = await self._groups.info(address)
        except ApiError as error:
            if error.status == 404:
                self._spool.append(EventType.GROUP_UPDATE, {"left": str(address)})
            else:
                log.warning("the group %s is not known: %s", address, error)
            return
        self._spool.append(EventType.GROUP_UPDATE, event_data(group))
