"""The bots' networks: apart from each other, together with the stack's own containers."""

import asyncio
from ipaddress import IPv4Network

import pytest

from orchestrator.engine.base import ContainerSpec, Engine, EngineError, Label
from orchestrator.engine.docker.engine import DockerEngine
from tests.integration.engine.proxy import engine_socket
from tests.integration.engine.worlds import POOL, STACK, DockerWorld, bot_spec, until

pytestmark = pytest.mark.docker

SERVE = """
import socket
server = socket.create_server(("", 8080))
print("serving", flush=True)
while True:
    server.accept()[0].close()
"""
CONNECT = """
import os, socket
try:
    socket.create_connection((os.environ["TO"], 8080), timeout=2).close()
    print("connected", flush=True)
except OSError as exc:
    print("no way", flush=True)
"""


async def outcome(engine: Engine, spec: ContainerSpec) -> str:
    """The first line of a container's output."""
    await engine.start(await engine.create(spec))

    async def spoken() -> bool:
        return bool(await engine.logs(spec.name, tail=1))

    await until(spoken, f"{spec.name} says something")
    return (await engine.logs(spec.name, tail=1))[0]


def program(spec: ContainerSpec, source: str, **env: str) -> ContainerSpec:
    spec.env.update({"PROGRAM": source, **env})
    return spec


async def test_bots_of_different_tenants_cannot_reach_each_other(docker_world: DockerWorld) -> None:
    world = docker_world
    ours, theirs = world.engine(server="server1"), world.engine(server="server2")
    our_net, their_net = f"{world.tag}-net1", f"{world.tag}-net2"
    await asyncio.gather(ours.ensure_network(our_net), theirs.ensure_network(their_net))

    server = program(bot_spec(world, "server", network=our_net), SERVE)
    assert await outcome(ours, server) == "serving"
    observed = await ours.inspect(server.name)
    assert observed is not None
    assert observed.address is not None

    neighbour = program(bot_spec(world, "neighbour", network=our_net), CONNECT, TO=observed.address)
    stranger = program(bot_spec(world, "stranger", network=their_net), CONNECT, TO=observed.address)
    by_name = program(bot_spec(world, "by-name", network=their_net), CONNECT, TO=server.name)
    assert await outcome(ours, neighbour) == "connected", "within a network there is a way"
    assert await outcome(theirs, stranger) == "no way"
    assert await outcome(theirs, by_name) == "no way"


async def test_networks_created_concurrently_get_different_subnets(docker_world: DockerWorld) -> None:
    world = docker_world
    names = [f"{world.tag}-n{number}" for number in range(6)]
    engines = [world.engine(server=f"server{number}") for number in range(6)]
    await asyncio.gather(*(engine.ensure_network(name) for engine, name in zip(engines, names, strict=True)))

    described = [world.client.inspect_network(name) for name in names]
    subnets = {IPv4Network(item["IPAM"]["Config"][0]["Subnet"]) for item in described}
    assert len(subnets) == 6
    assert all(subnet.prefixlen == 22 and subnet.subnet_of(IPv4Network(POOL)) for subnet in subnets)
    assert {item["Driver"] for item in described} == {"bridge"}
    assert {item["Labels"][Label.OWNER] for item in described} == {world.owner("a")}


async def test_an_exhausted_pool_is_reported(docker_world: DockerWorld) -> None:
    world = docker_world
    await world.engine().ensure_network(f"{world.tag}-net")
    subnet = world.client.inspect_network(f"{world.tag}-net")["IPAM"]["Config"][0]["Subnet"]
    engine = DockerEngine(
        owner=world.owner("a"), server="server2", host=f"unix://{engine_socket()}", network_pool=subnet
    )
    try:
        with pytest.raises(EngineError, match="no free subnet"):
            await engine.ensure_network(f"{world.tag}-second")
    finally:
        await engine.close()


async def test_the_stacks_containers_are_attached_under_their_own_names(docker_world: DockerWorld) -> None:
    world = docker_world
    engine = world.engine()
    component = Label.COMPONENT
    here = {STACK: world.tag}
    await world.add_foreign(f"{world.tag}-api", {**here, component: "api"})
    await world.add_foreign(f"{world.tag}-simulator", {**here, component: "simulator", Label.OWNER: world.owner("a")})
    await world.add_foreign(f"{world.tag}-of-another", {**here, component: "controller", Label.OWNER: "another"})
    await world.add_foreign(f"{world.tag}-postgres", {**here, component: "postgres"})
    await world.add_foreign(f"{world.tag}-plain", here)
    await world.add_foreign(f"{world.tag}-other-stack", {component: "controller", STACK: "another"})

    network = f"{world.tag}-net"
    await asyncio.gather(engine.ensure_network(network), world.engine().ensure_network(network))
    await engine.ensure_network(network)

    attached = {item["Name"] for item in world.client.inspect_network(network)["Containers"].values()}
    assert attached == {f"{world.tag}-api", f"{world.tag}-simulator"}
    described = world.client.inspect_container(f"{world.tag}-api")
    assert "api" in described["NetworkSettings"]["Networks"][network]["Aliases"]
