"""The settings of the bot, changed by its owners through commands and by the orchestrator through the endpoint."""

from collections.abc import Callable
from typing import Any

import msgspec

from bot_runtime.commands.base import CommandError
from bot_runtime.contract import EventType, Health, RuntimeConfig
from bot_runtime.storage.config import ConfigFile, differences, overlay
from bot_runtime.storage.spool import Spool


class SettingsHost:
    """The `Host` of commands. Changes by owners are stored, and reported as `settings-update` events."""

    def __init__(self, config: ConfigFile, spool: Spool, *, health: Callable[[], Health]) -> None:
        self._config = config
        self._spool = spool
        self.health = health

    @property
    def settings(self) -> RuntimeConfig:
        """The current settings."""
        return self._config.current

    def change_settings(self, **values: Any) -> RuntimeConfig:
        """Apply, store and report new values. Raises `CommandError` for an invalid value."""
        before = msgspec.to_builtins(self._config.current)
        try:
            changed = self._config.change(**values)
        except msgspec.ValidationError as exc:
            raise CommandError(f"That is not possible: {exc}") from exc
        except OSError as exc:
            raise CommandError("The setting could not be stored: the volume is not writable.") from exc
        if changes := differences(before, msgspec.to_builtins(changed)):
            self._spool.append(EventType.SETTINGS_UPDATE, {"settings": changes})
        return changed

    def configure(self, config: RuntimeConfig) -> RuntimeConfig:
        """Apply a configuration from the orchestrator without undoing later changes by an owner.

        Raises `StaleConfigError`.
        """
        taken = config.taken_over
        if taken is not None:
            seq = taken.seq if taken.spool_id == self._spool.spool_id else 0
            own = self._spool.after(seq, EventType.SETTINGS_UPDATE)
            config = overlay(config, [event.data["settings"] for event in own])
        return self._config.replace(config)
