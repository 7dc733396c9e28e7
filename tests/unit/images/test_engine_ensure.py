"""`make engine`: on every kind of machine, it changes only what it has to."""

import os
import signal
import subprocess
import time

import pytest

from tests.unit.images.machine import SCRIPTS, Machine


def test_a_running_engine_is_left_as_it_is(machine: Machine) -> None:
    machine.has_docker(running=True)
    before = machine.files()
    done = machine.ensure()
    assert (done.returncode, done.stdout) == (0, "engine: Docker 27.0 is running, left as it is\n")
    assert machine.calls == []
    assert machine.files() == before


@pytest.mark.parametrize(
    ("package", "plugins", "daemon", "systemd", "says"),
    [
        pytest.param("docker-ce", True, True, True, "start it with 'systemctl start docker'", id="stopped"),
        pytest.param("docker-ce", False, True, True, "no buildx or compose", id="stopped, without plugins"),
        pytest.param("docker-ce-cli", True, False, True, "Docker is here in part", id="a client only"),
        pytest.param("docker-ce", False, True, False, "no buildx or compose", id="without systemd and plugins"),
    ],
)
def test_a_stopped_docker_is_never_changed(
    machine: Machine, package: str, plugins: bool, daemon: bool, systemd: bool, says: str
) -> None:
    machine.has_docker(plugins=plugins, daemon=daemon)
    machine.write("dpkg", f"{package}\n")
    if systemd:
        machine.file("run/systemd/system/x")
    before = machine.files()
    done = machine.ensure()
    assert done.returncode == 1
    assert says in done.stderr
    assert machine.calls == []
    assert machine.files() == before


def test_a_running_engine_without_plugins_gets_none(machine: Machine) -> None:
    machine.has_docker(running=True, plugins=False)
    done = machine.ensure()
    assert done.returncode == 1
    assert "'docker buildx' or 'docker compose' is missing" in done.stderr
    assert machine.calls == []


def test_without_a_service_manager_a_stopped_daemon_is_started_and_nothing_else_happens(machine: Machine) -> None:
    machine.has_docker()
    machine.write("dpkg", "docker-ce\n")
    before = machine.files()
    done = machine.ensure()
    assert done.returncode == 0, done.stderr
    assert "about to start dockerd, and to change nothing else" in done.stdout
    assert machine.calls == ["dockerd"]
    assert machine.files().keys() - before.keys() == {"var/log/botdock-dockerd.log"}


@pytest.mark.parametrize("package", ["docker.io", "docker-ce", "podman-docker", "docker-desktop", "docker-cli"])
def test_a_package_without_its_command_counts_as_docker(machine: Machine, package: str) -> None:
    machine.write("dpkg", f"{package}\n")
    done = machine.ensure()
    assert done.returncode == 1
    assert f"the package {package}" in done.stderr
    assert machine.calls == []


def test_podmans_docker_command_is_not_taken_for_docker(machine: Machine) -> None:
    machine.has_docker(running=True, daemon=False)
    machine.write("docker-version", "podman version 5.4.2\n")
    done = machine.ensure()
    assert done.returncode == 1
    assert "the docker command is Podman's" in done.stderr
    assert machine.calls == []


def test_a_rootless_engine_that_is_stopped_is_named(machine: Machine) -> None:
    machine.has_docker()
    machine.write("context", "rootless\n")
    done = machine.ensure()
    assert done.returncode == 1
    assert "no engine answers in the docker context 'rootless'" in done.stderr
    assert machine.calls == []


def test_an_engine_elsewhere_is_never_installed_here(machine: Machine) -> None:
    done = machine.ensure(DOCKER_HOST="tcp://127.0.0.1:9")
    assert done.returncode == 1
    assert "no engine answers at DOCKER_HOST=tcp://127.0.0.1:9" in done.stderr
    assert machine.calls == []


@pytest.mark.parametrize(
    ("system", "version", "says"),
    [("fedora", "42", "install Docker Engine 24 or newer"), ("debian", "12", "run 'sudo make engine'")],
)
def test_where_it_cannot_install_it_says_what_to_do(machine: Machine, system: str, version: str, says: str) -> None:
    machine.os(system, version)
    machine.write("uid", "1000")
    done = machine.ensure()
    assert done.returncode == 1
    assert says in done.stderr.splitlines()[-1]
    assert machine.calls == []


def test_a_machine_without_docker_gets_one_that_is_announced_first(machine: Machine) -> None:
    sources = machine.file("etc/apt/sources.list.d/debian.sources").read_text()
    done = machine.ensure()
    assert done.returncode == 0, done.stderr
    announced = done.stdout.split("installing\n")[0]
    assert "about to:" in announced
    assert "install docker.io docker-cli docker-buildx docker-compose containerd runc iptables tini" in announced
    assert "daemon.json" in announced
    assert all("--no-remove" in call for call in machine.calls if call.startswith("apt-get"))
    assert machine.calls[-1] == "dockerd"
    files = machine.files()
    assert files["etc/docker/daemon.json"] == '{"features": {"containerd-snapshotter": true}}\n'
    assert files["etc/apt/sources.list.d/debian.sources"] == sources
    assert [path for path in files if path.startswith("etc/apt/")] == ["etc/apt/sources.list.d/debian.sources"]


