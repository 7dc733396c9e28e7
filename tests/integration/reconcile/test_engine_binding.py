"""A server is bound to the engine with its bots' sessions: a controller on another one starts nothing."""

import asyncio
import logging

import psycopg
import pytest

from orchestrator.db import binding, leases
from orchestrator.errors import ConflictError
from tests.integration.reconcile.conftest import SERVER, Acting, Site, eventually, name
from tests.integration.reconcile.live_host import LiveHost


async def refused(acting: Acting) -> str:
    """Wait until the controller refuses; why."""

    async def refusal() -> str:
        return acting.controller.refusal

    return await eventually(refusal)


async def move(site: Site, *, former: str | None, engine_id: str) -> None:
    """What `botdock server rebind` does once it is confirmed."""
    async with await psycopg.AsyncConnection.connect(site.url, autocommit=True) as connection:
        await binding.rebind(connection, server=SERVER, former=former, engine_id=engine_id)


async def bound_to(site: Site) -> list[str]:
    return await site.sql("SELECT engine_id FROM servers WHERE name = %s", SERVER)


@pytest.fixture
async def second_host() -> LiveHost:
    host = LiveHost()
    host.identity = "second"
    return host


async def test_a_controller_on_another_engine_starts_nothing_until_the_server_is_rebound(
    site: Site, second_host: LiveHost, caplog: pytest.LogCaptureFixture
) -> None:
    first = await site.start()
    await site.create("b-1")
    await site.phase("b-1", "online")
    assert await bound_to(site) == ["memory"]
    with pytest.raises(ConflictError, match="has a leader"):
        await move(site, former="memory", engine_id="second")
    await first.stop()
    site.acting.remove(first)

    with caplog.at_level(logging.ERROR):
        second = await site.start(wait=False, host=second_host)
        refusal = await refused(second)
        query = "SELECT refused_engine_id FROM servers WHERE refused_at IS NOT NULL"
        await eventually(lambda: site.sql(query), lambda rows: rows == ["second"])
    assert "bound to engine memory, and this controller is on engine second" in refusal
    assert [record.getMessage() for record in caplog.records] == [refusal], "once, not for every attempt"
    assert not second.controller.ready
    assert not second.controller.is_standby
    assert second_host.containers == {}

    with pytest.raises(ConflictError, match="meanwhile"):
        await move(site, former="elsewhere", engine_id="second")
    await move(site, former="memory", engine_id="second")
    await second.ready()
    assert second.controller.refusal == ""
    await site.seen(lambda: list(second_host.containers), lambda names: names == [name("b-1")])
    await second.stop()
    site.acting.remove(second)
    await second_host.close()


async def test_a_server_is_not_rebound_while_a_controller_takes_its_expired_lease(site: Site) -> None:
    first = await site.start()
    await first.stop()
    site.acting.remove(first)

    async def waiting() -> list[int]:
        return await site.sql(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )

    async with await psycopg.AsyncConnection.connect(site.url, autocommit=True) as connection:
        async with connection.transaction():
            holder = await leases.acquire(
                connection, server=SERVER, owner="new", engine_id="memory", seconds=60, default_max_bots=20
            )
            assert holder is not None
            moving = asyncio.create_task(move(site, former="memory", engine_id="second"))
            await eventually(waiting)
        with pytest.raises(ConflictError, match="has a leader"):
            await moving
    assert await bound_to(site) == ["memory"]


async def test_a_leader_whose_engine_lost_its_data_steps_down_instead_of_starting_bots_without_sessions(
    site: Site,
) -> None:
    leader = await site.start()
    await site.create("b-1")
    await site.phase("b-1", "online")
    site.host.identity = "recreated"
    site.host.volumes.clear()
    site.host.remove_by_hand(name("b-1"))
    assert "bound to engine memory, and this controller is on engine recreated" in await refused(leader)
    assert site.host.containers == {}
    assert site.host.volumes == {}


async def test_an_unbound_server_with_paired_bots_is_not_bound_to_an_engine_without_their_volumes(site: Site) -> None:
    first = await site.start()
    await site.create("b-1")
    await eventually(
        lambda: site.sql(
            "SELECT 1 FROM bot_status "
            "WHERE bot_key = (SELECT key FROM bots WHERE id = 'b-1') AND paired_number IS NOT NULL"
        )
    )
    await first.stop()
    # A database of before servers were bound, restored for a new host.
    await site.sql("UPDATE servers SET engine_id = NULL")
    volumes = dict(site.host.volumes)
    site.host.remove_by_hand(name("b-1"))
    site.host.volumes.clear()
    second = await site.start(wait=False)
    assert "1 bots of server server1 have a session, and engine memory has no volume of them" in await refused(second)
    assert site.host.containers == {}
    site.host.volumes.update(volumes)
    await second.ready()
    assert await bound_to(site) == ["memory"]


async def test_an_engine_that_reports_no_id_is_not_bound(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.host.identity = ""
    acting = await site.start(wait=False)
    await site.seen(lambda: "the engine reports no id" in caplog.text)
    site.host.identity = "memory"
    await acting.ready()
    assert caplog.text.count("the engine reports no id") == 1
