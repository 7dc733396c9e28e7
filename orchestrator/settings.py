"""All settings, read from the environment once at start.

Descriptions state the unit. `docs/settings.md` has the same table, and a test compares the two. An invalid value
prevents the start with one clear line (`load`).
"""

import re
from functools import cached_property
from ipaddress import IPv4Network, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot_runtime.contract import SERVER_NAME_PATTERN
from orchestrator.errors import SettingsError
from orchestrator.validation_messages import validation_message

_HOST_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
"""At least one letter: what has none is an address."""


class Settings(BaseSettings):
    """One class for every process: `api`, `controller`, `all` and `migrate`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    database_url: str = Field(description="Postgres, as `postgresql://user:password@host:port/database`.")
    database_pool_size: int = Field(
        default=10, ge=1, le=200, description="Maximum number of connections to Postgres per process."
    )
    server_name: Annotated[str, StringConstraints(pattern=SERVER_NAME_PATTERN)] = Field(
        default="server1", description="The server (tenant and placement unit) this controller runs."
    )
    botcount: int = Field(default=20, ge=0, le=1000, description="`maxBots` of a server that is created without one.")
    bot_prefix: str = Field(default=".", min_length=1, max_length=5, description="Default prefix of commands.")
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )

    api_host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    controller_host: str = Field(default="127.0.0.1", description="Address of the controller's livez, readyz, metrics.")
    controller_port: int = Field(
        default=9090, ge=1, le=65535, description="Port of the controller's livez, readyz, metrics."
    )

    engine: str = Field(
        default="docker",
        pattern="^(docker|memory)$",
        description="`docker`, or `memory` for trying out without containers.",
    )
    docker_host: str = Field(default="unix:///var/run/docker.sock", description="The Docker engine's address.")
    docker_workers: int = Field(default=8, ge=1, le=64, description="Concurrent Docker calls.")
    bot_image: str = Field(default="botdock/bot:dev", description="Image of the bot containers.")
    bot_https_proxy: str | None = Field(
        default=None, description="HTTPS proxy of the bots' WhatsApp connections (`http://host:port`)."
    )
    bot_allowed_hosts: str | None = Field(
        default=None,
        description="Private addresses that webhooks and language models may be on: host names, addresses and networks "
        "(`n8n.internal, 192.168.4.0/24`), separated by commas.",
    )
    stack: str | None = Field(
        default=None,
        description="Compose project whose containers are attached to the bots' network; none: those of every stack.",
    )
    bot_network_pool: str = Field(
        default="10.213.0.0/16", description="Private address range from which each server's network gets a /22."
    )

    lease_seconds: float = Field(
        default=9.0,
        ge=1,
        le=60,
        description="Seconds after which a controller that stopped renewing its lease is replaced.",
    )
    max_unavailable: str = Field(
        default="5%",
        description="Bots replaced concurrently when image or proxy change: a number, or a percentage (one at least).",
    )
    reconcile_workers: int = Field(default=16, ge=1, le=256, description="Bots reconciled concurrently.")
    resync_interval: float = Field(default=30.0, ge=1, le=3600, description="Seconds between two full sweeps.")
    start_failure_limit: int = Field(
        default=2, ge=1, le=100, description="Consecutive failed starts after which a bot is skipped."
    )
    probe_interval: float = Field(default=10.0, ge=0.5, le=600, description="Seconds between two probes of a bot.")
    probe_timeout: float = Field(default=5.0, ge=0.1, le=60, description="Seconds after which a probe fails.")
    probe_failure_threshold: int = Field(
        default=3, ge=1, le=20, description="Consecutive failed probes before a restart."
    )
    startup_timeout: float = Field(
        default=60.0, ge=1, le=600, description="Seconds within which a container must become healthy."
    )
    volume_max_mb: int = Field(
        default=1024,
        ge=64,
        le=1_048_576,
        description="MiB that a bot may store on its volume: it disconnects shortly before, and is stopped beyond.",
    )
    stop_timeout: float = Field(default=10.0, ge=1, le=300, description="Seconds between SIGTERM and SIGKILL.")
    event_retention_days: int = Field(
        default=7, ge=1, le=3650, description="Days that events are stored in Postgres, at least."
    )
    message_retention_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days that messages are stored in Postgres after they were sent or failed.",
    )
    message_expiry_hours: int = Field(
        default=72, ge=1, le=144, description="Hours after which an unsent message fails."
    )

    queued_messages_per_bot: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Unsent messages of a bot beyond which no more are accepted."
    )
    queued_files_mb: int = Field(
        default=1024, ge=16, le=1_048_576, description="MiB of files in a server's unsent messages, likewise."
    )

    whatsapp_health_check_interval: int = Field(
        default=30_000, ge=1_000, description="Milliseconds between two heartbeats of a bot's WhatsApp connection."
    )
    whatsapp_max_reconnect_attempts: int = Field(
        default=10, ge=1, le=1000, description="Failed connection attempts before a bot is restarted."
    )
    whatsapp_reconnect_base_delay: int = Field(
        default=5_000, ge=100, description="Milliseconds before the second attempt; doubled with each further one."
    )

    whatsapp_rate_limit_max: int = Field(
        default=30, ge=1, le=10_000, description="Messages that a bot may send to one recipient within the window."
    )
    whatsapp_rate_limit_window: int = Field(
        default=60_000, ge=1_000, le=86_400_000, description="Length of the rate limit's window in milliseconds."
    )

    answers_per_chat: int = Field(
        default=60,
        ge=1,
        le=100_000,
        description="Answers to commands and by the language model that a chat may get within ten minutes.",
    )
    answers_per_bot: int = Field(default=600, ge=1, le=100_000, description="The same for all chats of a bot together.")

    openai_api_key: SecretStr | None = Field(
        default=None,
        description="Key of the language model at `OPENAI_BASE_URL`, sent nowhere else; held only in the bots' memory.",
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        pattern="^https?://[^@\\s]{1,490}$",
        description="Default endpoint of the language model: any OpenAI-compatible API.",
    )

    @field_validator("bot_allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: str | None) -> str | None:
        for entry in _entries(value):
            if not _HOST_NAME.fullmatch(entry):
                _check_network(entry)
        return value

    @field_validator("bot_network_pool")
    @classmethod
    def _is_ipv4_network(cls, value: str) -> str:
        try:
            IPv4Network(value)
        except ValueError:
            raise ValueError("must be an IPv4 network without host bits, such as 10.213.0.0/16") from None
        return value

    @field_validator("max_unavailable")
    @classmethod
    def _is_number_or_share(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]{0,3}|([1-9][0-9]?|100)%", value):
            raise ValueError("must be a number from 1 to 9999, or a percentage from 1% to 100%")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str) -> str:
        if value.split("://")[0] not in {"postgres", "postgresql", "postgresql+psycopg"}:
            raise ValueError("must start with postgresql://")
        # Checked here because the errors of the libraries show a part of the password.
        if not _is_url(value):
            raise ValueError(
                "must have the form postgresql://user:password@host:port/database, with special characters of the "
                "password percent-encoded (@ as %40)"
            )
        return value

    @cached_property
    def allowed_hosts(self) -> list[str]:
        """The entries of `bot_allowed_hosts`."""
        return _entries(self.bot_allowed_hosts)

    @cached_property
    def volume_max_bytes(self) -> int:
        """`volume_max_mb` in bytes."""
        return self.volume_max_mb << 20

    @cached_property
    def sqlalchemy_url(self) -> str:
        """The database's address in SQLAlchemy's form, with psycopg as the driver."""
        return "postgresql+psycopg://" + self.database_url.split("://", 1)[1]

    @cached_property
    def libpq_url(self) -> str:
        """The database's address in libpq's form, for connections made without SQLAlchemy."""
        return "postgresql://" + self.database_url.split("://", 1)[1]


def _entries(value: str | None) -> list[str]:
    return [entry.strip() for entry in (value or "").split(",") if entry.strip()]


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (parts.port or 1) > 0 and parts.netloc.count("@") <= 1
    except ValueError:
        return False


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError(
            "must list host names, addresses and networks without host bits (10.1.0.0/16), separated by commas"
        ) from None


def load() -> Settings:
    """Settings from the environment.

    Raises SettingsError with one line that names each invalid variable and its problem, but never its value.
    """
    try:
        return Settings()
    except ValidationError as exc:
        problems = "; ".join(f"{str(e['loc'][0]).upper()}: {validation_message(e)}" for e in exc.errors())
        raise SettingsError(f"cannot start: {problems}") from None
