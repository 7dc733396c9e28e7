"""Targets that need the images build them only if necessary: after a change, on a fresh clone, with old packages …"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "images" / "built.sh"
INPUTS = ("bot_runtime", "orchestrator", "tests/simulator", "requirements", "docker-bake.hcl")
ENGINE = """#!/bin/sh
[ -e "$(dirname "$0")/images" ] && cat "$(dirname "$0")/images"
"""


class Checkout:
    """A small checkout, and an engine that is a file of image ids."""

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

    def run(self, step: str, **variables: str) -> bool:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        command = [str(self.root / "images" / "built.sh"), step]
        return subprocess.run(command, env={"PATH": path, **variables}, check=False).returncode == 0

    def build(self) -> None:
        assert self.run("begin")
        self.images.write_text("one\ntwo\n")
        assert self.run("end")

    def change(self, name: str) -> None:
        """Write a file with a later modification time."""
        path = self.root / name
        path.write_text("y")
        later = time.time() + 60
        os.utime(path, (later, later))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_a_fresh_clone_builds(checkout: Checkout) -> None:
    assert not checkout.run("check")


def test_after_a_build_there_is_nothing_to_do(checkout: Checkout) -> None:
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


def test_bytecode_does_not_count_as_a_change(checkout: Checkout) -> None:
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


def test_a_build_of_some_images_only_does_not_count(checkout: Checkout) -> None:
    assert checkout.run("begin")
    assert checkout.run("end")  # the engine still lacks others
    assert not checkout.run("check")


@pytest.mark.parametrize(
    ("stamp", "due"), [("python-amd64", True), ("postgres-arm64", True), ("bot-site-amd64", False)]
)
def test_old_packages_are_fetched_again(checkout: Checkout, stamp: str, due: bool) -> None:
    checkout.build()
    path = checkout.root / "images/.build/stamps" / stamp
    path.parent.mkdir()
    path.write_text("")
    then = time.time() - 8 * 86_400
    os.utime(path, (then, then))
    assert checkout.run("check") is not due
    assert checkout.run("check", BASE_MAX_AGE_DAYS="9")


def test_another_tag_means_other_images(checkout: Checkout) -> None:
    checkout.build()
    (checkout.root / "bin/docker").write_text('#!/bin/sh\necho "$@" >"$(dirname "$0")/asked"\n')
    checkout.run("check", BOTDOCK_TAG="second")
    assert "botdock/bot:second botdock/orchestrator:second" in (checkout.root / "bin/asked").read_text()
