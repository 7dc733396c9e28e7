"""The parts of the Docker engine that need no engine: versions, subnets, descriptions, the template."""

from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import pytest
from docker.errors import DockerException

from orchestrator.engine.base import ContainerSpec, ContainerState, EngineEvent, EngineEventKind, Label
from orchestrator.engine.docker import observe
from orchestrator.engine.docker.client import negotiate
from orchestrator.engine.docker.network import free_subnet
from orchestrator.engine.docker.template import container_config

POOL = IPv4Network("10.213.0.0/16")


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ("1.41", "1.12", "1.41"),
        ("1.45", "1.24", "1.45"),
        ("1.52", "1.44", "1.45"),
        ("1.60", "1.48", "1.48"),
    ],
)
def test_the_negotiated_version_is_the_newest_that_both_support(newest: str, oldest: str, spoken: str) -> None:
    assert negotiate(newest=newest, oldest=oldest) == spoken


def test_an_old_engine_is_rejected() -> None:
    with pytest.raises(DockerException, match=r"20\.10"):
        negotiate(newest="1.40", oldest="1.12")


@pytest.mark.parametrize(
    ("taken", "free"),
    [
        ([], "10.213.0.0/22"),
        (["10.213.0.0/22"], "10.213.4.0/22"),
        (["10.213.0.0/24", "10.213.6.0/24"], "10.213.8.0/22"),
        (["172.17.0.0/16", "10.213.0.0/17"], "10.213.128.0/22"),
        (["10.0.0.0/8"], None),
    ],
)
def test_the_first_free_subnet_is_used(taken: list[str], free: str | None) -> None:
    found = free_subnet(POOL, [IPv4Network(each) for each in taken])
    assert found == (IPv4Network(free) if free else None)


def test_a_pool_smaller_than_a_subnet_is_used_whole() -> None:
    pool = IPv4Network("10.1.2.0/24")
    assert free_subnet(pool, []) == pool
    assert free_subnet(pool, [pool]) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T00:06:30.123456789Z", datetime(2026, 11, 21, 0, 6, 30, 123456, UTC)),
        ("2026-11-21T00:06:30Z", datetime(2026, 11, 21, 0, 6, 30, tzinfo=UTC)),
        ("2026-11-21T02:06:30.5+02:00", datetime(2026, 11, 21, 0, 6, 30, 500000, UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_dockers_timestamps_are_parsed(text: str, moment: datetime | None) -> None:
    assert observe.timestamp(text) == moment


def described(status: str, **state: Any) -> dict[str, Any]:
    times = {"StartedAt": "2026-11-21T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    return {
        "Id": "abc",
        "Name": "/botdock-s-b",
        "State": {"Status": status, "ExitCode": 0, "OOMKilled": False, **times, **state},
        "Config": {"Labels": None},
        "HostConfig": {"NetworkMode": "bots"},
        "NetworkSettings": {"Networks": {"other": {"IPAddress": "10.9.9.9"}, "bots": {"IPAddress": "10.1.1.1"}}},
    }


def test_the_address_is_the_one_in_the_bots_network() -> None:
    assert observe.from_inspect(described("running")).address == "10.1.1.1"


def test_an_exit_code_is_reported_only_after_an_exit() -> None:
    assert observe.from_inspect(described("running")).exit_code is None
    ended = observe.from_inspect(described("exited", ExitCode=137, OOMKilled=True))
    assert (ended.state, ended.exit_code, ended.oom_killed) == (ContainerState.EXITED, 137, True)


def test_an_event_carries_its_bot_id() -> None:
    message = {"Action": "die", "Actor": {"ID": "abc", "Attributes": {Label.BOT_ID: "b", "exitCode": "1"}}}
    expected = EngineEvent(kind=EngineEventKind.DIE, bot_id="b", container_id="abc")
    assert observe.from_event(message) == expected


def spec(**changes: Any) -> ContainerSpec:
    values: dict[str, Any] = {
        "name": "botdock-s-b",
        "image": "bot:1",
        "network": "bots",
        "volume": "botdock-s-b",
        "env": {"A": "1"},
        "labels": {Label.BOT_ID: "b"},
        "memory_bytes": 256 << 20,
        "cpus": 0.1,
        "pids": 64,
    }
    return ContainerSpec(**{**values, **changes})


def test_a_spec_cannot_claim_another_owner() -> None:
    config = container_config(
        spec(labels={Label.BOT_ID: "b", Label.OWNER: "x", Label.SERVER: "y"}), owner="us", server="s"
    )
    assert (config["Labels"][Label.OWNER], config["Labels"][Label.SERVER]) == ("us", "s")


def test_only_a_volume_with_a_quota_has_options_of_its_driver() -> None:
    def driver(quota_bytes: int | None) -> object:
        config = container_config(spec(), owner="us", server="s", quota_bytes=quota_bytes)
        return config["HostConfig"]["Mounts"][0]["VolumeOptions"]["DriverConfig"]

    assert driver(None) == {}
    assert driver(64 << 20) == {"Name": "local", "Options": {"size": "67108864"}}


def test_the_template_takes_no_command_and_no_user() -> None:
    config = container_config(spec(), owner="us", server="s")
    assert not {"Cmd", "Entrypoint", "User", "ExposedPorts"} & config.keys()
    assert not {"Binds", "PortBindings", "CapAdd", "Devices", "PidMode"} & config["HostConfig"].keys()
    assert config["HostConfig"]["NanoCpus"] == 100_000_000
