"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

#: Seconds; a small model answers in milliseconds, a large one in minutes.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The measurements of one server; routes add their own to ``registry``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "status")
        self._requests = Counter(
            "luban_requests", "Requests answered.", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "luban_request_seconds",
            "Time from a request to the end of its answer.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "luban_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self._waiting = Gauge(
            "luban_requests_waiting", "Requests waiting for the model.", registry=self.registry
        )

    def started(self) -> None:
        """Count a request in."""
        self._in_flight.inc()

    def finished(self, route: str, status: int, seconds: float) -> None:
        """Count a request out."""
        self._in_flight.dec()
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch_waiting(self, count: Callable[[], int]) -> None:
        """Ask ``count`` whenever the number of waiting requests is read."""
        self._waiting.set_function(count)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
