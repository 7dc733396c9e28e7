"""Compares the settings of a standby with those of the leader, which a takeover would replace. Pure.

Every setting is reduced to a digest, so that Postgres holds no values, and differences are reported by name only.
"""

import hashlib
from collections.abc import Mapping

from pydantic import BaseModel, SecretStr

OWN_SETTINGS = frozenset(
    {
        *("database_url", "database_pool_size", "api_host", "api_port", "controller_host", "controller_port"),
        *("docker_host", "docker_workers", "reconcile_workers"),
    }
)
"""Settings that may differ between two controllers of a server."""
DIGEST_LENGTH = 12


def summarize(settings: BaseModel, *, installation: str) -> dict[str, str]:
    """A digest of every setting that all controllers of a server should share, by its name."""
    return {name.upper(): _digest(installation, name, value) for name, value in settings if name not in OWN_SETTINGS}


def differing(own: Mapping[str, str], leaders: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the settings that both have and that differ; a controller of another version has others."""
    return tuple(sorted(name for name in own.keys() & leaders.keys() if own[name] != leaders[name]))


def _digest(installation: str, name: str, value: object) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    return hashlib.sha256(f"{installation}\n{name}\n{plain!r}".encode()).hexdigest()[:DIGEST_LENGTH]
