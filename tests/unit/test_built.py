"""Targets that need the images build them when they must: after a change, on a fresh clone, when one was replaced."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "images" / "built.sh"
INPUTS = ("bot_runtime", "orchestrator", "tests/simulator", "requirements", "docker-bake.hcl")
ENGINE = """#!/bin/sh
[ -e "$(dirname "$0")/images" ] && cat "$(dirname "$0")/images"
"""


class Checkout:
    """A small checkout with an engine that is a file of image ids."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "images").mkdir(parents=True)
        shutil.copy(SCRIPT, root / "images" / "built.sh")
        for name in INPUTS:
            (root / name).mkdir(parents=True)
            (root / name / "file").write_text("x")
        engine = root / "bin" / "docker"
        engine.parent.mkdir()
        engine.write_text(ENGINE)
        engine.chmod(0o755)
        self.images = root / "bin" / "images"

    def run(self, step: str) -> bool:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return (
            subprocess.run([self.root / "images" / "built.sh", step], env={"PATH": path}, check=False).returncode == 0
        )

    def build(self) -> None:
        assert self.run("begin")
        self.images.write_text("one\ntwo\n")
        assert self.run("end")

    def change(self, name: str) -> None:
        """Write a file, a while later as far as its time tells."""
        path = self.root / name
        path.write_text("y")
        later = time.time() + 60
        os.utime(path, (later, later))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_a_fresh_clone_builds(checkout: Checkout) -> None:
    assert not checkout.run("check")


def test_once_built_nothing_is_to_do(checkout: Checkout) -> None:
    checkout.build()
    assert checkout.run("check")


@pytest.mark.parametrize("path", ["bot_runtime/file", "bot_runtime/new"])
def test_a_file_that_is_new_or_changed(checkout: Checkout, path: str) -> None:
    checkout.build()
    checkout.change(path)
    assert not checkout.run("check")


def test_a_file_that_is_gone(checkout: Checkout) -> None:
    checkout.build()
    (checkout.root / "orchestrator" / "file").unlink()
    assert not checkout.run("check")


def test_bytecode_is_no_change(checkout: Checkout) -> None:
    checkout.build()
    checkout.change("orchestrator/file.pyc")
    assert checkout.run("check")


def test_a_file_that_was_changed_while_the_images_were_built(checkout: Checkout) -> None:
    assert checkout.run("begin")
    checkout.change("bot_runtime/file")
    checkout.images.write_text("one\n")
    assert checkout.run("end")
    assert not checkout.run("check")


def test_images_of_another_checkout(checkout: Checkout) -> None:
    checkout.build()
    checkout.images.write_text("one\nthree\n")
    assert not checkout.run("check")


def test_a_missing_image(checkout: Checkout) -> None:
    checkout.build()
    checkout.images.unlink()
    assert not checkout.run("check")


def test_a_build_of_some_images_only_is_no_build(checkout: Checkout) -> None:
    assert checkout.run("begin")
    assert checkout.run("end")  # the engine still lacks others, and says so by its exit code
    assert not checkout.run("check")
