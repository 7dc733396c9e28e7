"""requirements/*.txt are what `make requirements` makes of pyproject.toml: complete, hashed, naming no host."""

import re
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def direct(extra: str) -> set[str]:
    """The names of an extra's own dependencies, the extras it takes in included."""
    names = set()
    for dependency in EXTRAS[extra]:
        if taken := re.fullmatch(r"botdock\[(.+)\]", dependency):
            names |= set.union(*(direct(other) for other in taken[1].split(",")))
        else:
            names.add(re.split(r"[\[<>=;! ]", dependency)[0].lower().replace("_", "-"))
    return names


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_every_dependency_is_pinned_with_hashes(extra: str) -> None:
    text = (PROJECT / f"requirements/{extra}.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", text, re.MULTILINE))
    assert direct(extra) <= pins.keys(), "run `make requirements`"
    blocks = re.split(r"^(?=[a-z0-9._-]+(?:\[|==))", text, flags=re.MULTILINE)
    assert all("--hash=sha256:" in block for block in blocks if block.strip())


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_no_host_is_named(extra: str) -> None:
    assert "://" not in (PROJECT / f"requirements/{extra}.txt").read_text()


@pytest.mark.parametrize("extra", ["bot", "orchestrator", "simulator"])
def test_an_image_and_the_development_environment_have_the_same_versions(extra: str) -> None:
    """What the tests ran on is what is shipped."""

    def pins(name: str) -> dict[str, str]:
        text = (PROJECT / f"requirements/{name}.txt").read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))

    developed = pins("dev")
    different = {name: (pin, developed[name]) for name, pin in pins(extra).items() if developed.get(name, pin) != pin}
    assert different == {}
