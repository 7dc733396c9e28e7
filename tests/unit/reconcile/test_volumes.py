"""Sessions survive whatever the database has lost: the labels of a volume decide whose it is and whether it goes."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.db.models import Bot, BotKey
from orchestrator.engine.base import Label, ObservedVolume
from orchestrator.reconcile.volumes import is_former_session, is_owner, orphaned, volume_labels
from tests.support.names import resource_name
from tests.unit.reconcile.doubles import OWNER, SERVER, World

BOT = "bot-1"
NAME = resource_name(SERVER, BOT)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    return World()


async def online(world: World) -> dict[str, str]:
    """A bot that is online; its volume."""
    if BOT not in world.rows.bots:
        world.rows.insert(BOT)
    await world.controller.sweep()
    await world.run(BOT, 60)
    assert world.phase(BOT)[0] == "online"
    return world.host.volumes[NAME]


def bot(uid: str = "u", since: datetime = NOON) -> Bot:
    return Bot(id=BOT, server_name=SERVER, name="Bot", uid=uid, session_since=since)


def test_a_volume_belongs_to_the_bot_that_it_was_created_for() -> None:
    labels = {Label.BOT_ID: BOT, **volume_labels(bot())}
    assert is_owner(labels, bot_id=BOT, uid="u")
    assert not is_owner(labels, bot_id=BOT, uid="v")
    assert not is_owner(labels, bot_id="bot-2", uid="u")
    old = {Label.BOT_ID: BOT, **volume_labels(bot(uid=""))}
    assert Label.BOT_UID not in old, "as on volumes of versions without the label"
    assert is_owner(old, bot_id=BOT, uid="")
    assert not is_owner(old, bot_id=BOT, uid="u")


@pytest.mark.parametrize(
    ("labels", "former"),
    [
        (volume_labels(bot(since=NOON - timedelta(microseconds=1))), True),
        (volume_labels(bot(since=NOON)), False),
        (volume_labels(bot(since=NOON + timedelta(days=1))), False),
        ({}, True),
        ({Label.SESSION_SINCE: "yesterday"}, True),
    ],
)
def test_a_reset_applies_only_to_sessions_from_before_it_was_requested(labels: dict[str, str], former: bool) -> None:
    assert is_former_session(bot(), labels) is former


def test_volumes_without_a_bot_and_those_of_an_earlier_bot_are_orphaned() -> None:
    def volume(name: str, uid: str) -> ObservedVolume:
        return ObservedVolume(name, {Label.BOT_ID: name, Label.BOT_UID: uid})

    volumes = [volume("a", "1"), volume("b", "1"), volume("c", "1"), ObservedVolume("d")]
    assert [item.name for item in orphaned(volumes, {"a": "1", "b": "2"})] == ["b", "c", "d"]


async def test_a_lost_status_row_costs_no_session_although_one_was_reset_before(world: World) -> None:
    await online(world)
    world.rows.update(BOT, restart_generation=1, session_generation=1)
    volume = await online(world)
    world.rows.status[BOT] = type(world.rows.status[BOT])(bot_key=BotKey(BOT), server_name=SERVER)
    await world.controller.sweep()
    await world.run(BOT, 1)
    assert world.rows.status[BOT].memory, "the leader writes the row again"
    world.rows.status[BOT] = type(world.rows.status[BOT])(bot_key=BotKey(BOT), server_name=SERVER)
    world.new_controller()
    await online(world)
    assert world.host.volumes[NAME] is volume


async def test_a_restored_database_in_which_a_reset_looks_outstanding_costs_no_session(world: World) -> None:
    await online(world)
    world.rows.update(BOT, restart_generation=1, session_generation=1)
    volume = await online(world)
    world.rows.status[BOT].memory = {"session_generation": 0}
    world.new_controller()
    await online(world)
    assert world.host.volumes[NAME] is volume
    world.rows.update(BOT, restart_generation=2, session_generation=2)
    assert await online(world) is not volume, "a new request is carried out"


async def test_a_bot_deleted_by_hand_leaves_its_volume_which_a_new_one_neither_inherits_nor_removes(
    world: World,
) -> None:
    volume = await online(world)
    first = world.rows.bots[BOT]
    world.rows.delete(BOT)
    await world.controller.sweep()
    world.clock.now += 60
    await world.controller.sweep()
    assert world.host.containers == {}
    world.rows.insert(BOT)
    world.rows.update(BOT, session_generation=1)
    await world.controller.sweep()
    await world.run(BOT, 1)
    assert world.phase(BOT) == ("backing-off", "orphaned-volume")
    assert f"botdock volumes adopt {NAME}" in world.rows.status[BOT].message
    assert world.host.volumes[NAME] is volume
    world.rows.update(BOT, deleting=True)
    await world.run(BOT, 1)
    assert BOT not in world.rows.bots
    assert world.host.volumes[NAME] is volume

    world.rows.insert(BOT, uid=first.uid)
    assert await online(world) is volume, "adopted"


async def test_a_volume_with_another_name_is_adopted_by_a_running_bot(world: World) -> None:
    own = await online(world)
    left = {**own, Label.BOT_UID: "former"}
    world.host.volumes["left"] = left
    world.rows.update(BOT, uid="former", resource_name="left")
    await world.run(BOT, 60)
    assert world.phase(BOT)[0] == "online"
    [container] = world.host.containers.values()
    assert container.name == "left"
    assert container.spec is not None
    assert container.spec.volume == "left"
    assert world.host.volumes == {NAME: own, "left": left}, "the bot's earlier session is orphaned now"


async def test_orphaned_volumes_are_reported_once_and_only_after_some_time(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await online(world)
    world.host.volumes["left"] = {Label.OWNER: OWNER, Label.SERVER: SERVER, Label.BOT_ID: "gone"}
    await world.controller.sweep()
    assert "belongs to no bot" not in caplog.text
    for _ in range(3):
        world.clock.now += 60
        await world.controller.sweep()
    assert caplog.text.count("the volume left belongs to no bot") == 1
    assert NAME not in caplog.text
    assert set(world.host.volumes) == {NAME, "left"}
