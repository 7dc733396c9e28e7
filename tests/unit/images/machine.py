"""A machine for `make engine` and `make engine-remove`.

It is a directory; its programs are stubs on PATH that record their calls. No real package manager, service manager or
engine can be reached.
"""

import shutil
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).parents[3] / "images"
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
[ ! -e "$M/apt.wait" ] || { : >"$M/apt.waiting"; exec sleep 30; }
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
