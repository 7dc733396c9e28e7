"""What `Engine` promises about what is ours: labels, lists, volumes, networks, and logs."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.engine.base import (
    ContainerState,
    Engine,
    EngineError,
    Label,
    NameTakenError,
    NetworkMissingError,
    OrphanedVolumeError,
    WrongEngineError,
)
from tests.integration.engine.worlds import READY, World, bot_spec, exited, state_of


async def test_labels_are_preserved_and_ours_are_added(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    [listed] = await engine.list_containers()
    inspected = await engine.inspect(spec.name)
    assert inspected is not None
    assert listed.labels == inspected.labels
    assert spec.labels.items() <= listed.labels.items()
    assert listed.labels[Label.SERVER] == "server1"
    assert listed.labels[Label.OWNER].endswith("a")


async def test_a_list_contains_only_this_server_of_this_installation(world: World, engine: Engine) -> None:
    other_owner, other_server = world.engine(owner="b"), world.engine(server="server2")
    await engine.create(bot_spec(world, "mine"))
    await other_owner.create(bot_spec(world, "of-another-installation"))
    await other_server.create(bot_spec(world, "of-another-server"))
    await world.add_foreign(f"{world.tag}-foreign", {Label.SERVER: "server1"})

    async def listed(engine: Engine) -> list[str]:
        return [container.labels[Label.BOT_ID] for container in await engine.list_containers()]

    assert await listed(engine) == ["mine"]
    assert await listed(other_owner) == ["of-another-installation"]
    assert await listed(other_server) == ["of-another-server"]


async def test_a_list_contains_containers_in_every_state_with_their_addresses(world: World, engine: Engine) -> None:
    running = await world.say(engine, bot_spec(world, "running"), b"")
    await engine.create(bot_spec(world, "created"))
    ended = await world.say(engine, bot_spec(world, "ended"), b"")
    await engine.kill(ended.name, "SIGKILL")
    await exited(engine, ended.name)

    listed = {container.labels[Label.BOT_ID]: container for container in await engine.list_containers()}
    assert {bot: container.state for bot, container in listed.items()} == {
        "running": ContainerState.RUNNING,
        "created": ContainerState.CREATED,
        "ended": ContainerState.EXITED,
    }
    inspected = await engine.inspect(running.name)
    assert inspected is not None
    assert listed["running"].address == inspected.address
    assert (listed["running"].started_at, listed["ended"].exit_code) == (None, None)


async def test_a_volume_outlives_its_container_until_it_is_removed(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    await engine.remove(spec.name)
    assert await world.volumes() == {spec.volume}
    await engine.create(spec)
    await engine.remove(spec.name)
    await engine.remove_volume(spec.volume)
    assert await world.volumes() == set()


async def test_volumes_of_this_server_of_this_installation_are_listed(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    await world.engine(owner="b").create(bot_spec(world, "of-another-installation"))
    await world.engine(server="server2").create(bot_spec(world, "of-another-server"))
    [volume] = await engine.list_volumes()
    assert (volume.name, volume.labels[Label.BOT_ID], volume.labels[Label.SERVER]) == (spec.volume, "bot-1", "server1")


async def test_the_volume_of_another_bot_is_neither_mounted_nor_removed(world: World, engine: Engine) -> None:
    spec = replace(bot_spec(world), volume_labels={Label.BOT_UID: "first"})
    await engine.create(spec)
    await engine.remove(spec.name)
    for labels in ({Label.BOT_UID: "second"}, {}):
        with pytest.raises(OrphanedVolumeError, match=f"botdock volumes adopt {spec.volume}"):
            await engine.create(replace(spec, volume_labels=labels))
    volume = await engine.inspect_volume(spec.volume)
    assert volume is not None
    assert (volume.name, volume.labels[Label.BOT_UID]) == (spec.volume, "first")
    await engine.create(spec)
    await engine.remove(spec.name)
    await engine.remove_volume(spec.volume)
    assert await engine.inspect_volume(spec.volume) is None


async def test_only_the_bound_engine_is_used(world: World, engine: Engine) -> None:
    identity = await engine.identity()
    engine.bind(identity)
    await engine.create(bot_spec(world))
    other = world.engine()
    other.bind("another")
    for call in (other.ping, other.list_containers, lambda: other.create(bot_spec(world, "bot-2"))):
        with pytest.raises(WrongEngineError, match=identity):
            await call()
    assert await other.identity() == identity
    assert len(await engine.list_containers()) == 1


async def test_a_volume_in_use_is_not_removed(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    with pytest.raises(EngineError, match="in use"):
        await engine.remove_volume(spec.volume)
    assert await world.volumes() == {spec.volume}


async def test_a_foreign_volume_is_neither_mounted_nor_removed(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    await engine.remove(spec.name)
    stranger = world.engine(owner="b")
    with pytest.raises(NameTakenError, match="volume"):
        await stranger.create(spec)
    await stranger.remove_volume(spec.volume)
    assert await world.volumes() == {spec.volume}


async def test_the_last_lines_are_returned_as_plain_text(world: World, engine: Engine) -> None:
    output = b"\x1b[31mred\x1b[0m\r\nbell\x07\n\xff\xfe bytes\n" + "grüße\n".encode() + b"x" * 3000 + b"\n"
    spec = await world.say(engine, bot_spec(world), output)
    assert await engine.logs(spec.name, tail=100) == ["red", "bell", "\ufffd\ufffd bytes", "grüße", "x" * 1000, READY]
    assert await engine.logs(spec.name, tail=2) == ["x" * 1000, READY]


async def test_a_log_can_be_read_up_to_a_time_and_after_the_exit(world: World, engine: Engine) -> None:
    before = datetime.now(UTC)
    spec = await world.say(engine, bot_spec(world), b"hello\n")
    await world.crash(spec.name)
    await exited(engine, spec.name)
    assert await engine.logs(spec.name, tail=10, until=before) == []
    assert await engine.logs(spec.name, tail=10, until=datetime.now(UTC)) == ["hello", READY]


async def test_ensuring_a_network_is_idempotent(world: World) -> None:
    first, second = world.engine(), world.engine()
    name = f"{world.tag}-many"
    await asyncio.gather(*(engine.ensure_network(name) for engine in [first, second] * 4))
    await first.ensure_network(name)
    assert await world.network_count(name) == 1


async def test_a_foreign_network_is_not_used(world: World) -> None:
    name = f"{world.tag}-foreign-net"
    await world.add_foreign_network(name)
    with pytest.raises(NameTakenError, match=name):
        await world.engine().ensure_network(name)


async def test_a_network_of_another_server_is_not_used(world: World, engine: Engine) -> None:
    with pytest.raises(NameTakenError, match=f"{world.tag}-net"):
        await world.engine(server="server2").ensure_network(f"{world.tag}-net")


async def test_a_removed_network_is_detected_and_created_again(world: World, engine: Engine) -> None:
    spec = bot_spec(world)
    await engine.create(spec)
    await world.remove_network(spec.network)
    with pytest.raises(NetworkMissingError):
        await engine.start(spec.name)
    await engine.ensure_network(spec.network)
    await engine.start(spec.name)
    assert await state_of(engine, spec.name) is ContainerState.RUNNING


async def test_a_container_that_ran_on_a_former_network_does_not_start_on_the_present_one(
    world: World, engine: Engine
) -> None:
    spec = await world.say(engine, bot_spec(world), b"")
    await engine.kill(spec.name, "SIGKILL")
    await exited(engine, spec.name)
    await world.remove_network(spec.network)
    await engine.ensure_network(spec.network)
    with pytest.raises(NetworkMissingError):
        await engine.start(spec.name)
    await engine.remove(spec.name)
    await engine.create(spec)
    await engine.start(spec.name)
    assert await state_of(engine, spec.name) is ContainerState.RUNNING
