"""Services that run as child processes: `python -m orchestrator …`, `python -m whatsapp_simulator …`."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.support.eventually import DEADLINE_SECONDS, eventually

ROOT = Path(__file__).resolve().parents[2]

_PORTS_PER_WORKER = 500
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20
_FIRST_PORT = 20_000 + _WORKER * _PORTS_PER_WORKER
_PORT_OFFSETS = itertools.cycle((number + os.getpid()) % _PORTS_PER_WORKER for number in range(_PORTS_PER_WORKER))


def measured() -> dict[str, str]:
    """The variables that enable coverage in a process that is started with a custom environment."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS_")}


class ServiceProcess:
    """A Python module that serves HTTP at `url`. The caller has to stop it."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        url: str,
        ready_path: str,
        environment: Mapping[str, str],
        log: Path,
        prefix: Sequence[str] = (),
    ) -> None:
        """Start `python -m {arguments}`, optionally behind a `prefix` (`nsenter …`); `log` receives its output."""
        self.url = url
        self.log = log
        self._ready_url = url + ready_path
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-m", *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self, *, deadline: float = DEADLINE_SECONDS) -> None:
        """Wait until its readiness path answers 200."""

        def ready() -> bool:
            assert self._process.poll() is None, f"it exited with {self._process.returncode}: {self.tail()}"
            try:
                return httpx.get(self._ready_url, timeout=2, trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        try:
            eventually(ready, deadline=deadline, what=self._ready_url)
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}; its log ends: {self.tail()}") from None

    def stop(self, *, deadline: float = DEADLINE_SECONDS) -> int:
        """Send SIGTERM; the exit code."""
        return self._end(signal.SIGTERM, deadline)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._end(signal.SIGKILL, DEADLINE_SECONDS)

    def suspend(self) -> None:
        """Send SIGSTOP: it keeps its lock and connections but does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def tail(self, lines: int = 15) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, number: int, deadline: float) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(deadline)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that is free now.

    Each worker of a test run has a range of its own, below the one from which the kernel takes ports for outgoing
    connections: nobody else takes the port before it is used.
    """
    for offset in _PORT_OFFSETS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, _FIRST_PORT + offset))
            except OSError:
                continue
            return _FIRST_PORT + offset
    raise AssertionError("unreachable: the offsets repeat forever")
