"""The types of commands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bot_runtime.contract import Health, RuntimeConfig
from bot_runtime.whatsapp.messages import Incoming


class CommandError(Exception):
    """A command failed; the message is its answer."""


class Host(Protocol):
    """What commands use of the bot."""

    @property
    def settings(self) -> RuntimeConfig:
        """The current settings."""

    def health(self) -> Health:
        """The health report of the bot."""

    def change_settings(self, **values: Any) -> RuntimeConfig:
        """Apply and store new values of fields of `RuntimeConfig`. Raises `CommandError` for an invalid value."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a command."""

    name: str
    args: str
    """The text after the name, stripped."""
    message: Incoming
    by_owner: bool
    host: Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command; `run` returns the answer, or "" for none."""

    name: str
    summary: str
    """One line for `help`."""
    run: Callable[[Invocation], Awaitable[str]]
    arguments: str = ""
    """The syntax of its arguments, for `help`."""
    owners_only: bool = False
