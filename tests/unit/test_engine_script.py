"""`make engine` and `make engine-remove`: on every kind of machine, they change only what they have to.

The machine is a directory, its programs are stubs on PATH that record their calls. No real package manager, service
manager or engine can be reached.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "images"
# fmt: off
COREUTILS = [
    "awk", "cat", "chmod", "cp", "cut", "date", "dirname", "echo",
    "env", "grep", "head", "ls", "mkdir", "mktemp", "mv", "printf",
    "rm", "rmdir", "sed", "sh", "sleep", "sort", "tail", "tr",
]
# fmt: on

DOCKER = """#!/bin/sh
[ -e "$M/engine" ] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; }
case "$*" in
version*) cat "$M/engine" ;;
"ps --all"*) cat "$M/containers" 2>/dev/null || true ;;
"volume ls"*) cat "$M/volumes" 2>/dev/null || true ;;
esac
"""
PLUGIN_AWARE = """case "$1 $2" in "buildx version" | "compose version") [ -e "$M/plugins" ]; exit ;; esac
case "$1 $2" in "context show") cat "$M/context" 2>/dev/null || echo default; exit ;; esac
[ "$1" != --version ] || { cat "$M/docker-version" 2>/dev/null || echo "Docker version 26"; exit; }
"""
# Installs a working docker; `apt.fail` makes the step named in it fail.
APT_GET = """#!/bin/sh
echo "apt-get $*" >>"$M/calls"
case "$*" in
indextargets*) echo "http://mirror.test/debian bookworm"; exit ;;
*--simulate*purge* | *--simulate*remove*)
    for p in $(cat "$M/dpkg"); do echo "Purg $p [1]"; done; cat "$M/dependents" 2>/dev/null; exit 0 ;;
*--simulate*)
    for w in $*; do case "$w" in
    docker* | containerd | runc | iptables) echo "Inst $w (1.0 Debian [amd64])" ;; esac; done
    echo "Inst tini (1.0 Debian [amd64])"; cat "$M/upgrades" 2>/dev/null; exit 0 ;;
*" update"*) step=update ;;
*" install "*) step=install ;;
*) step=remove ;;
esac
for w in $*; do case "$w" in Dir::Etc::SourceParts=*)
    rm -rf "$M/seen-sources" "$M/seen-pins"
    cp -r "${w#*=}" "$M/seen-sources"; cp -r "${w#*=}/../preferences.d" "$M/seen-pins" ;; esac; done 2>/dev/null
[ ! -e "$M/apt.wait" ] || { : >"$M/apt.waiting"; sleep 30; }
if [ "$(cat "$M/apt.fail" 2>/dev/null)" = "$step" ]; then echo "E: no space left" >&2; exit 100; fi
case "$step" in
install)
    for w in $*; do case "$w" in docker* | containerd | runc | iptables) echo "$w" >>"$M/dpkg" ;; esac; done
    echo tini >>"$M/dpkg"
    cp "$M/stubs/docker" "$M/stubs/dockerd" "$M/bin/"; : >"$M/plugins" ;;
remove) rm -f "$M/dpkg" "$M/bin/docker" "$M/bin/dockerd" ;;
esac
"""
DPKG_QUERY = """#!/bin/sh
for p in "$@"; do :; done
grep -qx "$p" "$M/dpkg" 2>/dev/null && printf installed
"""
SIMPLE = {
    "id": '[ "$1" = -un ] && echo ana && exit; cat "$M/uid"',
    "df": 'printf "h\\nd 9000 1 %s\\n" "$(cat "$M/free" 2>/dev/null || echo 8000)" | awk \'NR == 1 || $4 = $4\'',
    "pidof": "exit 1",
    "setsid": 'exec "$@"',
    "systemctl": 'echo "systemctl $*" >>"$M/calls"; [ "$1" != start ] || echo 26.1 >"$M/engine"',
}


class Machine:
    """A machine without Docker, until a test changes that."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.root = folder / "root"
        self.bin = self.state / "bin"
        self.stubs = self.state / "stubs"
        self.bin.mkdir(parents=True)
        self.stubs.mkdir()
        for name in COREUTILS:
            program = shutil.which(name)
            assert program is not None
            (self.bin / name).symlink_to(program)
        for name, body in SIMPLE.items():
            self.program(name, f"#!/bin/sh\n{body}\n")
        self.program("apt-get", APT_GET)
        self.program("dpkg-query", DPKG_QUERY)
        self.program("docker", DOCKER.replace("\n", "\n" + PLUGIN_AWARE, 1), self.stubs)
        self.program("dockerd", '#!/bin/sh\necho dockerd >>"$M/calls"\necho 26.1 >"$M/engine"\n', self.stubs)
        for path in ("var/lib", "var/log", "etc/apt", "run"):
            (self.root / path).mkdir(parents=True)
        self.write("uid", "0")
        self.os("debian", "12")

    def os(self, name: str, version: str) -> None:
        (self.root / "etc/os-release").write_text(f'ID={name}\nVERSION_ID="{version}"\n')

    def program(self, name: str, body: str, folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.write_text(body)
        path.chmod(0o755)

    def write(self, name: str, text: str = "") -> None:
        (self.state / name).write_text(text)

    def file(self, path: str, text: str = "x") -> Path:
        """A file of the machine."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def has_docker(self, *, plugins: bool = True, running: bool = False, daemon: bool = True) -> None:
        """Docker from somebody else."""
        shutil.copy(self.stubs / "docker", self.bin)
        if daemon:
            shutil.copy(self.stubs / "dockerd", self.bin)
        if plugins:
            self.write("plugins")
        if running:
            self.write("engine", "27.0\n")

    def environment(self, **variables: str) -> dict[str, str]:
        temporary = self.state / "tmp"
        temporary.mkdir(exist_ok=True)
        return {
            "PATH": str(self.bin),
            "M": str(self.state),
            "TMPDIR": str(temporary),
            "BOTDOCK_ENGINE_ROOT": str(self.root),
            **variables,
        }

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPTS / "engine" / script],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )

    def ensure(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("ensure.sh", **variables)

    def remove(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("remove.sh", **variables)

    @property
    def calls(self) -> list[str]:
        """What was called that changes a machine: apt-get except to look, systemctl, dockerd."""
        file = self.state / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if "indextargets" not in line and "--simulate" not in line]

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.root)): path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def temporary(self) -> list[str]:
        folder = self.state / "tmp"
        return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


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
    )
    waiting = machine.state / "apt.waiting"
    deadline = time.monotonic() + 30
    while not waiting.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert machine.temporary() != []
    os.killpg(process.pid, 2)
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
