"""A simulator in a separate process, on free ports."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import whatsapp_simulator

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0


class SimulatorProcess:
    """A running simulator; create it with `start`. log: its log file."""

    def __init__(self, process: asyncio.subprocess.Process, proxy_port: int, control_port: int, log: Path) -> None:
        self._process = process
        self.proxy_port = proxy_port
        self.url = f"http://127.0.0.1:{control_port}"
        self.log = log

    @classmethod
    async def start(
        cls, folder: Path, *, state_file: Path | None = None, proxy_port: int = 0, host: str = "127.0.0.1"
    ) -> SimulatorProcess:
        """Start a simulator and wait until it is ready; RuntimeError with its log if it does not start."""
        command = [sys.executable, "-m", "whatsapp_simulator", "serve", "--host", host, "--control-port", "0"]
        command += ["--proxy-port", str(proxy_port)]
        if state_file is not None:
            command += ["--state-file", str(state_file)]
        package = Path(whatsapp_simulator.__file__ or "").parents[1]
        log = folder / "simulator.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(package)},
            )
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator did not start:\n{log.read_text()}")
        ports = json.loads(line)
        return cls(process, ports["proxyPort"], ports["controlPort"], log)

    async def stop(self) -> int:
        """Stop the process with SIGTERM; returns its exit status."""
        if self._process.returncode is None:
            self._process.terminate()
        async with asyncio.timeout(_STOP_SECONDS):
            await self._process.communicate()
        return self._process.returncode or 0

    async def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()
