"""Two controllers and database outages: one leads, the other waits, and nothing is lost or done twice."""

import httpx
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from bot_runtime.contract import EventPage, EventType
from orchestrator.auth import KeyVerifier
from orchestrator.controller.http import create_app
from orchestrator.db import leases
from orchestrator.db.fence import LeadershipLostError
from orchestrator.db.session import Database, connect
from orchestrator.reconcile.bot_state import BotState
from orchestrator.reconcile.metrics import Metrics
from orchestrator.reconcile.status_store import StatusStore
from orchestrator.states import Phase
from tests.integration.reconcile.conftest import SERVER, Site, eventually, name
from tests.support.leases import take_over

EXPIRE = "UPDATE leases SET expires_at = clock_timestamp()"
TERMINATE_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def epoch(site: Site) -> int:
    [value] = await site.sql("SELECT epoch FROM leases WHERE server_name = %s", SERVER)
    return int(value)


async def expire_until_taken(site: Site) -> None:
    """Let the lease expire until the standby has taken it: the leader may renew it first."""
    before = await epoch(site)

    async def taken() -> bool:
        await site.sql(f"{EXPIRE} WHERE epoch = {before}")
        return await epoch(site) > before

    await eventually(taken)


async def test_one_controller_leads_and_the_other_stands_by(site: Site) -> None:
    first = await site.start()
    second = await site.start(wait=False)
    await second.standing_by()
    assert first.controller.ready
    assert second.controller.reconciler is None
    assert await epoch(site) == 1


async def test_the_standby_takes_over_at_once_when_the_leader_stops_and_adopts_running_bots(site: Site) -> None:
    first = await site.start()
    second = await site.start(wait=False)
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    await first.stop()
    await second.ready()
    [new] = await site.sql('UPDATE bots SET settings = \'{"prefix": "!"}\' RETURNING config_generation')
    await site.seen(lambda: site.runtime("bot-1").config_generation, lambda generation: generation == new)
    assert site.host.containers[name("bot-1")].starts == 1
    assert await epoch(site) == 2


async def test_a_leader_whose_lease_was_taken_steps_down_and_writes_nothing_more(site: Site) -> None:
    first = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    reconciler = first.controller.reconciler
    assert reconciler is not None
    second = await site.start(wait=False)
    await second.standing_by()
    await expire_until_taken(site)
    await second.ready()
    old = reconciler.state("bot-1")
    assert old is not None
    old.message = "written by the old one"
    with pytest.raises(LeadershipLostError):
        await reconciler._store.write(old)
    status = await site.status("bot-1")
    assert status is not None
    assert status["message"] == ""
    await first.standing_by()
    assert site.host.containers[name("bot-1")].starts == 1


async def test_a_leader_whose_connections_are_cut_reconnects_and_keeps_its_lease(site: Site) -> None:
    leader = await site.start(lease_seconds=60)
    standby = await site.start(wait=False, lease_seconds=60)
    await standby.standing_by()
    await site.sql(TERMINATE_ALL)
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    assert leader.controller.ready
    assert await epoch(site) == 1


async def test_a_leader_that_cannot_renew_steps_down_and_its_engine_refuses_changes(site: Site) -> None:
    leader = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    await site.sql("ALTER TABLE leases RENAME TO elsewhere")
    await site.seen(lambda: leader.controller.reconciler is None)
    with pytest.raises(LeadershipLostError):
        await leader.engine.remove(name("bot-1"))
    assert site.host.containers[name("bot-1")].starts == 1
    await site.sql("ALTER TABLE elsewhere RENAME TO leases")
    await leader.ready()


async def test_a_renewal_does_not_wait_for_a_write_of_the_leader_and_a_takeover_does(site: Site) -> None:
    epoch = await take_over(site.url, SERVER)
    writing, leading = await psycopg.AsyncConnection.connect(site.url), await connect(site.settings())
    async with writing, leading:
        await writing.execute("SELECT 1 FROM leases FOR KEY SHARE")
        [owner] = await site.sql("SELECT owner FROM leases")
        await leading.execute("SET lock_timeout = 1000")
        assert await leases.renew(leading, leases.Holder(SERVER, owner, epoch), seconds=60)
        await site.sql(EXPIRE)
        assert (
            await leases.acquire(
                leading, server=SERVER, owner="new", engine_id="memory", seconds=60, default_max_bots=1
            )
            is None
        )
        await writing.rollback()
        holder = await leases.acquire(
            leading, server=SERVER, owner="new", engine_id="memory", seconds=60, default_max_bots=1
        )
        assert holder == leases.Holder(SERVER, "new", epoch + 1)


async def test_every_write_of_an_older_epoch_is_refused(site: Site) -> None:
    await site.create("bot-1")
    database = Database(site.settings())
    old = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    row = await old.bot("bot-1")
    assert row is not None
    state = BotState.from_rows(*row)
    assert await old.confirm(row[0])
    await take_over(site.url, SERVER)
    await site.sql("UPDATE bots SET deleting = true")
    state.restarts = 7
    for write in (
        old.write(state),
        old.forget("bot-1"),
        old.prune_events(days=1),
        old.seen("somewhere:1", {}),
        old.confirm(row[0]),
        old.ingest(row[0], EventPage(spool_id="s", items=[], next=1)),
    ):
        with pytest.raises(LeadershipLostError):
            await write
    assert await site.sql("SELECT restarts FROM bot_status") == [0]
    await database.close()


