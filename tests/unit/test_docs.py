"""The documents refer only to things that exist, and cover everything that people look up in them."""

import re
from pathlib import Path

import pytest

from bot_runtime.contract import EventType
from orchestrator.states import Phase

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/simulator/*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SOURCES = {
    str(path.relative_to(ROOT))
    for folder in ("orchestrator", "bot_runtime", "images", "tests", ".ci")
    for path in (ROOT / folder).rglob("*.*")
}
FOLDERS = "orchestrator|bot_runtime|images|tests|docs|requirements"


def test_every_event_is_described() -> None:
    described = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE)
    assert set(EventType) <= set(described)


def test_every_phase_is_described() -> None:
    described = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE)
    assert set(Phase) - {Phase.EXPIRED} <= set(described)  # of guests, whom nobody can make yet


def test_every_decision_has_a_number_of_its_own_and_is_listed() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    listed = re.findall(r"\]\((0[^)]*)\)", (ROOT / "docs" / "decisions" / "README.md").read_text())
    assert listed == [record.name for record in records]
    for record in records:
        assert record.read_text().startswith(f"# {record.name[:4]}"), record.name


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_and_targets_exist(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text):
        assert (ROOT / path).exists() or path.startswith("images/.build"), path
    assert set(re.findall(r"(?:`|^)make ([a-z][a-z0-9-]*)", text, re.MULTILINE)) <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_named_by_a_short_path_exist(page: Path) -> None:
    """`reconcile/plan.py`, or just `plan.py`: the end of the path of some file."""
    named = set(re.findall(r"(?<![\w./{}-])((?:[\w-]+/)*[\w-]+\.(?:py|sh))\b", page.read_text()))
    assert {path for path in named if not any(f"/{file}".endswith(f"/{path}") for file in SOURCES)} == set()


def test_the_source_tree_lists_no_file_in_the_wrong_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    [tree] = re.findall(r"^## Source tree\n+```\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    package = folder = ""
    for line in tree.splitlines():
        if top := re.match(r"(\w+)/ ", line):
            package = folder = top[1]
        elif below := re.match(r"  (\w+)/ ", line):
            folder = f"{package}/{below[1]}"
        for name in re.findall(r"(?<![\w/])\w+\.py\b", line):
            assert (ROOT / folder / name).exists(), f"{folder}/{name}"
