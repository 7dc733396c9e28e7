"""`make engine-remove`: it undoes what `make engine` did, and nothing else."""

import pytest

from tests.unit.images.machine import Machine


def test_removal_undoes_the_installation(machine: Machine) -> None:
    machine.file("etc/apt/sources.list.d/debian.sources")
    before = machine.files()
    assert machine.ensure().returncode == 0
    machine.file("var/lib/docker/image")
    done = machine.remove()
    assert done.returncode == 0, done.stderr
    assert "about to:" in done.stdout
    purge = machine.calls[-1]
    assert " purge " in purge
    assert purge.split(" purge ")[1].split() == sorted(
        ["containerd", "docker-buildx", "docker-cli", "docker-compose", "docker.io", "iptables", "runc", "tini"]
    )
    assert machine.files() == before
    assert not (machine.root / "var/lib/docker").exists()


def test_removal_without_a_record_removes_nothing(machine: Machine) -> None:
    machine.has_docker(running=True)
    before = machine.files()
    done = machine.remove()
    assert done.returncode == 0
    assert "nothing to remove" in done.stdout
    assert machine.calls == []
    assert machine.files() == before


def test_removal_takes_away_the_source_of_an_earlier_version_only(machine: Machine) -> None:
    machine.has_docker(running=True)
    machine.file("etc/apt/sources.list.d/botdock-trixie.sources")
    machine.file("etc/apt/preferences.d/botdock-trixie")
    other = machine.file("etc/apt/preferences.d/mine")
    assert machine.remove().returncode == 0
    assert machine.calls == []
    assert [path for path in machine.files() if "apt" in path] == [str(other.relative_to(machine.root))]


@pytest.mark.parametrize(("held", "line"), [("containers", "container shop-db"), ("volumes", "volume shop-data")])
def test_removal_refuses_while_the_engine_holds_data(machine: Machine, held: str, line: str) -> None:
    assert machine.ensure().returncode == 0
    machine.write(held, f"{line}\n")
    done = machine.remove()
    assert done.returncode == 1
    assert line in done.stderr
    assert "YES=1" in done.stderr
    assert machine.calls[-1] == "dockerd"
    assert machine.remove(YES="1").returncode == 0


def test_removal_refuses_when_the_content_is_unknown(machine: Machine) -> None:
    assert machine.ensure().returncode == 0
    machine.file("var/lib/docker/volumes/x")
    (machine.state / "engine").unlink()
    done = machine.remove()
    assert done.returncode == 1
    assert "its containers and volumes are unknown" in done.stderr
    assert machine.calls[-1] == "dockerd"


def test_removal_refuses_when_other_packages_depend_on_the_engine(machine: Machine) -> None:
    assert machine.ensure().returncode == 0
    machine.write("dependents", "Purg dokku:amd64 [1]\n")
    done = machine.remove()
    assert done.returncode == 1
    assert "would be removed with it: dokku" in done.stderr
    assert machine.calls[-1] == "dockerd"


def test_removal_keeps_data_and_configuration_that_were_there_before(machine: Machine) -> None:
    config = machine.file("etc/docker/daemon.json", "{}")
    data = machine.file("var/lib/docker/volumes/old")
    assert machine.ensure().returncode == 0
    done = machine.remove()
    assert done.returncode == 0, done.stderr
    assert " remove " in machine.calls[-1], "purging docker.io would delete /var/lib/docker"
    assert config.exists()
    assert data.exists()


def test_removal_keeps_a_configuration_that_was_changed_since(machine: Machine) -> None:
    assert machine.ensure().returncode == 0
    config = machine.file("etc/docker/daemon.json", '{"debug": true}')
    assert machine.remove().returncode == 0
    assert config.read_text() == '{"debug": true}'
