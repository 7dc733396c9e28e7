"""Prometheus metrics of the controller."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from bot_runtime.contract import Event, EventType

MAX_DROPPED = 1_000_000
"""Of one report: more would say nothing about the other bots."""


class Metrics:
    """One controller's metrics, in a registry of its own. Metrics of single bots are exported by the api."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "botdock_reconcile", "Reconcile rounds, each for one bot.", ["result"], registry=self.registry
        )
        self.queue_depth = Gauge("botdock_workqueue_depth", "Bots waiting for a worker.", registry=self.registry)
        self.probes = Counter("botdock_probes", "Probes of bots.", ["result"], registry=self.registry)
        self.events = Counter("botdock_events_ingested", "Events ingested from bots.", registry=self.registry)
        self.events_dropped = Counter(
            "botdock_events_dropped",
            "Events that bots dropped because too many were not fetched; never messages.",
            registry=self.registry,
        )
        self.violations = Counter(
            "botdock_protocol_violations",
            "Answers and events of bots that were not within the limits of the protocol.",
            registry=self.registry,
        )
        self.messages = Counter(
            "botdock_messages", "Attempts to send a message, by result.", ["result"], registry=self.registry
        )
        self.orphans = Counter("botdock_orphans_removed", "Containers removed as orphans.", registry=self.registry)
        self.orphaned_volumes = Gauge(
            "botdock_orphaned_volumes", "Volumes with the session of a bot that does not exist.", registry=self.registry
        )
        self.leader = Gauge(
            "botdock_leader", "1 while this controller is the leader for its server.", registry=self.registry
        )
        self.refusing = Gauge(
            "botdock_wrong_engine",
            "1 while this controller manages no bots because its server is bound to another engine.",
            registry=self.registry,
        )

    def count_events(self, events: Sequence[Event]) -> None:
        """Events of a bot were ingested."""
        self.events.inc(len(events))
        for event in events:
            count = event.data.get("count") if event.type == EventType.EVENTS_DROPPED else None
            if isinstance(count, int) and count > 0:  # a bot is not trusted to send what the contract says
                self.events_dropped.inc(min(count, MAX_DROPPED))

    def count_message(self, result: str) -> None:
        """An attempt to send a message ended."""
        self.messages.labels(result=result).inc()
