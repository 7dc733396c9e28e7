"""`make demo`, `make down` and `make clean`, with a name and ports of their own."""

import os
import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes import free_port

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 300


class Demo:
    """One demo with a name of its own."""

    def __init__(self) -> None:
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.key_file = PROJECT / ".botdock" / f"{self.name}.env"
        self.environment = {
            **os.environ,
            "BOTDOCK_PORT": str(free_port()),
            "SIMULATOR_PORT": str(free_port()),
            # Every character that is special in a URL, in compose.yaml or in a shell.
            "POSTGRES_PASSWORD": "p@:/?#% \"'$x{y}&+",
            # A demo ignores these: its data are separate from everything else.
            "DATABASE_URL": "postgresql://nobody:none@127.0.0.1:1/none",
            "BOT_PREFIX": "!",
            "SERVER_NAME": "production",
        }

    def run(self, command: str, *, checkout: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tests.demo", command, "--name", self.name],
            cwd=checkout,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def credentials(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.key_file.read_text().split())

    def containers(self) -> dict[str, str]:
        """The start time of each running container, by id and name."""
        names = [f"label=com.docker.compose.project=botdock-{self.name}", f"label=botdock.server={self.name}"]
        ids = [id_ for name in names for id_ in docker("ps", "--quiet", "--filter", name).split()]
        form = "{{.Id}} {{.Name}}|{{.State.StartedAt}}"
        rows = docker("inspect", "--format", form, *ids).splitlines() if ids else []
        return dict(row.split("|") for row in rows)

    def left(self) -> list[str]:
        """This demo's containers, volumes and networks in the engine."""
        found = []
        for command in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
            project = f"botdock-{self.name}"
            for label in (
                f"com.docker.compose.project={project}",
                f"botdock.server={self.name}",
                f"botdock.stack={project}",
            ):
                found += docker(*command, "--quiet", "--filter", f"label={label}").split()
        return found


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """A demo that was run once."""
    demo = Demo()
    try:
        done = demo.run("demo")
        assert done.returncode == 0, done.stdout + done.stderr
        yield demo
    finally:
        demo.run("clean")


def test_url_and_key_are_stored_for_their_owner_alone(demo: Demo) -> None:
    stored = demo.credentials()
    assert stat.S_IMODE(demo.key_file.stat().st_mode) == 0o600
    answer = httpx.get(f"{stored['BOTDOCK_URL']}/api/bots", headers={"X-Api-Key": stored["BOTDOCK_API_KEY"]})
    assert {bot["id"]: bot["status"]["phase"] for bot in answer.json()["items"]} == {
        "alpha": "online",
        "beta": "online",
        "gamma": "online",
    }


def test_running_it_again_restarts_nothing_and_shows_the_answers_again(demo: Demo) -> None:
    before = demo.containers()
    assert len(before) == 7, "postgres, api, controller, simulator and three bots"
    done = demo.run("demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": pong ") == 4
    assert "open from nine to five, Ana" in done.stdout
    assert "an image, image/png" in done.stdout
    assert "botdock-" + demo.name + "-alpha" in done.stdout
    assert demo.containers() == before


def test_a_lost_key_is_replaced(demo: Demo) -> None:
    lost = demo.credentials()["BOTDOCK_API_KEY"]
    demo.key_file.unlink()
    done = demo.run("demo")
    assert done.returncode == 0, done.stderr
    assert demo.credentials()["BOTDOCK_API_KEY"] not in {"", lost}


def test_after_down_nothing_runs_and_the_next_start_needs_no_qr_code(demo: Demo) -> None:
    done = demo.run("down")
    assert done.returncode == 0, done.stderr
    assert demo.containers() == {}
    done = demo.run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has scanned the code" not in done.stdout


def test_a_port_in_use_is_named_with_the_variable_that_changes_it(demo: Demo) -> None:
    other = Demo()
    done = other.run("demo", BOTDOCK_PORT=demo.environment["BOTDOCK_PORT"])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"demo: FAILED: port {demo.environment['BOTDOCK_PORT']} is in use by the container botdock-{demo.name}-api-1; "
    )
    assert "make demo BOTDOCK_PORT=" in done.stderr
    assert other.left() == []


def test_a_missing_image_is_named_with_what_to_do() -> None:
    other = Demo()
    done = other.run("demo", BOTDOCK_TAG="never-built")
    assert done.returncode == 1
    assert "demo: FAILED: the image botdock/bot-simulated:never-built is missing; run 'make images'" in done.stderr
    assert other.left() == []


def test_an_unavailable_engine_is_an_error_with_what_to_do() -> None:
    done = Demo().run("demo", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 1
    assert done.stderr.startswith("demo: FAILED: ")
    assert "run 'make engine'" in done.stderr.splitlines()[-1]


def test_another_checkout_gets_an_error_and_cannot_stop_or_remove_the_demo(demo: Demo, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "tests/demo", tmp_path / "tests/demo", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "tests/__init__.py", tmp_path / "tests")
    shutil.copy(PROJECT / "compose.yaml", tmp_path)
    before = demo.containers()
    assert before
    done = demo.run("demo", checkout=tmp_path)
    assert done.returncode == 1
    assert f"'botdock-{demo.name}' on this engine belongs to the checkout {PROJECT}; " in done.stderr
    for command in ("down", "clean"):
        done = demo.run(command, checkout=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"botdock-{demo.name} belongs to the checkout {PROJECT}: not touched" in done.stdout
    assert demo.containers() == before


def test_clean_leaves_nothing_behind(demo: Demo) -> None:
    assert demo.left() != []
    done = demo.run("clean")
    assert done.returncode == 0, done.stderr
    assert demo.left() == []
    assert not demo.key_file.exists()
