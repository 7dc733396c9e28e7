"""From a row of `bots` to the specification of its container. Pure.

No free text from a caller of the API gets here: ids and server names match strict patterns, limits are numbers in fixed
ranges, and the bot's settings are sent over HTTP (`PUT /config`), not in the container's options.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from bot_runtime.contract import VERSION, CustomCommand, Env, RuntimeConfig, WebAccess
from orchestrator.db.bot_settings import merge
from orchestrator.db.models import Bot
from orchestrator.engine.base import ContainerSpec, Label
from orchestrator.reconcile.plan import Desired
from orchestrator.reconcile.volumes import volume_labels
from orchestrator.settings import Settings
from orchestrator.states import Approval, DesiredState


class InvalidBotError(Exception):
    """A row of `bots` holds values from which no container can be created."""


class ContainerLimits(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The resources that one bot may use."""

    memory_bytes: Annotated[int, msgspec.Meta(ge=64 << 20, le=4 << 30)] = 256 << 20
    cpus: Annotated[float, msgspec.Meta(ge=0.05, le=8)] = 0.5
    pids: Annotated[int, msgspec.Meta(ge=16, le=1024)] = 64


def network_name(server: str) -> str:
    """The name of a server's bridge network."""
    return f"botdock-{server}"


def runtime_config(bot: Bot, settings: Settings, commands: Sequence[CustomCommand] = ()) -> RuntimeConfig:
    """The configuration that the bot's runtime should have: the bot's own settings over the installation's defaults.

    Raises InvalidBotError when the row's settings do not match the runtime's schema.
    """
    defaults: dict[str, Any] = {
        "prefix": settings.bot_prefix,
        "chatgpt": {"baseUrl": settings.openai_base_url},
        "answersPerChat": settings.answers_per_chat,
        "answersPerBot": settings.answers_per_bot,
        "rateLimitMax": settings.whatsapp_rate_limit_max,
        "rateLimitWindowSeconds": settings.whatsapp_rate_limit_window / 1000,
        "heartbeatIntervalSeconds": settings.whatsapp_health_check_interval / 1000,
        "reconnectBaseDelaySeconds": settings.whatsapp_reconnect_base_delay / 1000,
        "maxReconnectAttempts": settings.whatsapp_max_reconnect_attempts,
        "logLevel": settings.log_level.lower(),
    }
    own = {"name": bot.name, "generation": bot.config_generation}
    try:
        config = msgspec.convert(merge(defaults, msgspec.convert(bot.settings, dict[str, Any])) | own, RuntimeConfig)
    except msgspec.ValidationError as exc:
        raise InvalidBotError(f"settings: {exc}") from exc
    access = WebAccess(allowed_hosts=settings.allowed_hosts, model_url=settings.openai_base_url)
    return msgspec.structs.replace(
        config, commands=list(commands), web_access=access, volume_max_bytes=settings.volume_max_bytes
    )


def container_spec(bot: Bot, settings: Settings, *, owner: str, epoch: int) -> ContainerSpec:
    """The container that the bot should have. Raises InvalidBotError."""
    try:
        limits = msgspec.convert(bot.limits, ContainerLimits)
    except msgspec.ValidationError as exc:
        raise InvalidBotError(f"limits: {exc}") from exc
    shared = {"HTTPS_PROXY": settings.bot_https_proxy} if settings.bot_https_proxy else {}
    env: dict[str, str] = {
        Env.BOT_ID: bot.id,
        Env.SERVER_NAME: bot.server_name,
        Env.TOKEN: bot.runtime_token,
        **shared,
    }
    spec = ContainerSpec(
        name=bot.resource_name,
        image=settings.bot_image,
        network=network_name(bot.server_name),
        volume=bot.resource_name,
        env=env,
        labels={},
        memory_bytes=limits.memory_bytes,
        cpus=limits.cpus,
        pids=limits.pids,
        volume_labels=volume_labels(bot),
        volume_max_bytes=settings.volume_max_bytes,
    )
    spec.labels.update(
        {
            Label.OWNER: owner,
            Label.SERVER: bot.server_name,
            Label.BOT_ID: bot.id,
            Label.SPEC_HASH: spec_hash(spec),
            Label.SETTINGS_HASH: _digest([settings.bot_image, shared]),
            Label.EPOCH: str(epoch),
            Label.VERSION: VERSION,
        }
    )
    # For the first seconds of a new volume: any other has its own, and every bot is sent the current one, with its
    # commands, as soon as it answers, because its generation is higher. It changes live, so it is not in the hash.
    first = msgspec.structs.replace(runtime_config(bot, settings), generation=0)
    spec.env[Env.CONFIG] = msgspec.json.encode(first).decode()
    return spec


def spec_hash(spec: ContainerSpec) -> str:
    """Identifies a specification: when it changes, the container is replaced."""
    parts = [spec.image, spec.network, spec.volume, spec.env, spec.memory_bytes, spec.cpus, spec.pids]
    return _digest(parts)


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def desired(bot: Bot, spec: ContainerSpec | None, *, owner: str) -> Desired:
    """The bot's row as the plan reads it. Without a specification it is valid only for a bot that must not run."""
    return Desired(
        container_name=bot.resource_name,
        spec_hash="" if spec is None else spec.labels[Label.SPEC_HASH],
        settings_hash="" if spec is None else spec.labels[Label.SETTINGS_HASH],
        identity=((Label.OWNER, owner), (Label.SERVER, bot.server_name), (Label.BOT_ID, bot.id)),
        approved=bot.approval_status == Approval.APPROVED,
        rejected=bot.approval_status == Approval.REJECTED,
        running=bot.desired_state == DesiredState.RUNNING,
        deleting=bot.deleting,
        restart_generation=bot.restart_generation,
        session_generation=bot.session_generation,
    )
