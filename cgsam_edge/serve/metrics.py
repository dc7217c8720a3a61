"""What ``/metrics`` says, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from cgsam_edge._version import __version__

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServerMetrics:
    """Counts requests and times their parts; it knows nothing of their content."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cgsam_requests", "Requests by path and status.", ["path", "status"], registry=self._registry
        )
        self._whole = Histogram(
            "cgsam_request_seconds",
            "From the head of a request to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._parts = Histogram(
            "cgsam_part_seconds",
            "Parts of an answer: queue, image, concepts.",
            ["part"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        Gauge("cgsam_info", "Version of the server.", ["version"], registry=self._registry).labels(__version__).set(1)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a number that is read whenever somebody asks."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(path, str(status)).inc()
        self._whole.labels(path).observe(seconds)

    def timed(self, part: str, seconds: float) -> None:
        """Record how long a part took."""
        self._parts.labels(part).observe(seconds)

    def text(self) -> bytes:
        """Return all numbers."""
        return generate_latest(self._registry)
