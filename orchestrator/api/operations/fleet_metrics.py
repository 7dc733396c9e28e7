"""Prometheus metrics of the fleet, read from Postgres at each scrape, so deleted bots leave no label sets behind."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestrator.db.bots import BotRow
from orchestrator.db.servers import ServerOverview
from orchestrator.states import Phase


def fleet_registry(servers: Sequence[ServerOverview], bots: Sequence[BotRow]) -> CollectorRegistry:
    """A registry with the metrics of these servers and bots."""
    registry = CollectorRegistry()
    registry.register(_FleetCollector(servers, bots))
    return registry


class _FleetCollector(Collector):
    def __init__(self, servers: Sequence[ServerOverview], bots: Sequence[BotRow]) -> None:
        self._servers = servers
        self._bots = bots

    def collect(self) -> Iterable[Metric]:
        yield from self._of_servers()
        yield from self._of_bots()

    def _of_servers(self) -> Iterator[Metric]:
        phase = GaugeMetricFamily("bot_status_phase", "Number of bots by phase.", labels=("server", "phase"))
        max_bots = GaugeMetricFamily("server_max_bots", "Maximum number of bots of a server.", labels=("server",))
        active = GaugeMetricFamily(
            "server_controller_active", "1 if the server has an active controller.", labels=("server",)
        )
        for row in self._servers:
            for name in Phase:
                phase.add_metric((row.server.name, name), row.phases.get(name, 0))
            max_bots.add_metric((row.server.name,), row.server.max_bots)
            active.add_metric((row.server.name,), row.has_leader)
        yield from (phase, max_bots, active)

    def _of_bots(self) -> Iterator[Metric]:
        labels = ("server", "bot")
        healthy = GaugeMetricFamily("bot_healthy", "1 while the container passes its probes.", labels=labels)
        online = GaugeMetricFamily("bot_online", "1 while the bot is online.", labels=labels)
        restarts = CounterMetricFamily("bot_restarts", "Restarts of the bot's container.", labels=labels)
        attempts = GaugeMetricFamily(
            "bot_connection_attempts", "Consecutive failed connection attempts.", labels=labels
        )
        heartbeat = GaugeMetricFamily(
            "bot_last_heartbeat_timestamp_seconds", "Time of the last check of the WhatsApp connection.", labels=labels
        )
        for bot, status in self._bots:
            values = (bot.server_name, bot.id)
            healthy.add_metric(values, status.healthy)
            online.add_metric(values, status.phase == Phase.ONLINE and not bot.deleting)
            restarts.add_metric(values, status.restarts)
            attempts.add_metric(values, status.connection_attempts)
            if status.last_heartbeat is not None:
                heartbeat.add_metric(values, status.last_heartbeat.timestamp())
        yield from (healthy, online, restarts, attempts, heartbeat)
