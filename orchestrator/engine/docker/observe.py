"""Parses Docker's descriptions of containers and events into the types of `base.py`. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.engine.base import ContainerState, EngineEvent, EngineEventKind, Label, ObservedContainer

_NEVER = "0001-01-01T00:00:00Z"
_ENDED = {ContainerState.EXITED, ContainerState.DEAD}


def from_list(item: Mapping[str, Any]) -> ObservedContainer:
    """One item of `GET /containers/json`."""
    return ObservedContainer(
        id=item["Id"],
        name=item["Names"][0].removeprefix("/") if item["Names"] else "",
        state=ContainerState(item["State"]),
        labels=item["Labels"] or {},
        address=_address(item),
    )


def from_inspect(item: Mapping[str, Any]) -> ObservedContainer:
    """The answer of `GET /containers/{id}/json`."""
    state = ContainerState(item["State"]["Status"])
    return ObservedContainer(
        id=item["Id"],
        name=item["Name"].removeprefix("/"),
        state=state,
        labels=item["Config"]["Labels"] or {},
        address=_address(item),
        started_at=timestamp(item["State"]["StartedAt"]),
        finished_at=timestamp(item["State"]["FinishedAt"]),
        exit_code=item["State"]["ExitCode"] if state in _ENDED else None,
        oom_killed=item["State"]["OOMKilled"],
    )


def from_event(message: Mapping[str, Any]) -> EngineEvent:
    """One message of `GET /events` about a container of ours."""
    actor = message["Actor"]
    return EngineEvent(
        kind=EngineEventKind(message["Action"]),
        bot_id=actor["Attributes"].get(Label.BOT_ID),
        container_id=actor["ID"],
    )


def timestamp(text: str) -> datetime | None:
    """Docker's RFC 3339 time with nanoseconds, truncated to microseconds; None for its zero time."""
    return None if text == _NEVER or not text else datetime.fromisoformat(text)


def _address(item: Mapping[str, Any]) -> str | None:
    networks = item["NetworkSettings"]["Networks"] or {}
    own: dict[str, Any] = networks.get(item["HostConfig"]["NetworkMode"]) or next(iter(networks.values()), {})
    return own.get("IPAddress") or None
