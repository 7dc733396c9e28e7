"""Settings are changed by owners and by the orchestrator, and neither undoes the other."""

from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from bot_runtime.commands.base import CommandError
from bot_runtime.contract import EventType, RuntimeConfig, TakenOver
from bot_runtime.inbound.settings_host import SettingsHost
from bot_runtime.storage.config import ConfigFile, StaleConfigError
from bot_runtime.storage.spool import Spool


class Setup:
    """A host with a stored configuration and a spool."""

    def __init__(self, store: Connection, folder: Path) -> None:
        self.spool = Spool(store)
        self.config = ConfigFile(folder / "config.json", RuntimeConfig(generation=1))
        self.host = SettingsHost(self.config, self.spool, health=self._health)

    def _health(self) -> Any:
        raise AssertionError("not used in these tests")

    def events(self) -> list[dict[str, Any]]:
        return [event.data for event in self.spool.history if event.type is EventType.SETTINGS_UPDATE]


@pytest.fixture
def setup(store: Connection, tmp_path: Path) -> Setup:
    return Setup(store, tmp_path)


def test_a_change_by_an_owner_is_reported_once(setup: Setup) -> None:
    for _ in range(2):
        assert setup.host.change_settings(prefix="!").prefix == "!"
    assert setup.events() == [{"settings": {"prefix": "!"}}]


def test_an_invalid_value_is_refused_and_not_reported(setup: Setup) -> None:
    with pytest.raises(CommandError, match="That is not possible"):
        setup.host.change_settings(prefix="much too long")
    assert setup.host.settings.prefix == "."
    assert setup.events() == []


def test_a_configuration_keeps_changes_that_it_does_not_include(setup: Setup) -> None:
    setup.host.change_settings(prefix="!")
    setup.host.change_settings(typing=True)
    included = TakenOver(spool_id=setup.spool.spool_id, seq=1)
    config = setup.host.configure(RuntimeConfig(generation=2, prefix="?", taken_over=included))
    assert (config.prefix, config.typing) == ("?", True)


def test_a_configuration_for_another_spool_includes_no_changes(setup: Setup) -> None:
    setup.host.change_settings(prefix="!")
    other = TakenOver(spool_id="other", seq=9)
    assert setup.host.configure(RuntimeConfig(generation=2, taken_over=other)).prefix == "!"


def test_an_older_configuration_is_refused(setup: Setup) -> None:
    with pytest.raises(StaleConfigError):
        setup.host.configure(RuntimeConfig(generation=0))