async def test_a_former_leader_configures_no_bot(site: Site) -> None:
    leader = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    reconciler = leader.controller.reconciler
    assert reconciler is not None
    assert await reconciler.observer.desired_config("bot-1") is not None
    await take_over(site.url, SERVER)
    with pytest.raises(LeadershipLostError):
        await reconciler.observer.desired_config("bot-1")


async def test_confirming_detects_a_changed_or_recreated_row(site: Site) -> None:
    await site.create("bot-1")
    database = Database(site.settings())
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    row = await store.bot("bot-1")
    assert row is not None
    assert await store.confirm(row[0])
    await site.sql("DELETE FROM bots")
    assert not await store.confirm(row[0])
    await site.create("bot-1")
    assert not await store.confirm(row[0])
    await database.close()


async def write_without_answer(store: StatusStore, state: BotState, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a state; Postgres commits it, but the connection breaks before the controller learns of it."""
    commit = AsyncSession.commit

    async def answer_lost(session: AsyncSession) -> None:
        await commit(session)
        raise OSError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(AsyncSession, "commit", answer_lost)
        with pytest.raises(OSError, match="broke"):
            await store.write(state)


async def test_events_are_stored_once_when_the_answer_to_the_commit_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.create("bot-1")
    database = Database(site.settings())
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    row = await store.bot("bot-1")
    assert row is not None
    state = BotState.from_rows(*row)
    state.add_event(EventType.CONTAINER_START, {"number": 1}, now=1.0)
    await write_without_answer(store, state, monkeypatch)
    state.add_event(EventType.CONTAINER_START, {"number": 2}, now=2.0)
    await store.write(state)
    await store.write(state)
    assert await site.events("bot-1", "container-start") == [{"number": 1}, {"number": 2}]
    await database.close()


async def test_a_status_is_written_again_when_the_answer_to_the_commit_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.create("bot-1")
    database = Database(site.settings())
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    row = await store.bot("bot-1")
    assert row is not None
    state = BotState.from_rows(*row)
    state.phase = Phase.DEGRADED
    await write_without_answer(store, state, monkeypatch)
    state.phase = Phase.PENDING  # as it was before
    await store.write(state)
    assert await site.sql("SELECT phase FROM bot_status") == ["pending"]
    await database.close()


async def test_events_are_stored_for_the_retention_and_deleted_in_batches(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.reconcile.status_store.PRUNE_BATCH", 10)
    await site.create("bot-1")
    database = Database(site.settings())
    store = StatusStore(database, server=SERVER, epoch=await take_over(site.url, SERVER))
    await site.sql(
        "INSERT INTO bot_events (server_name, bot_key, type, timestamp) "
        "SELECT server_name, key, 'error', now() - interval '1 day' * days "
        "FROM bots, generate_series(40, 1, -1) AS days"
    )
    assert await store.prune_events(days=7) == 34
    assert await site.sql("SELECT count(*) FROM bot_events") == [6]
    await database.close()


async def test_nothing_changes_when_the_database_recovers(site: Site) -> None:
    acting = await site.start()
    for bot in ("bot-1", "bot-2"):
        await site.create(bot)
        await site.phase(bot, "online")
    for _ in range(3):
        await site.sql(TERMINATE_ALL)
    await acting.ready()
    await site.create("bot-3")
    await site.phase("bot-3", "online")
    assert {item.starts for item in site.host.containers.values()} == {1}
    assert len(site.host.volumes) == 3


async def test_a_crash_during_a_database_outage_is_handled_afterwards(site: Site) -> None:
    acting = await site.start()
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    await site.sql("ALTER TABLE servers RENAME TO elsewhere")
    site.host.crash(name("bot-1"), 2)
    await site.sql(TERMINATE_ALL)
    await site.sql("ALTER TABLE elsewhere RENAME TO servers")
    await acting.ready()
    await eventually(lambda: site.events("bot-1", "container-exit"))
    await site.phase("bot-1", "online")
    assert set(site.host.containers) == {name("bot-1")}


async def test_a_standby_with_other_settings_than_the_leader_names_them(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.start(openai_api_key="sk-one")
    standby = await site.start(wait=False, openai_api_key="sk-two", bot_image="botdock/bot:2", docker_workers=3)

    async def differing() -> tuple[str, ...]:
        return standby.controller.differing_settings

    assert await eventually(differing) == ("BOT_IMAGE", "OPENAI_API_KEY")
    [line] = [record.getMessage() for record in caplog.records if "differ from the leader's" in record.getMessage()]
    assert line.endswith("BOT_IMAGE, OPENAI_API_KEY")
    assert "sk-" not in caplog.text
    database = Database(site.settings())
    app = create_app(
        controller=standby.controller, engine=standby.engine, verifier=KeyVerifier.on(database), metrics=Metrics()
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://standby") as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (
        200,
        "standby; settings differ from the leader's: BOT_IMAGE, OPENAI_API_KEY",
    )
    await database.close()
