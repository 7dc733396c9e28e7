"""A controller on a real database: what it detects, what it stores, and what it never does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot_runtime.contract import ConnectionState, EventType
from orchestrator.engine.base import ContainerState, Label
from orchestrator.reconcile import reconciler as reconciler_module
from tests.integration.reconcile.conftest import SERVER, Site, eventually, name

LONG: dict[str, Any] = {"resync_interval": 3600}
"""Settings under which only notifications and hints can be why something happens."""


class TestNoticing:
    async def test_an_approval_takes_effect_at_once(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1", approval_status="pending")
        await site.phase("bot-1", "pending")
        assert name("bot-1") not in site.host.containers
        await site.sql("UPDATE bots SET approval_status = 'approved'")
        status = await site.phase("bot-1", "online")
        assert status["container_name"] == name("bot-1")
        assert status["healthy"]
        assert status["paired_number"] == "491700000001"

    async def test_a_crash_is_detected_by_an_engine_event(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        site.host.crash(name("bot-1"), 2)
        await site.seen(lambda: site.host.containers[name("bot-1")].starts, lambda starts: starts == 2)
        await eventually(lambda: site.events("bot-1", "container-exit"))
        await site.phase("bot-1", "online")

    async def test_a_sweep_finds_changes_without_notification_or_event(self, site: Site) -> None:
        await site.start()
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        await site.sql("ALTER TABLE bots DISABLE TRIGGER bots_changed")
        site.host.hints_lost = True
        site.host.crash(name("bot-1"), 2)
        await eventually(lambda: site.events("bot-1", "container-exit"))
        await site.sql("UPDATE bots SET desired_state = 'stopped'")
        await site.phase("bot-1", "stopped")
        assert name("bot-1") not in site.host.containers

    async def test_a_hung_bot_is_replaced(self, site: Site) -> None:
        await site.start(**LONG, probe_failure_threshold=2)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        before = site.host.containers[name("bot-1")].id
        site.runtime("bot-1").silent = True
        [exit_] = await eventually(lambda: site.events("bot-1", "container-exit"))
        assert exit_["reason"] == "liveness-failed"
        await site.phase("bot-1", "online")
        assert site.host.containers[name("bot-1")].id != before

    async def test_new_settings_reach_a_running_bot(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        await site.sql('UPDATE bots SET settings = \'{"prefix": "!"}\'')
        await site.seen(lambda: site.runtime("bot-1").config_generation, lambda generation: generation == 2)
        assert site.host.containers[name("bot-1")].starts == 1

    async def test_the_connection_state_is_seen_without_waiting_for_a_probe(self, site: Site) -> None:
        await site.start(**LONG, probe_interval=600)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        site.runtime("bot-1").connection = ConnectionState.LOGGED_OUT
        site.runtime("bot-1").spool.put(EventType.LOGOUT, {})
        await site.phase("bot-1", "logged-out")


class TestRemoving:
    async def test_delete_removes_container_volume_and_row(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        await site.sql("UPDATE bots SET deleting = true")
        await eventually(lambda: site.sql("SELECT id FROM bots"), lambda rows: rows == [])
        assert not site.host.containers
        assert not site.host.volumes
        assert await site.sql("SELECT 1 FROM bot_events") == []

    async def test_a_manually_deleted_row_removes_the_container_but_not_the_session(self, site: Site) -> None:
        await site.start()
        await site.create("bot-1")
        await site.create("bot-2")
        await site.phase("bot-1", "online")
        await site.phase("bot-2", "online")
        await site.sql("DELETE FROM bots WHERE id = 'bot-1'")
        await site.seen(lambda: set(site.host.containers), lambda names: names == {name("bot-2")})
        assert set(site.host.volumes) == {name("bot-1"), name("bot-2")}

    async def test_a_bot_deleted_and_recreated_in_one_transaction_is_another_bot(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        before = site.host.containers[name("bot-1")].id
        await site.sql(
            "DELETE FROM bots; INSERT INTO bots (id, server_name, name, approval_status) "
            "VALUES ('bot-1', 'server1', 'again', 'approved')"
        )
        status = await site.phase("bot-1", "backing-off")
        assert status["reason"] == "orphaned-volume", "it does not inherit the session"
        uid = site.host.volumes[name("bot-1")][Label.BOT_UID]
        await site.sql("UPDATE bots SET uid = %s, generation = generation + 1", uid)
        status = await site.phase("bot-1", "online")
        assert status["container_id"] != before
        assert status["container_id"] == site.host.containers[name("bot-1")].id

    async def test_an_orphan_is_removed_once_a_later_sweep_still_finds_it(self, site: Site) -> None:
        acting = await site.start(resync_interval=1)
        labels = {"botdock.owner": acting.engine._owner, "botdock.server": SERVER, "botdock.bot-id": "gone"}
        orphan = site.host.add_foreign("anything", labels)
        reconciler = acting.controller.reconciler
        assert reconciler is not None
        for _ in range(2):
            await reconciler.sweep()
            assert orphan.state is ContainerState.RUNNING
        await eventually(lambda: site.orphans("anything"), lambda left: not left)

    async def test_no_orphan_is_removed_while_the_database_is_unreadable(self, site: Site) -> None:
        acting = await site.start(**LONG)
        reconciler = acting.controller.reconciler
        assert reconciler is not None
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        await site.sql("ALTER TABLE bot_status RENAME TO elsewhere")
        for _ in range(3):
            with pytest.raises(Exception, match="bot_status"):
                await reconciler.sweep()
        await site.sql("ALTER TABLE elsewhere RENAME TO bot_status")
        await reconciler.sweep()
        assert site.host.containers[name("bot-1")].starts == 1

    async def test_foreign_containers_are_not_orphans(self, site: Site) -> None:
        acting = await site.start(**LONG)
        site.host.add_foreign("theirs", {"botdock.owner": "other", "botdock.server": SERVER, "botdock.bot-id": "x"})
        site.host.add_foreign("next-door", {"botdock.owner": acting.engine._owner, "botdock.server": "server2"})
        assert acting.controller.reconciler is not None
        for _ in range(3):
            await acting.controller.reconciler.sweep()
        assert set(site.host.containers) == {"theirs", "next-door"}


class TestEvents:
    async def test_every_event_is_stored_once_and_acknowledged(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        spool = site.runtime("bot-1").spool
        for number in range(450):
            spool.put(EventType.MESSAGE_UPSERT, {"n": number})
        kept = await eventually(lambda: site.events("bot-1", "message-upsert"), lambda kept: len(kept) >= 450)
        assert [event["n"] for event in kept] == list(range(450))
        await site.seen(lambda: spool.acked, lambda acked: acked == 450)

    async def test_a_lost_cursor_duplicates_no_event(self, site: Site) -> None:
        acting = await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        site.runtime("bot-1").spool.put(EventType.MESSAGE_UPSERT, {"n": 1})
        await eventually(lambda: site.events("bot-1", "message-upsert"))
        await acting.stop()
        await site.sql("UPDATE bot_status SET spool_id = NULL, spool_seq = 0")
        await site.start(**LONG)
        site.runtime("bot-1").spool.put(EventType.MESSAGE_UPSERT, {"n": 2})
        kept = await eventually(lambda: site.events("bot-1", "message-upsert"), lambda kept: len(kept) >= 2)
        assert [event["n"] for event in kept] == [1, 2]

    async def test_a_new_session_has_a_new_spool_that_starts_at_one(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        site.runtime("bot-1").spool.put(EventType.MESSAGE_UPSERT, {"n": "old"})
        await eventually(lambda: site.events("bot-1", "message-upsert"))
        first = site.runtime("bot-1").spool.id
        await site.sql("UPDATE bots SET session_generation = 1, restart_generation = 1")
        await site.seen(lambda: site.host.runtimes.get(name("bot-1")), lambda it: it and it.spool.id != first)
        site.runtime("bot-1").spool.put(EventType.MESSAGE_UPSERT, {"n": "new"})
        kept = await eventually(lambda: site.events("bot-1", "message-upsert"), lambda kept: len(kept) >= 2)
        assert [event["n"] for event in kept] == ["old", "new"]

    async def test_characters_that_postgres_rejects_are_replaced(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        spool = site.runtime("bot-1").spool
        spool.put(EventType.MESSAGE_UPSERT, {"text": "a\0b", "\0": ["\0"]})
        spool.put(EventType.MESSAGE_UPSERT, {"text": "after"})
        kept = await eventually(lambda: site.events("bot-1", "message-upsert"), lambda kept: len(kept) >= 2)
        assert kept == [{"text": "a\ufffdb", "\ufffd": ["\ufffd"]}, {"text": "after"}]


class TestStatus:
    async def test_heartbeats_are_written_without_a_change_of_phase(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconciler_module, "FLUSH_INTERVAL_SECONDS", 0.1)
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        changes = len(await site.events("bot-1", "phase-change"))
        beat = site.runtime("bot-1").heartbeat = datetime(2030, 1, 1, tzinfo=UTC)
        await site.heartbeat("bot-1", beat)
        assert len(await site.events("bot-1", "phase-change")) == changes

    async def test_values_that_postgres_rejects_do_not_hold_up_other_bots(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconciler_module, "FLUSH_INTERVAL_SECONDS", 0.1)
        acting = await site.start(**LONG)
        for bot in ("bot-1", "bot-2", "bot-3"):
            await site.create(bot)
            await site.phase(bot, "online")
        assert acting.controller.reconciler is not None
        broken = acting.controller.reconciler.state("bot-2")
        assert broken is not None
        broken.restarts = 1 << 40
        beat = datetime(2030, 1, 1, tzinfo=UTC)
        for bot in ("bot-1", "bot-3"):
            site.runtime(bot).heartbeat = beat
            await site.heartbeat(bot, beat)

    async def test_status_writes_do_not_notify(self, site: Site) -> None:
        await site.start(**LONG)
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        [before] = await site.sql("SELECT generation FROM bots")
        await site.sql("UPDATE bot_status SET reason = 'x'")
        assert await site.sql("SELECT generation FROM bots") == [before]

    async def test_the_server_row_names_its_leader(self, site: Site) -> None:
        await site.start(**LONG)
        [address] = await eventually(
            lambda: site.sql("SELECT controller FROM servers WHERE name = %s", SERVER), lambda rows: rows[0]
        )
        assert address == "127.0.0.1:9090"
