"""The version number has one source: `bot_runtime/contract/version.py`."""

import re
import tomllib
from pathlib import Path

import orchestrator
from bot_runtime.contract import VERSION
from images.builder.bake import project_version

ROOT = Path(__file__).parents[2]


def test_the_package_metadata_reads_the_version_from_its_source() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "bot_runtime.contract.version.VERSION"}}


def test_orchestrator_and_images_have_the_same_version() -> None:
    assert orchestrator.__version__ == project_version() == VERSION


def test_no_other_module_defines_a_version() -> None:
    modules = [*(ROOT / "orchestrator").rglob("*.py"), *(ROOT / "bot_runtime").rglob("*.py")]
    defining = [module.name for module in modules if re.search(r'(?i)version_* = "[0-9]', module.read_text())]
    assert defining == ["version.py"]


def test_the_changelog_has_a_section_for_the_version() -> None:
    sections = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {VERSION, "Unreleased"} & set(sections)
