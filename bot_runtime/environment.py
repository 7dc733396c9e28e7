"""The environment variables of a runtime, validated once at the start. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bot_runtime.contract import AUTH_ROOT, BOT_ID_PATTERN, PORT, SERVER_NAME_PATTERN, Env, RuntimeConfig


class InvalidEnvironmentError(Exception):
    """A variable is missing or malformed. The message contains its name and never its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The variables of `Env`, typed."""

    bot_id: str
    server_name: str
    token: str = field(repr=False)
    auth_root: Path
    port: int
    config: RuntimeConfig


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Parse the variables. Raises `InvalidEnvironmentError` for the first one that violates the contract."""
    return Environment(
        bot_id=_matching(environ, Env.BOT_ID, BOT_ID_PATTERN),
        server_name=_matching(environ, Env.SERVER_NAME, SERVER_NAME_PATTERN),
        token=_required(environ, Env.TOKEN),
        auth_root=Path(environ.get(Env.AUTH_ROOT, AUTH_ROOT)),
        port=_port(environ),
        config=_config(environ),
    )


def _required(environ: Mapping[str, str], name: Env) -> str:
    value = environ.get(name, "")
    if not value:
        raise InvalidEnvironmentError(f"{name} is not set")
    return value


def _matching(environ: Mapping[str, str], name: Env, pattern: str) -> str:
    value = _required(environ, name)
    if not re.fullmatch(pattern, value):
        raise InvalidEnvironmentError(f"{name} must match {pattern}")
    return value


def _port(environ: Mapping[str, str]) -> int:
    value = environ.get(Env.PORT, str(PORT))
    if not value.isascii() or not value.isdigit() or int(value) > 65535:
        raise InvalidEnvironmentError(f"{Env.PORT} must be a number from 0 to 65535")
    return int(value)


def _config(environ: Mapping[str, str]) -> RuntimeConfig:
    value = environ.get(Env.CONFIG)
    if value is None:
        return RuntimeConfig()
    try:
        return msgspec.json.decode(value, type=RuntimeConfig)
    except msgspec.MsgspecError as exc:
        raise InvalidEnvironmentError(f"{Env.CONFIG} is not a valid configuration: {exc}") from exc
