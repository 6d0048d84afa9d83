"""The instruments of one process, for Prometheus: counted where things happen, shown by ``/metrics``.

Each runtime has its own registry, so that several apps of one process do not count together. ``app.store.gauges`` has
those read from the database.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of what somebody waits for, in seconds."""
LONG: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Buckets of what works in the background, in seconds."""
GROUPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counters, histograms and gauges; safe in any thread."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "duban_http_requests",
            "Requests served, by route template.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "duban_http_request_seconds", "Time until a response was complete.", ["method", "route"],
            buckets=SHORT, registry=registry,
        )  # fmt: skip
        self.pushes = Counter("duban_pushes", "Pushed tickets, by outcome.", ["outcome"], registry=registry)
        self.push_queue = Gauge("duban_push_queue", "Pushes that wait for a commit.", registry=registry)
        self.group_size = Histogram("duban_push_group_size", "Pushes in one commit.", buckets=GROUPS, registry=registry)
        self.commit_seconds = Histogram(
            "duban_push_commit_seconds", "Time of one group commit.", buckets=SHORT, registry=registry
        )
        self.sweep_seconds = Histogram(
            "duban_sweep_seconds", "Time of one sweep that found something.", buckets=LONG, registry=registry
        )
        self.sweep_delay_seconds = Histogram(
            "duban_sweep_delay_seconds", "Delay of the oldest check that a sweep found due.", buckets=LONG,
            registry=registry,
        )  # fmt: skip
        self.sweep_failures = Counter("duban_sweep_failures", "Sweeps that failed.", registry=registry)
        self.alerts_raised = Counter("duban_alerts_raised", "Alerts raised by this process.", registry=registry)
        self.report_seconds = Histogram(
            "duban_report_seconds", "Time to make one report, by kind.", ["kind"], buckets=LONG, registry=registry
        )
        self.leader = Gauge("duban_leader", "1 where this process runs the periodic jobs.", registry=registry)

    def served(self, method: str, route: str, status: int | None, seconds: float) -> None:
        """Count one request; ``status`` is None where the client went away before there was one."""
        self.requests.labels(method, route, str(status or "none")).inc()
        self.request_seconds.labels(method, route).observe(seconds)
