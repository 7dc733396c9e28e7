"""Which images `make demo` and `make up` build: those that the stack will run, as compose resolves their names."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The real Makefile and compose.yaml, with programs that only print what they would build."""
    for name in ("Makefile", "compose.yaml"):
        shutil.copy(PROJECT / name, tmp_path / name)
    programs = {
        "images/engine/ensure.sh": "true",
        "images/venv.sh": "true",
        "images/built.sh": '[ "$1" != check ]',
        ".venv/bin/python": 'echo "$@"',
        "requirements/dev.txt": "",
        ".venv/.installed": "",  # last, so that it is newer than what it depends on
    }
    for name, content in programs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{content}\n")
        path.chmod(0o755)
    return tmp_path


def built(checkout: Path, dotenv: str = "", **variables: str) -> str:
    """The output of `make built`."""
    (checkout / ".env").write_text(dotenv)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BOTDOCK_", "MAKE"))}
    command = ["make", "--no-print-directory", "built"]
    done = subprocess.run(
        command, cwd=checkout, env=inherited | variables, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_the_default_tag(checkout: Path) -> None:
    assert built(checkout) == "-m images.builder build --tag dev\n"


def test_the_tag_in_the_env_file(checkout: Path) -> None:
    assert built(checkout, 'BOTDOCK_TAG="second"\n') == "-m images.builder build --tag second\n"


def test_the_environment_overrides_the_env_file(checkout: Path) -> None:
    output = built(checkout, "BOTDOCK_TAG=second\n", BOTDOCK_TAG="third")
    assert output == "-m images.builder build --tag third\n"


def test_images_of_a_registry_in_the_env_file_are_not_built(checkout: Path) -> None:
    output = built(checkout, "BOTDOCK_REGISTRY=registry.example:5000/bots\n")
    assert output == "images: from registry.example:5000/bots, nothing to build\n"


def test_an_invalid_env_file_is_reported(checkout: Path) -> None:
    assert "images: FAILED: 'docker compose config' fails" in built(checkout, "'\n")


def test_an_invalid_port_is_left_to_the_next_step(checkout: Path) -> None:
    assert built(checkout, BOTDOCK_PORT="x") == "-m images.builder build --tag dev\n"
