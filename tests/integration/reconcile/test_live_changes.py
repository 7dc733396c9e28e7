"""What reaches bots while they run: settings, commands, secrets, messages."""

import logging
from typing import Any

import pytest
from msgspec.structs import replace

from bot_runtime.contract import ConnectionState, CustomCommand, EventType, Secrets, TakenOver
from orchestrator.logs import LineFormatter
from tests.integration.reconcile.conftest import Site, eventually, name

LONG: dict[str, Any] = {"resync_interval": 3600, "probe_interval": 600}
"""Settings under which only notifications can be why something happens."""
COMMAND = (
    "INSERT INTO commands (id, server_name, bot_key, name, response) "
    "VALUES (%s, %s, (SELECT key FROM bots WHERE id = %s), %s, %s)"
)
MESSAGE = (
    "INSERT INTO messages (id, server_name, bot_key, to_chat, content, request_hash) "
    'SELECT %s, server_name, key, \'4917011111111@s.whatsapp.net\', \'{"type": "text", "text": "x"}\', \'\' '
    "FROM bots WHERE id = 'bot-1'"
)


async def running(site: Site, **changes: Any) -> None:
    await site.start(**{**LONG, **changes})
    await site.create("bot-1")
    await site.phase("bot-1", "online")


async def commands(site: Site, *expected: CustomCommand) -> None:
    """Wait until the bot has exactly these."""

    def has() -> list[CustomCommand] | None:
        config = site.runtime("bot-1").config
        return None if config is None else config.commands

    await site.seen(has, lambda seen: seen == list(expected))


async def test_commands_reach_a_bot_at_once_and_the_most_specific_one_applies(site: Site) -> None:
    await running(site)
    await site.sql(COMMAND, "1", None, None, "hours", "global")
    await commands(site, CustomCommand(name="hours", response="global"))
    await site.sql(COMMAND, "2", "server1", None, "hours", "server")
    await commands(site, CustomCommand(name="hours", response="server"))
    await site.sql(COMMAND, "3", "server1", "bot-1", "hours", "bot")
    await site.sql(COMMAND, "4", None, None, "about", "us")
    await commands(site, CustomCommand(name="about", response="us"), CustomCommand(name="hours", response="bot"))
    await site.sql("DELETE FROM commands WHERE name = 'about'")
    await site.sql("DELETE FROM commands WHERE id = '3'")
    await commands(site, CustomCommand(name="hours", response="server"))
    assert site.host.containers[name("bot-1")].starts == 1


async def test_settings_reach_a_bot_at_once(site: Site) -> None:
    await running(site)
    await site.sql('UPDATE bots SET settings = \'{"prefix": "!"}\'')

    def prefix() -> str:
        config = site.runtime("bot-1").config
        return "" if config is None else config.prefix

    await site.seen(prefix, lambda seen: seen == "!")


async def test_settings_in_a_restored_database_reach_bots_that_have_later_ones(site: Site) -> None:
    await running(site, probe_interval=0.5)
    runtime = site.runtime("bot-1")
    config = await site.seen(lambda: runtime.config)
    assert config is not None
    runtime.config = replace(config, generation=config.generation + 100, prefix="lost")
    await site.sql('UPDATE bots SET settings = \'{"prefix": "!"}\'')
    await site.seen(lambda: runtime.config, lambda seen: seen is not None and seen.prefix == "!")
    assert await site.sql("SELECT config_generation > %s FROM bots", config.generation + 100) == [True]


async def test_changed_installation_settings_reach_running_bots(site: Site) -> None:
    before = await site.start(bot_prefix="!", probe_interval=0.5)
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    config = await site.seen(lambda: site.runtime("bot-1").config)
    assert config is not None
    await before.stop()
    await site.start(bot_prefix="#", log_level="DEBUG", probe_interval=0.5)

    def told() -> tuple[str, str, int]:
        present = site.runtime("bot-1").config
        assert present is not None
        return present.prefix, present.log_level, present.generation

    await site.seen(told, lambda seen: seen == ("#", "debug", config.generation))
    assert site.host.containers[name("bot-1")].starts == 1


