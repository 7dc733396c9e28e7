"""The demo's commands in a checkout of the test's own, on an engine that is a fake."""

from pathlib import Path
from typing import Any

import pytest

from tests.demo import checkouts, housekeeping
from tests.demo import stack as stacks
from tests.demo.stack import Stack
from tests.unit.demo.fake_engine import Engine


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    for module in (stacks, checkouts):
        monkeypatch.setattr(module, "call", engine.call)
    for variable in ("BOTDOCK_PORT", "SIMULATOR_PORT", "COMPOSE_PROJECT_NAME", "YES"):
        monkeypatch.delenv(variable, raising=False)
    engine.configure()
    return engine


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout that the commands run in."""
    return checkout(tmp_path / "here", monkeypatch)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Another checkout."""
    path = tmp_path / "there"
    path.mkdir()
    return path


def checkout(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the commands run in this checkout."""
    path.mkdir(exist_ok=True)
    for module in (stacks, checkouts, housekeeping):
        monkeypatch.setattr(module, "PROJECT", path)
    monkeypatch.setattr(stacks, "STATE", path / ".botdock")
    monkeypatch.setattr(housekeeping, "BUILD_DIRECTORY", path / "images/.build")
    return path


@pytest.fixture(autouse=True)
def demo_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's `compose config` does not replace variables: a demo's server is its name."""
    original = stacks._stack

    def named(target: str, project: str, *arguments: Any) -> Stack:
        stack = original(target, project, *arguments)
        fields = {name: getattr(stack, name) for name in stack.__slots__}
        return Stack(**fields | ({"server": project.removeprefix("botdock-")} if target == "demo" else {}))

    monkeypatch.setattr(stacks, "_stack", named)
