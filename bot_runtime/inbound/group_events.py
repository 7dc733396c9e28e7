"""Reports changes of groups: those that WhatsApp announces, and those found by comparing all groups.

WhatsApp announces every change, also those that happened while the bot was offline. All groups are compared once in
each process, because a change that was announced to an earlier one may be lost, and then once a day. One task does all
of this, with one group at a time: few members are in memory, and a list that was read before a change is never
reported after it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing

from bot_runtime.errors import ApiError
from bot_runtime.groups import Groups
from bot_runtime.inbound.reported_groups import ReportedGroups
from bot_runtime.whatsapp.jid import Address, read_address
from bot_runtime.whatsapp.messages import GroupChange

log = logging.getLogger(__name__)

SETTLING_SECONDS = 0.2
"""Changes come in bursts; the group is queried once."""
COMPARISON_SECONDS = 24 * 3600.0
LIST_MEMBERS = 100_000
"""Beyond that, known groups are queried one by one: the list of all groups has all of their members, and the library
may need more memory to read it than the container has."""


class GroupEvents:
    """Queries WhatsApp while the bot is `online`. `own_addresses` returns those of the account, `clock` seconds."""

    def __init__(
        self,
        groups: Groups,
        reported: ReportedGroups,
        *,
        own_addresses: Callable[[], frozenset[Address]],
        online: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        settling_seconds: float = SETTLING_SECONDS,
    ) -> None:
        self._groups = groups
        self._reported = reported
        self._own_addresses = own_addresses
        self._online = online
        self._clock = clock
        self._settling_seconds = settling_seconds
        self._compared_at: float | None = None
        self._comparison_due = False
        self._changed: dict[Address, bool] = {}
        """The groups to report; True: the account has left."""
        self._task: asyncio.Task[None] | None = None

    def connected(self) -> None:
        """The bot is online: report what was announced meanwhile, and compare all groups if that is due."""
        if self._compared_at is None or self._clock() - self._compared_at >= COMPARISON_SECONDS:
            self._comparison_due = True
        self._wake()

    def changed(self, change: GroupChange) -> None:
        """Report one group soon."""
        self._changed[change.group] = change.deleted or not self._own_addresses().isdisjoint(change.left)
        self._wake()

    def seen(self, group: Address) -> None:
        """A message is in a group: report the group if it is unknown, because its announcement was lost."""
        if group not in self._changed and not self._reported.has(str(group)):
            self._changed[group] = False
            self._wake()

    def events_requested(self, spool_id: str, after: int) -> None:
        """The orchestrator requests the events after a number. If it has missed some, report all groups in full."""
        if self._reported.missed(spool_id, after) and self._reported.forget():
            log.info("the orchestrator has missed events: reporting all groups again")
            self._comparison_due = True
            self._wake()

    def logged_out(self) -> None:
        """The next connection may be that of another account."""
        self._compared_at = None
        self._changed.clear()
        self._reported.forget(account=True)

    def close(self) -> None:
        """Stop reporting."""
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="group-events")
            self._task.add_done_callback(_log_failure)

    async def _work(self) -> None:
        later: dict[Address, bool] = {}
        while self._online() and (self._comparison_due or self._changed):
            await asyncio.sleep(self._settling_seconds)
            if self._comparison_due:
                self._comparison_due = False
                self._compared_at = self._clock() if await self._compare() else None
            for group in list(self._changed):
                left = self._changed.pop(group)
                if not await self._report(group, left=left):
                    later[group] = left
        self._changed = later | self._changed

    async def _compare(self) -> bool:
        """Report the differences of all groups. False if that did not succeed: the next connection tries again."""
        reported = self._reported
        if (reported.known and reported.members() > LIST_MEMBERS) or not reported.begin_list():
            return await self._compare_one_by_one()
        try:
            return await self._compare_list()
        finally:
            reported.end_list()

    async def _compare_list(self) -> bool:
        reported = self._reported
        ids: set[str] = set()
        try:
            async with aclosing(self._groups.all()) as groups:
                async for group in groups:
                    ids.add(group.id)
                    if not reported.report(group):
                        return False
        except ApiError as exc:
            log.warning("the groups could not be queried: %s", exc)
            return False
        left = sorted(reported.ids() - ids)
        if not all(map(reported.report_left, left)):
            return False
        log.info("compared %d groups with what was reported", len(ids))
        return reported.listed or reported.report_list(ids)

    async def _compare_one_by_one(self) -> bool:
        reported = self._reported
        ids = sorted(reported.ids())
        for group_id in ids:
            if not self._online() or not await self._report(read_address(group_id), left=False):
                return False
            await asyncio.sleep(self._settling_seconds)  # WhatsApp limits the rate of queries
        log.info("compared %d groups with what was reported, one by one", len(ids))
        return reported.listed or not reported.known or reported.report_list(reported.ids())

    async def _report(self, address: Address, *, left: bool) -> bool:
        """Report a group. False if that did not succeed: it is tried again after the next change or connection."""
        if left:
            return self._reported.report_left(str(address))
        try:
            return self._reported.report(await self._groups.info(address))
        except ApiError as exc:
            if exc.status == 404:
                return self._reported.report_left(str(address))
            log.warning("the group %s could not be queried: %s", address, exc)
            return False


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("groups could not be reported", exc_info=error)
