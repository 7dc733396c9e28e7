"""The leader's lease on a real Postgres, when connections, processes and clocks fail at the wrong time."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest

from orchestrator.controller import controller
from orchestrator.controller.leader import Lease, leadership, running_time
from orchestrator.db import leases
from orchestrator.db import session as sessions
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.session import connect
from tests.integration.reconcile.conftest import SERVER, Site, eventually
from tests.support.leases import take_over
from tests.support.line import line_to

TERMINATE_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def ignored() -> None:
    """Nobody is interested in becoming a standby."""


async def expiry(site: Site) -> datetime:
    [found] = await site.sql("SELECT expires_at FROM leases")
    assert isinstance(found, datetime)
    return found


async def renewed(site: Site) -> None:
    """Wait for two renewals: the first may have been on its way already."""
    before = await expiry(site)
    for _ in range(2):
        before = await eventually(lambda: expiry(site), before.__lt__)


@asynccontextmanager
async def leading(site: Site, **changes: Any) -> AsyncIterator[Lease]:
    settings = site.settings().model_copy(update=changes)
    async with asyncio.timeout(30), leadership(settings, engine_id="memory", on_standby=ignored) as lease:
        yield lease


async def test_a_renewal_reconnects_after_its_connection_was_ended(site: Site) -> None:
    async with leading(site) as lease:
        await renewed(site)
        await site.sql(TERMINATE_OTHERS)
        await renewed(site)
        lease.check()


async def test_a_renewal_that_gets_no_answer_is_repeated_over_a_new_connection_in_time(site: Site) -> None:
    async with line_to(site.url) as (line, url), leading(site, database_url=url, lease_seconds=9) as lease:
        await renewed(site)
        line.strand()
        await renewed(site)
        lease.check()


async def test_an_unforeseen_error_does_not_end_the_renewals(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    renew, failures = leases.renew, [RuntimeError("no one foresaw this")]

    async def fail_once(*arguments: Any, **options: Any) -> bool:
        if failures:
            raise failures.pop()
        return await renew(*arguments, **options)

    monkeypatch.setattr(leases, "renew", fail_once)
    async with leading(site) as lease:
        await renewed(site)
        lease.check()
    assert not failures


async def test_a_controller_frozen_while_it_takes_the_lease_does_not_keep_it_from_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "IDLE_IN_TRANSACTION_TIMEOUT_MS", 300)
    await take_over(site.url, SERVER)
    await site.sql("UPDATE leases SET expires_at = clock_timestamp()")
    frozen = await connect(site.settings())
    await frozen.execute("BEGIN")
    await frozen.execute("UPDATE leases SET owner = 'frozen', epoch = epoch + 1")
    async with leading(site) as lease:
        assert lease.epoch == 2
    with pytest.raises(psycopg.Error):
        await frozen.execute("COMMIT")
    await frozen.close()


async def test_nothing_is_changed_any_more_once_the_lease_is_released(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = leases.release

    async def checked(*arguments: Any) -> None:
        with pytest.raises(LeadershipLostError):
            lease.check()
        await release(*arguments)
        released.set()

    released = asyncio.Event()
    monkeypatch.setattr(leases, "release", checked)
    async with leading(site) as lease:
        lease.check()
    assert released.is_set()


async def test_a_lease_of_a_clock_that_was_set_back_since_is_not_waited_for(site: Site) -> None:
    await take_over(site.url, SERVER)  # an hour, never renewed
    skipped = 0.0

    def clock() -> float:
        return running_time() + skipped

    def wait_a_minute() -> None:
        nonlocal skipped
        skipped = 61.0

    async with (
        asyncio.timeout(30),
        leadership(site.settings(), engine_id="memory", on_standby=wait_a_minute, clock=clock) as lease,
    ):
        assert lease.epoch == 2


async def test_a_standby_waits_for_a_lease_that_is_renewed_however_long_that_takes(site: Site) -> None:
    skipped, standby = 0.0, asyncio.Event()

    def clock() -> float:
        return running_time() + skipped

    async def stand_by() -> None:
        async with leadership(site.settings(), engine_id="memory", on_standby=standby.set, clock=clock):
            pass

    async with leading(site) as lease:
        waiting = asyncio.create_task(stand_by())
        await standby.wait()
        for _ in range(4):
            await renewed(site)
            skipped += 30.0
        assert not waiting.done()
        lease.check()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_controller_stops_even_if_its_cleanup_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    leads = asyncio.Event()

    @asynccontextmanager
    async def fails_at_the_end(*_: Any, **__: Any) -> AsyncIterator[Lease]:
        leads.set()
        try:
            await asyncio.Event().wait()
            yield Lease(leases.Holder(SERVER, "me", 1), valid_until=0, clock=running_time)
        finally:
            raise LeadershipLostError("lost during the cancellation")

    monkeypatch.setattr(controller, "leadership", fails_at_the_end)
    process = await site.start(wait=False)
    async with asyncio.timeout(10):
        await leads.wait()
        await process.stop()


async def test_its_address_is_outside_the_bots_network_and_looking_it_up_does_not_block_the_event_loop(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def look_up(_: str) -> tuple[str, list[str], list[str]]:
        threads.append(threading.current_thread())
        return "controller", [], ["10.213.0.5", "192.0.2.1"]

    monkeypatch.setattr("socket.gethostbyname_ex", look_up)
    await site.start(controller_host="0.0.0.0")
    await eventually(
        lambda: site.sql("SELECT controller FROM servers"), lambda rows: str(rows[0]).startswith("192.0.2.1:")
    )
    assert threading.main_thread() not in threads
