"""Whatever happens to a bot's container, the bot recovers, reports the reason, and needs no QR."""

import itertools
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.fleet import Fleet

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@dataclass(frozen=True)
class Patient:
    """An online bot whose container the test damages."""

    id: str
    phone: str
    codes: int
    """Number of QR codes that it showed until it was paired."""


_numbers = itertools.count(491700000201)


@pytest.fixture
def patient(fleet: Fleet) -> Iterator[Patient]:
    """A paired bot for one test. Afterwards it must be online, without another pairing, and have one container."""
    phone = str(next(_numbers))
    bot = f"heal-{phone[-3:]}"
    fleet.online(bot, phone)
    patient = Patient(bot, phone, len(fleet.events(bot, "qr")))
    yield patient
    fleet.wait_phase(bot, "online")
    assert len(fleet.events(bot, "qr")) == patient.codes
    assert fleet.containers() == [fleet.name(bot)]
    assert fleet.phones.ask(f"49151{phone[-6:]}", phone, ".ping") == "pong"
    fleet.delete(bot)


def _wait_return(fleet: Fleet, patient: Patient, reason: str) -> dict[str, Any]:
    """Wait until the bot was started again after an exit for this reason; returns what is reported about that exit."""
    status = fleet.wait_status(
        patient.id, lambda status: status["restarts"] == 1 and status["phase"] == "online", what="its recovery"
    )
    exit_: dict[str, Any] = status["lastExit"]
    assert exit_["reason"] == reason, exit_
    return exit_


def test_a_killed_bot_is_restarted(fleet: Fleet, patient: Patient) -> None:
    before = fleet.status(patient.id)
    fleet.container(patient.id).kill("KILL")
    exit_ = _wait_return(fleet, patient, "killed")
    assert exit_["exitCode"] == 137
    assert exit_["containerId"] == before["containerId"]
    assert any("bot_runtime" in line for line in exit_["logs"]), "its last log lines are stored"
    assert fleet.status(patient.id)["containerId"] == before["containerId"], "the same container is started again"


def test_a_crash_inside_the_container_is_reported_with_its_exit_code(fleet: Fleet, patient: Patient) -> None:
    # SIGABRT is how a Go panic in neonize ends the process.
    _signal_runtime(fleet, patient, signal.SIGABRT)
    exit_ = _wait_return(fleet, patient, "crashed")
    assert exit_["exitCode"] == 128 + signal.SIGABRT


def test_an_out_of_memory_kill_is_reported_as_such(fleet: Fleet, patient: Patient) -> None:
    # The kernel kills the process with the highest score: the bot, not the memory hog beside it.
    for pid in _pids(fleet, patient):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    hog = "x = [bytearray(1 << 20) for _ in range(1024)]"
    fleet.container(patient.id).exec_run(["/usr/bin/python3.13", "-c", hog], detach=True)
    exit_ = _wait_return(fleet, patient, "oom-killed")
    assert exit_["oomKilled"] is True
    assert fleet.events(patient.id, "container-oom")


def test_a_hung_bot_is_replaced(fleet: Fleet, patient: Patient) -> None:
    before = fleet.status(patient.id)
    _signal_runtime(fleet, patient, signal.SIGSTOP)
    _wait_return(fleet, patient, "liveness-failed")
    assert fleet.status(patient.id)["containerId"] != before["containerId"]


def test_a_paused_container_is_replaced(fleet: Fleet, patient: Patient) -> None:
    fleet.container(patient.id).pause()
    _wait_return(fleet, patient, "liveness-failed")


def test_a_bot_cut_off_from_its_network_is_replaced(fleet: Fleet, patient: Patient) -> None:
    fleet.docker.networks.get(f"botdock-{fleet.server}").disconnect(fleet.name(patient.id), force=True)
    _wait_return(fleet, patient, "liveness-failed")


def test_a_container_removed_by_hand_is_recreated(fleet: Fleet, patient: Patient) -> None:
    before = fleet.status(patient.id)
    fleet.container(patient.id).remove(force=True)
    _wait_return(fleet, patient, "container-removed")
    assert fleet.status(patient.id)["containerId"] != before["containerId"]


def test_a_container_stopped_by_hand_is_restarted(fleet: Fleet, patient: Patient) -> None:
    fleet.container(patient.id).stop()
    exit_ = _wait_return(fleet, patient, "exited")
    assert exit_["exitCode"] == 0


def test_a_container_renamed_by_hand_is_replaced(fleet: Fleet, patient: Patient) -> None:
    container = fleet.container(patient.id)
    container.rename(f"{fleet.name(patient.id)}-renamed")
    eventually(lambda: fleet.containers(), lambda names: names == [fleet.name(patient.id)], what="one container")


def test_repeated_crashes_back_off_and_then_become_a_crash_loop(fleet: Fleet, patient: Patient) -> None:
    for crashes in range(1, 6):
        fleet.container(patient.id).kill("KILL")
        if crashes < 5:
            fleet.wait_status(patient.id, partial(_is_back, crashes))
    status = fleet.wait_phase(patient.id, "crash-loop")
    assert status["reason"] == "killed"
    assert status["nextStartAt"] is not None
    # An operator can start it without waiting.
    fleet.call("POST", f"/api/bots/{patient.id}/start")


def _is_back(restarts: int, status: dict[str, Any]) -> bool:
    return bool(status["restarts"] == restarts and status["phase"] == "online")


def _pids(fleet: Fleet, patient: Patient) -> list[int]:
    """The host's pids of the runtime inside the container, except docker-init."""
    init = fleet.container(patient.id).attrs["State"]["Pid"]
    listed = subprocess.run(["pgrep", "-P", str(init)], capture_output=True, text=True, check=True)
    return [int(pid) for pid in listed.stdout.split()]


def _signal_runtime(fleet: Fleet, patient: Patient, number: signal.Signals) -> None:
    for pid in _pids(fleet, patient):
        subprocess.run(["kill", f"-{number.value}", str(pid)], check=True)


def test_a_bot_whose_network_was_created_again_gets_a_new_container(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    controller = fleet.start_controller()
    fleet.create("network")
    before = fleet.wait_phase("network", "pairing")["containerId"]
    controller.stop()
    fleet.container("network").kill()
    network = fleet.docker.networks.get(f"botdock-{fleet.server}")
    for container in network.containers:
        network.disconnect(container, force=True)
    network.remove()
    fleet.start_controller()
    status = fleet.wait_status(
        "network", lambda status: status["phase"] == "pairing" and status["containerId"] != before
    )
    assert status["restarts"] == 1
