"""The workflows run nothing that could be replaced or injected from outside, and push nothing untested."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot_runtime.contract import VERSION

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
parametrized = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def load(path: Path) -> dict[Any, Any]:
    loaded = yaml.safe_load(path.read_text())
    assert isinstance(loaded, dict)
    return loaded


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@parametrized
def test_actions_are_pinned_by_digest_and_say_their_version(path: Path) -> None:
    lines = re.findall(r"^ *(?:- )?uses: (.*)$", path.read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        assert re.fullmatch(r"\./\.github/workflows/[a-z]+\.yml|[\w./-]+@[0-9a-f]{40}  # v[0-9.]+", line), line


@parametrized
def test_scripts_take_values_from_the_environment_only(path: Path) -> None:
    """`${{ }}` in a script is replaced before the shell parses it, so a branch name could become a command."""
    for step in steps(load(path)):
        assert "${{" not in step.get("run", ""), step


@parametrized
def test_permissions_are_read_only_and_no_token_is_left_in_the_checkout(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
    for step in steps(workflow):
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@parametrized
def test_pull_requests_of_strangers_get_no_secrets(path: Path) -> None:
    triggers = load(path)[True]  # YAML 1.1 reads the key `on` as a boolean
    assert "pull_request_target" not in triggers
    if "pull_request" in triggers:
        assert "secrets." not in path.read_text()


def test_images_are_pushed_only_from_a_checked_tag_after_the_tests() -> None:
    jobs = load(ROOT / ".github/workflows/images.yml")["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert set(jobs["push"]["needs"]) == {"tag", "test"}
    scripts = [step["run"] for step in jobs["push"]["steps"] if "run" in step]
    assert not any("GITHUB_REF" in script for script in scripts)
    assert jobs["push"]["env"]["VERSION"] == "${{ needs.tag.outputs.version }}"
    assert [step["run"] for step in jobs["tag"]["steps"] if step.get("id") == "tag"] == [
        '.github/check-tag.sh >>"$GITHUB_OUTPUT"'
    ]


def test_continuous_integration_installs_nothing_itself() -> None:
    commands = [step["run"] for step in steps(load(ROOT / ".github/workflows/ci.yml")) if "run" in step]
    assert commands == ["sudo make lint", "sudo .ci/run", "sudo make coverage"]


def test_coverage_is_checked_weekly_and_before_a_release() -> None:
    workflow = load(ROOT / ".github/workflows/ci.yml")
    assert workflow[True]["schedule"] == [{"cron": "20 3 * * 1"}]
    assert (
        workflow["jobs"]["coverage"]["if"] == "github.event_name == 'schedule' || startsWith(github.ref, 'refs/tags/')"
    )


def check_tag(kind: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".github/check-tag.sh"],
        env={"PATH": os.environ["PATH"], "GITHUB_REF_TYPE": kind, "GITHUB_REF_NAME": name},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tag_of_the_version_is_accepted() -> None:
    assert check_tag("tag", f"v{VERSION}").stdout == f"version={VERSION}\n"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("branch", f"v{VERSION}"),
        ("tag", VERSION),
        ("tag", f"v{VERSION}.1"),
        ("tag", f"v{VERSION}-other"),
        ("tag", "v01.0.0"),
        ("tag", f"v{VERSION}\nx"),
        ("tag", f"v{VERSION}; id"),
        ("tag", f"v{VERSION}+1"),
    ],
)
def test_any_other_ref_is_refused(kind: str, name: str) -> None:
    refused = check_tag(kind, name)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("check-tag: ")
