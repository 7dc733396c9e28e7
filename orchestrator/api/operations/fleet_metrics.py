"""Prometheus metrics of the fleet, read from Postgres at each scrape, so deleted bots leave no label sets behind.

The samples of single bots are formatted here, chunk by chunk: with thousands of bots, prometheus_client would need
longer than a scrape may take, and nothing else would be handled meanwhile.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Float, Integer, and_, cast, extract, not_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from orchestrator.db import fleet, servers
from orchestrator.db.models import Bot, BotStatus
from orchestrator.db.scope import Scope
from orchestrator.db.servers import ServerOverview
from orchestrator.states import Phase

MAX_SERVERS = 1000

IS_ONLINE = and_(col(BotStatus.phase) == Phase.ONLINE, not_(col(Bot.deleting)))
BOT_COLUMNS = (
    col(Bot.id),
    col(Bot.server_name),
    cast(col(BotStatus.healthy), Integer),
    cast(IS_ONLINE, Integer),
    col(BotStatus.restarts),
    col(BotStatus.connection_attempts),
    cast(extract("epoch", col(BotStatus.last_heartbeat)), Float),
)
BOT_FAMILIES = (
    ("bot_healthy", "gauge", "1 while the container passes its probes."),
    ("bot_online", "gauge", "1 while the bot is online."),
    ("bot_restarts_total", "counter", "Restarts of the bot's container."),
    ("bot_connection_attempts", "gauge", "Consecutive failed connection attempts."),
    ("bot_last_heartbeat_timestamp_seconds", "gauge", "Time of the last check of the WhatsApp connection."),
)
"""Name, type and description of the metrics of each bot, in the order of their values in BOT_COLUMNS."""


async def fleet_metrics(session: AsyncSession, scope: Scope) -> bytes:
    """The metrics of the servers and bots in the scope, in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_ServerCollector(await servers.page(session, scope, limit=MAX_SERVERS)))
    of_servers = generate_latest(registry)
    return of_servers + await _of_bots(fleet.chunks(session, scope, *BOT_COLUMNS))


class _ServerCollector(Collector):
    def __init__(self, overviews: Sequence[ServerOverview]) -> None:
        self._overviews = overviews

    def collect(self) -> Iterable[Metric]:
        phase = GaugeMetricFamily("bot_status_phase", "Number of bots by phase.", labels=("server", "phase"))
        max_bots = GaugeMetricFamily("server_max_bots", "Maximum number of bots of a server.", labels=("server",))
        active = GaugeMetricFamily(
            "server_controller_active", "1 if the server has an active controller.", labels=("server",)
        )
        for row in self._overviews:
            for name in Phase:
                phase.add_metric((row.server.name, name), row.phases.get(name, 0))
            max_bots.add_metric((row.server.name,), row.server.max_bots)
            active.add_metric((row.server.name,), row.has_leader)
        yield from (phase, max_bots, active)


async def _of_bots(chunks: AsyncIterator[Sequence[Any]]) -> bytes:
    # All samples of a family have to follow its head, so the families are collected side by side.
    families = [[f"# HELP {name} {text}\n# TYPE {name} {kind}\n"] for name, kind, text in BOT_FAMILIES]
    async for rows in chunks:
        escaped = {name: _escaped(name) for name in {row[1] for row in rows}}
        labels = [f'{{bot="{row[0]}",server="{escaped[row[1]]}"}}' for row in rows]  # ids consist of safe characters
        for position, (name, _, _) in enumerate(BOT_FAMILIES):
            values = (row[position + 2] for row in rows)
            families[position].append("".join(_lines(name, labels, values)))
    return "".join("".join(family) for family in families).encode()


def _lines(name: str, labels: Iterable[str], values: Iterable[object]) -> Iterator[str]:
    """One line for each bot that has a value."""
    return (f"{name}{of_bot} {value}\n" for of_bot, value in zip(labels, values, strict=True) if value is not None)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