def test_debian_13s_packages_are_used_without_a_source_in_the_machine(machine: Machine) -> None:
    machine.file("etc/apt/sources.list.d/debian.sources", "Suites: bookworm\n")
    machine.file("etc/apt/preferences.d/mine")
    assert machine.ensure().returncode == 0
    assert {path.name for path in (machine.state / "seen-sources").iterdir()} == {"debian.sources", "trixie.sources"}
    assert {path.name for path in (machine.state / "seen-pins").iterdir()} == {"mine", "trixie"}
    assert "Suites: trixie" in (machine.state / "seen-sources/trixie.sources").read_text()
    pins = (machine.state / "seen-pins/trixie").read_text()
    assert "Package: docker.io docker-cli docker-buildx docker-compose containerd\nPin: release n=trixie" in pins
    assert machine.temporary() == []


def test_debian_13_itself_needs_no_other_source(machine: Machine) -> None:
    machine.os("debian", "13")
    assert machine.ensure().returncode == 0
    assert not (machine.state / "seen-sources").exists()


@pytest.mark.parametrize("step", ["update", "install"])
def test_after_a_failure_no_source_is_left_and_the_reason_is_shown(machine: Machine, step: str) -> None:
    machine.write("apt.fail", step)
    done = machine.ensure()
    assert done.returncode == 1
    assert done.stderr.endswith("E: no space left\n")
    assert machine.temporary() == []


def test_after_ctrl_c_no_source_is_left(machine: Machine) -> None:
    machine.write("apt.wait")
    process = subprocess.Popen(
        [SCRIPTS / "engine/ensure.sh"],
        env=machine.environment(),
        stdout=subprocess.DEVNULL,
        process_group=0,
        # A shell cannot trap a signal that was ignored when it started, as it is for programs started with `&`.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    waiting = machine.state / "apt.waiting"
    deadline = time.monotonic() + 30
    while not waiting.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert machine.temporary() != []
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) in {130, -2}
    assert machine.temporary() == []


def test_an_interrupted_installation_is_continued(machine: Machine) -> None:
    machine.write("apt.fail", "install")
    assert machine.ensure().returncode == 1
    (machine.state / "apt.fail").unlink()
    done = machine.ensure()
    assert done.returncode == 0, done.stderr
    assert "the installation was interrupted; continuing" in done.stdout
    assert machine.calls[-1] == "dockerd"


def test_an_engine_of_ours_is_started_again(machine: Machine) -> None:
    assert machine.ensure().returncode == 0
    (machine.state / "engine").unlink()
    (machine.state / "calls").unlink()
    assert machine.ensure().returncode == 0
    assert machine.calls == ["dockerd"]


def test_an_engine_of_an_earlier_version_is_started_and_otherwise_left(machine: Machine) -> None:
    machine.has_docker()
    machine.file("etc/apt/sources.list.d/botdock-trixie.sources", "Suites: trixie\n")
    before = machine.files()
    done = machine.ensure()
    assert done.returncode == 0, done.stderr
    assert machine.calls == ["dockerd"]
    assert machine.files().keys() - before.keys() == {"var/log/botdock-dockerd.log"}


def test_an_existing_configuration_is_not_replaced(machine: Machine) -> None:
    config = machine.file("etc/docker/daemon.json", '{"debug": true}')
    done = machine.ensure()
    assert done.returncode == 0, done.stderr
    assert config.read_text() == '{"debug": true}'


def test_data_of_an_earlier_docker_get_no_new_configuration(machine: Machine) -> None:
    machine.file("var/lib/docker/volumes/old")
    done = machine.ensure()
    assert done.returncode == 0, done.stderr
    assert "no daemon.json, because /var/lib/docker holds data" in done.stdout
    assert not (machine.root / "etc/docker/daemon.json").exists()


def test_packages_that_are_there_are_not_upgraded(machine: Machine) -> None:
    machine.write("dpkg", "iptables\ncontainerd\nrunc\n")
    assert machine.ensure().returncode == 0
    installs = [call for call in machine.calls if " install " in call]
    assert installs
    assert all("iptables" not in call and " containerd" not in call and " runc" not in call for call in installs)


def test_upgrades_of_dependencies_are_announced(machine: Machine) -> None:
    machine.write("upgrades", "Inst libxtables12 [1.8.9-1] (1.8.9-2 Debian [amd64])\n")
    done = machine.ensure()
    assert "upgrade libxtables12, which they depend on" in done.stdout
    assert "libxtables12" not in (machine.root / "var/lib/botdock/engine/packages").read_text()


def test_too_little_disk_space_stops_it(machine: Machine) -> None:
    machine.write("free", "100")
    done = machine.ensure()
    assert done.returncode == 1
    assert "only 100 MB free" in done.stderr
    assert machine.calls == []
