"""A real runtime (a subprocess with real neonize) against the simulated WhatsApp network."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.bot_runtime.harness import Network, RuntimeProcess, Start, new_phone, patched_neonize


@pytest.fixture(scope="session")
def neonize_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with a neonize that trusts the simulator."""
    site = tmp_path_factory.mktemp("site")
    patched_neonize(site)
    return site


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One simulated network for all tests; each test uses its own phone numbers."""
    directory = tmp_path_factory.mktemp("network")
    environment = {**os.environ, "PYTHONPATH": "tests/simulator"}
    module = [sys.executable, "-m", "whatsapp_simulator"]
    subprocess.run([*module, "keys", "--out", str(directory)], env=environment, check=True)
    ports = ["--host", "127.0.0.1", "--proxy-port", "0", "--control-port", "0", "--log-level", "warning"]
    with subprocess.Popen([*module, "serve", *ports], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())
        network = Network(listening["controlPort"], listening["proxyPort"], directory / "ca.pem")
        yield network
        network.close()
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture
def start(network: Network, neonize_site: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts runtimes on one volume; prints their logs and ends them after the test."""
    started: list[RuntimeProcess] = []

    def start_runtime(**options: object) -> RuntimeProcess:
        process = RuntimeProcess(tmp_path, neonize_site, network, len(started), **options)  # type: ignore[arg-type]
        started.append(process)
        return process

    yield start_runtime
    for process in started:
        process.discard()
        print(f"--- log of {process.log.name}\n{process.log.read_text()}")


@pytest.fixture
def bot(start: Start, network: Network) -> RuntimeProcess:
    """A bot that is online."""
    bot = start()
    bot.pair(network, new_phone())
    return bot


@pytest.fixture
def contact(network: Network) -> str:
    """The number of a contact who writes to the bot."""
    return network.person("Ada")
