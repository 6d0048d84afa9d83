"""``/metrics``: an exposition that parses, figures counted where things happen, few readings of the database."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app import clock
from app.db import Database
from app.metrics import Metrics
from app.store.gauges import DatabaseCollector
from app.workers.sweeper import Sweeper
from tests.support import Service

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(service: Service) -> Samples:
    """Every sample of one scrape."""
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample; fails where there is none."""
    return samples[name, frozenset(labels.items())]


def test_the_exposition_is_that_of_prometheus(service: Service) -> None:
    service.push()
    answer = service.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    for name in (
        "duban_http_requests", "duban_http_request_seconds", "duban_pushes", "duban_push_group_size",
        "duban_push_commit_seconds", "duban_push_queue", "duban_sweep_seconds", "duban_sweep_delay_seconds",
        "duban_sweep_failures", "duban_alerts_raised", "duban_report_seconds", "duban_leader", "duban_tickets",
        "duban_alerts_live", "duban_outbox_messages", "duban_outbox_age_seconds", "duban_database_up",
        "duban_database_connections", "process_resident_memory_bytes",
    ):  # fmt: skip
        assert families[name].documentation, name


def test_promtool_accepts_the_exposition(service: Service, promtool: Path) -> None:
    service.push()
    text = service.client.get("/metrics").content
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_requests_are_counted_by_route_method_and_status(service: Service) -> None:
    ticket = service.push()["id"]
    for path in (f"/tickets/{ticket}", f"/tickets/{ticket}?lang=en", "/tickets/999999"):
        service.call("GET", path)
    service.client.request("BREW", "/somewhere/else")
    samples = scraped(service)
    route = "/api/v1/tickets/{ticket_id}"
    assert value(samples, "duban_http_requests_total", method="GET", route=route, status="200") == 2
    assert value(samples, "duban_http_requests_total", method="GET", route=route, status="404") == 1
    assert value(samples, "duban_http_request_seconds_count", method="GET", route=route) == 3
    assert value(samples, "duban_http_requests_total", method="other", route="(none)", status="404") == 1


def test_pushes_are_counted_by_outcome(service: Service) -> None:
    bodies = ({"external_id": "a", "title": "路灯不亮"}, {"external_id": "a", "title": "路灯不亮"})
    assert [service.call("POST", "/tickets", role="integrator", json=each).status_code for each in bodies] == [201, 200]
    samples = scraped(service)
    assert value(samples, "duban_pushes_total", outcome="created") == 1
    assert value(samples, "duban_pushes_total", outcome="unchanged") == 1
    assert value(samples, "duban_push_group_size_sum") == 2
    assert value(samples, "duban_push_commit_seconds_count") == 2
    assert value(samples, "duban_push_queue") == 0


def test_a_sweep_and_a_report_are_timed(service: Service) -> None:
    service.push(unit="GA", received_at="2026-03-02T09:00:00+08:00")
    result = Sweeper(service.runtime, "test").once(clock.now())
    service.call("POST", "/reports", json={"kind": "daily", "period": "2026-03-02"})
    samples = scraped(service)
    assert result.checked == 1
    assert value(samples, "duban_sweep_delay_seconds_sum") > 86_400
    assert value(samples, "duban_alerts_raised_total") == result.alerts > 0
    assert value(samples, "duban_report_seconds_count", kind="daily") == 1
    assert sum(v for (name, _), v in samples.items() if name == "duban_alerts_live") == result.alerts


def test_each_process_counts_for_itself() -> None:
    first, second = Metrics(), Metrics()
    first.served("GET", "/healthz", 200, 0.1)
    labels = {"method": "GET", "route": "/healthz", "status": "200"}
    assert first.registry.get_sample_value("duban_http_requests_total", labels) == 1
    assert second.registry.get_sample_value("duban_http_requests_total", labels) is None


def test_scrapes_share_one_reading_for_some_seconds(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("app.store.gauges.monotonic", lambda: now)
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(service.runtime.database, soon=10, late=60))
    statements: list[str] = []

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    def read() -> tuple[bool, bool]:
        statements.clear()
        list(registry.collect())
        text = " ".join(statements)
        return "FROM ticket" in text, "FROM alert" in text

    event.listen(service.runtime.database.engine, "before_cursor_execute", note)
    try:
        assert read() == (True, True)
        assert read() == (False, False)
        assert statements == []
        now += 10
        assert read() == (False, True)
        now += 50
        assert read() == (True, True)
    finally:
        event.remove(service.runtime.database.engine, "before_cursor_execute", note)


def test_an_unreachable_database_is_a_figure(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("unreachable"))

    monkeypatch.setattr(Database, "read", broken)
    answer = service.client.get("/metrics")
    assert answer.status_code == 200
    assert "\nduban_database_up 0.0\n" in answer.text
    assert "duban_tickets" not in answer.text
