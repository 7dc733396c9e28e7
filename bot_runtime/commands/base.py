"""What a command is, and what it gets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bot_runtime.contract import Health, RuntimeConfig
from bot_runtime.whatsapp.messages import Incoming


class CommandError(Exception):
    """A command cannot do what was asked; the message is the answer."""


class Host(Protocol):
    """What commands may ask of the bot."""

    @property
    def settings(self) -> RuntimeConfig:
        """The present settings."""

    def health(self) -> Health:
        """How the bot is."""

    def change_settings(self, **changes: Any) -> RuntimeConfig:
        """Apply and keep new values of `RuntimeConfig`'s fields. Raises `CommandError` when one is not allowed."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a command."""

    name: str
    args: str
    """What follows the name, without blanks around it."""
    message: Incoming
    by_owner: bool
    host: Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command; `run` returns the answer, "" for none."""

    name: str
    summary: str
    """One line for `help`."""
    run: Callable[[Invocation], Awaitable[str]]
    arguments: str = ""
    """How its arguments look, for `help`."""
    owners_only: bool = False
