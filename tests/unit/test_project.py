"""What the project says about itself in several files is the same everywhere."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from bot_runtime.contract import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
REPOSITORY = PROJECT["urls"]["Repository"]


def run_console_script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run what an installed `botdock` runs; returns its exit code."""
    module, _, function = PROJECT["scripts"]["botdock"].partition(":")
    monkeypatch.setattr("sys.argv", ["botdock", *arguments])
    with pytest.raises(SystemExit) as exited:
        raise SystemExit(getattr(importlib.import_module(module), function)())
    return exited.value.code


def test_the_console_script_prints_its_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_console_script(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"botdock {VERSION}\n"


def test_the_console_script_lists_its_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_console_script(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: botdock ")
    for command in ["api", "controller", "all", "migrate", "key"]:
        assert re.search(rf"^    {command}\b", shown, re.MULTILINE), command


def test_the_readme_begins_with_the_description() -> None:
    assert README.split("\n")[2] == PROJECT["description"]


def test_the_badges_are_true() -> None:
    minimum = PROJECT["requires-python"].removeprefix(">=")
    assert f"python-{minimum}%2B-blue" in README
    assert f"license-{PROJECT['license'].replace('-', '--')}-blue" in README
    assert f"{REPOSITORY}/actions/workflows/ci.yml/badge.svg" in README
    assert (ROOT / ".github/workflows/ci.yml").exists()
    assert f"Programming Language :: Python :: {minimum}" in PROJECT["classifiers"]


def test_one_repository_is_named() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.*")]
    named = {match for page in pages for match in re.findall(r"https://github\.com/botdock/[\w-]+", page.read_text())}
    assert named == {REPOSITORY}
    assert all(url.startswith(REPOSITORY) for url in PROJECT["urls"].values())


def test_links_into_the_repository_lead_to_a_file() -> None:
    for url in PROJECT["urls"].values():
        if found := re.search(r"/(?:blob|tree)/main/(.*)$", url):
            assert (ROOT / found[1]).exists(), url
