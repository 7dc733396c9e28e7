"""The configuration of the bot, stored on the volume so that a restart does not depend on the orchestrator."""

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from bot_runtime.contract import RuntimeConfig

log = logging.getLogger(__name__)


class StaleConfigError(Exception):
    """The new configuration is older than the current one."""


class ConfigFile:
    """The current configuration and its copy on the volume.

    At the start the stored copy takes precedence over `initial` if its generation is not lower. `changed` is set with
    every new configuration; the waiter clears it.
    """

    def __init__(self, path: Path, initial: RuntimeConfig) -> None:
        self._path = path
        self.current = initial
        self.changed = asyncio.Event()
        stored = self._read()
        if stored is not None and stored.generation >= initial.generation:
            self.current = stored

    def replace(self, config: RuntimeConfig) -> RuntimeConfig:
        """Replace the configuration durably. Raises `StaleConfigError` for a lower generation."""
        if config.generation < self.current.generation:
            raise StaleConfigError(f"generation {config.generation} is older than {self.current.generation}")
        if config == self.current:
            return config
        self._write(config)
        self.current = config
        self.changed.set()
        return config

    def change(self, **changes: Any) -> RuntimeConfig:
        """Change single values durably, without a new generation. Raises `msgspec.ValidationError`."""
        changed = msgspec.convert(msgspec.to_builtins(msgspec.structs.replace(self.current, **changes)), RuntimeConfig)
        return self.replace(changed)

    def _read(self) -> RuntimeConfig | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=RuntimeConfig)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as exc:
            log.warning("the stored configuration is unreadable, using that of the environment: %s", exc)
            return None

    def _write(self, config: RuntimeConfig) -> None:
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(config))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The changed values, objects field by field."""
    changed = {}
    for name, value in after.items():
        if isinstance(value, dict) and isinstance(before.get(name), dict):
            if inner := differences(before[name], value):
                changed[name] = inner
        elif value != before.get(name):
            changed[name] = value
    return changed


def overlay(config: RuntimeConfig, changes: Iterable[dict[str, Any]]) -> RuntimeConfig:
    """The configuration with changes, as `differences` returns them, applied in order."""
    values = msgspec.to_builtins(config)
    for change in changes:
        for name, value in change.items():
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return msgspec.convert(values, RuntimeConfig)
