"""A separate Docker engine that a test may restart or fill up without affecting the shared one.

It runs in a network namespace of its own (two daemons in one namespace remove each other's bridges and packet filters),
with its own data, socket and containerd. Processes that must reach its containers run in that namespace too (`prefix`);
the test reaches them through `address`, the namespace's end of a veth pair. Needs root.
"""

import errno
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import docker

from tests.support.eventually import eventually


class OwnEngine:
    """A second dockerd. `close` stops it and removes all of its files, containers and interfaces."""

    def __init__(self, folder: Path, *, data_megabytes: int | None = None) -> None:
        """Start it with its files in `folder`; `data_megabytes` limits its disk."""
        self._name = f"bd{uuid.uuid4().hex[:6]}"
        self._folder = folder
        self._data = folder / "data"
        self._data.mkdir(parents=True)
        # The path of a socket has at most 108 bytes, and containerd's are deep below the exec root.
        self._run = Path("/run") / f"botdock-{self._name}"
        self._run.mkdir()
        self._limited = data_megabytes is not None
        if data_megabytes is not None:
            _run(["mount", "-t", "tmpfs", "-o", f"size={data_megabytes}m", "tmpfs", str(self._data)])
        number = int(uuid.uuid4().hex[:4], 16) % 16384
        self._host_address = f"10.214.{number // 64}.{number % 64 * 4 + 1}"
        self.address = f"10.214.{number // 64}.{number % 64 * 4 + 2}"
        """The namespace's address, as seen from outside."""
        self._bridge_address = f"10.215.{number % 256}.1"
        self.host = f"unix://{self._run}/docker.sock"
        # Not `ip netns exec`, which mounts another /sys and so hides the cgroups.
        self.prefix = ["nsenter", f"--net=/run/netns/{self._name}"]
        """Put before a command to run it where this engine's containers can be reached."""
        self._daemon: subprocess.Popen[bytes] | None = None
        self._make_namespace()
        self.start()

    @property
    def data(self) -> Path:
        """The folder with its images, containers and volumes."""
        return self._data

    def reachable(self, url: str) -> str:
        """The URL by which the namespace reaches a service that listens on all addresses of this machine."""
        host = urlsplit(url).hostname
        assert host is not None
        return url.replace(f"@{host}:", f"@{self._host_address}:")

    def client(self) -> docker.DockerClient:
        """A client of this engine."""
        return docker.DockerClient(base_url=self.host)

    def start(self, *, wait: bool = True) -> None:
        """Start the daemon."""
        (self._run / "docker.pid").unlink(missing_ok=True)
        with (self._folder / "dockerd.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                [
                    *self.prefix,
                    "dockerd",
                    f"--host={self.host}",
                    f"--data-root={self._data}",
                    f"--exec-root={self._run}/exec",
                    f"--pidfile={self._run}/docker.pid",
                    f"--config-file={self._folder}/daemon.json",
                    # Not the default subnet: the namespace reaches this machine's own containers by it.
                    f"--bip={self._bridge_address}/24",
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        if wait:
            eventually(self._answers, what="the separate engine")

    def stop(self) -> None:
        """SIGTERM: its containers are stopped with it, as in an upgrade of the engine."""
        assert self._daemon is not None
        self._daemon.terminate()
        self._daemon.wait(60)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait(60)

    def lose_data(self) -> None:
        """Remove all it stores, while it is stopped: it starts with another id."""
        for path in self._data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def load_images(self, names: Sequence[str]) -> None:
        """Copy images from the shared engine."""
        with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as save:
            subprocess.run(
                ["docker", "-H", self.host, "load", "-q"], stdin=save.stdout, check=True, capture_output=True
            )
        assert save.returncode == 0

    def volumes(self) -> list[str]:
        """The names of its volumes."""
        with closing(self.client()) as client:
            return [volume.name for volume in client.volumes.list()]

    def fill_up(self) -> Path:
        """Fill its limited disk to the last byte; the returned file must be removed to make room again."""
        assert self._limited
        ballast = self._data / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError as exc:
                assert exc.errno == errno.ENOSPC  # noqa: PT017 - filling the disk is the purpose
        return ballast

    def close(self) -> None:
        """Stop it and remove its files, its namespace and its mounts."""
        if self._daemon is not None and self._daemon.poll() is None:
            # It does not answer if the test is interrupted while the daemon starts or stops.
            if self._answers():
                with closing(self.client()) as client:
                    for container in client.api.containers(all=True):
                        client.api.remove_container(container["Id"], force=True, v=True)
            self.stop()
        _run(["ip", "netns", "del", self._name], check=False)
        _run(["ip", "link", "del", self._name], check=False)
        # dockerd mounts its data folder over itself and does not always unmount it; the tmpfs may be below.
        while subprocess.run(["umount", "-l", str(self._data)], capture_output=True, check=False).returncode == 0:
            pass
        shutil.rmtree(self._run, ignore_errors=True)
        shutil.rmtree(self._data)

    def _answers(self) -> bool:
        assert self._daemon is not None
        if self._daemon.poll() is not None:
            raise RuntimeError(f"dockerd exited: {(self._folder / 'dockerd.log').read_text()[-2000:]}")
        # Not docker-py, which leaks a socket while nobody listens yet.
        version = ["docker", "-H", self.host, "version", "--format", "{{.Server.Version}}"]
        return subprocess.run(version, capture_output=True, check=False).returncode == 0

    def _make_namespace(self) -> None:
        (self._folder / "daemon.json").write_text("{}")
        inside = f"{self._name}i"
        _run(["ip", "netns", "add", self._name])
        _run(["ip", "link", "add", self._name, "type", "veth", "peer", "name", inside, "netns", self._name])
        _run(["ip", "addr", "add", f"{self._host_address}/30", "dev", self._name])
        _run(["ip", "link", "set", self._name, "up"])
        for command in (
            ["ip", "addr", "add", f"{self.address}/30", "dev", inside],
            ["ip", "link", "set", inside, "up"],
            ["ip", "link", "set", "lo", "up"],
            ["ip", "route", "add", "default", "via", self._host_address],
        ):
            _run([*self.prefix, *command])


def _run(command: list[str], *, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
