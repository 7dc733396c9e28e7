"""Metrics of the API's own requests, labelled by route template, never by ids in paths."""

from prometheus_client import CollectorRegistry, Counter, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"


class HttpMetrics:
    """Request metrics of `/metrics`. One instance per application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests",
            "Requests handled by the API.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Duration of requests to the API.",
            ("method", "route"),
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )

    def record(self, *, method: str, route: str | None, status: int, seconds: float) -> None:
        """Record a request; `route` is the route template, None if no route matched."""
        known = method if method in METHODS else "other"
        template = route or UNMATCHED
        self._requests.labels(known, template, str(status)).inc()
        self._seconds.labels(known, template).observe(seconds)