async def test_a_setting_changed_by_command_is_stored_before_the_bot_is_configured(site: Site) -> None:
    before = await site.start(probe_interval=0.5)
    await site.create("bot-1")
    await site.phase("bot-1", "online")
    runtime = site.runtime("bot-1")
    config = await site.seen(lambda: runtime.config)
    assert config is not None
    await before.stop()
    runtime.config = replace(config, prefix="?")
    runtime.spool.put(EventType.SETTINGS_UPDATE, {"settings": {"autoView": True}})
    await site.start(probe_interval=0.5)
    told = await site.seen(lambda: runtime.config, lambda seen: seen is not None and seen.prefix != "?")
    assert told is not None
    assert told.auto_view


async def test_a_setting_changed_by_command_is_stored_and_sent_back(site: Site) -> None:
    await running(site)
    spool = site.runtime("bot-1").spool
    spool.put(EventType.SETTINGS_UPDATE, {"settings": {"autoView": True}})
    changed = TakenOver(spool_id=spool.id, seq=len(spool.events))
    await eventually(lambda: site.sql("SELECT settings FROM bots"), lambda rows: rows == [{"autoView": True}])

    def viewing() -> bool:
        config = site.runtime("bot-1").config
        return config is not None and config.auto_view

    await site.seen(viewing)
    # By this the bot knows that its owner's change is in it, and a later one is not.
    told = site.runtime("bot-1").config
    assert told is not None
    assert told.taken_over == changed


class TestSecrets:
    async def test_every_process_receives_the_secrets_once(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        await running(site, openai_api_key="sk-s3cret", openai_base_url="https://model/v1", probe_interval=0.5)
        first = site.runtime("bot-1")
        told = Secrets(openai_api_key="sk-s3cret", openai_base_url="https://model/v1")
        await site.seen(lambda: first.secrets, lambda seen: seen == [told])
        first.restart_in_place()
        await site.seen(lambda: first.secrets, lambda seen: len(seen) == 2)
        site.host.crash(name("bot-1"), 1)
        second = await site.seen(lambda: site.host.runtimes.get(name("bot-1")), lambda seen: seen not in {None, first})
        assert second is not None
        await site.seen(lambda: second.secrets, lambda seen: len(seen) == 1)
        container = site.host.containers[name("bot-1")]
        assert container.spec is not None
        assert "s3cret" not in repr(container.spec)
        assert "s3cret" not in "".join(LineFormatter().format(record) for record in caplog.records)
        tables = await site.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for table in tables:
            rows = await site.sql(f"SELECT to_jsonb(t)::text FROM {table} t")
            assert not [row for row in rows if "s3cret" in row]

    async def test_without_a_key_no_secrets_are_sent(self, site: Site) -> None:
        await running(site, probe_interval=0.5)
        await site.sql(COMMAND, "1", None, None, "hours", "x")
        await commands(site, CustomCommand(name="hours", response="x"))
        assert site.runtime("bot-1").secrets == []


class TestMessages:
    async def test_a_new_message_is_sent_at_once(self, site: Site) -> None:
        await running(site)
        await site.sql(MESSAGE, "m-1")
        await site.seen(
            lambda: [message.client_id for message in site.runtime("bot-1").sent], lambda ids: ids == ["m-1"]
        )
        await eventually(lambda: site.sql("SELECT whatsapp_id FROM messages"), lambda rows: rows == ["W-m-1"])

    async def test_a_message_for_a_reconnecting_bot_is_sent_once_it_is_online(self, site: Site) -> None:
        await running(site)
        bot = site.runtime("bot-1")
        bot.connection = ConnectionState.RECONNECTING
        bot.spool.put(EventType.CONNECTION_UPDATE, {"connection": "close", "state": "reconnecting"})
        await site.phase("bot-1", "degraded")
        await site.sql(MESSAGE, "m-1")
        bot.connection = ConnectionState.ONLINE
        bot.spool.put(EventType.CONNECTED, {})
        await eventually(lambda: site.sql("SELECT state FROM messages"), lambda rows: rows == ["sent"])

    async def test_a_standby_sends_nothing_until_it_takes_over(self, site: Site) -> None:
        first = await site.start()
        await site.create("bot-1")
        await site.phase("bot-1", "online")
        second = await site.start(wait=False)
        await second.standing_by()
        await first.stop()
        await site.sql(MESSAGE, "m-1")
        await eventually(lambda: site.sql("SELECT state FROM messages"), lambda rows: rows == ["sent"])
        assert [message.client_id for message in site.runtime("bot-1").sent] == ["m-1"]
