"""The controller's metrics."""

from datetime import UTC, datetime
from typing import Any

from bot_runtime.contract import Event, EventType
from orchestrator.reconcile.metrics import Metrics


def event(kind: str, **data: Any) -> Event:
    return Event(seq=1, type=kind, data=data, timestamp=datetime.now(UTC))


def test_dropped_events_are_counted_as_the_bots_report_them() -> None:
    metrics = Metrics()
    metrics.count_events([event(EventType.MESSAGE_UPSERT, count=7), event(EventType.EVENTS_DROPPED, count=5, total=5)])
    for malformed in (-1, "x", None, [1]):
        metrics.count_events([event(EventType.EVENTS_DROPPED, count=malformed)])
    assert metrics.registry.get_sample_value("botdock_events_dropped_total") == 5
    assert metrics.registry.get_sample_value("botdock_events_ingested_total") == 6
