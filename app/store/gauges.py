"""Gauges that are read from the database when ``/metrics`` is scraped, each kept for some seconds.

A scrape costs no more than one reading in that time, however many scrape; counting all tickets takes 0.2 s where there are
millions, and is done once a minute. Where the database is unreachable, ``duban_database_up`` is 0 and nothing else is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import QueuePool, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col

from app import clock
from app.db import Database
from app.models import Alert, Feed, Outbox, SweepRun, Ticket
from app.store import feeds as feed_store
from app.store.supervision import LIVE

SOON: Final = 10.0
"""Seconds for which a cheap gauge is kept."""
LATE: Final = 60.0
"""Seconds for which the count of all tickets is kept."""

Read = Callable[[Session, datetime], Iterable[Metric]]


def tickets(session: Session, now: datetime) -> Iterator[Metric]:
    """Tickets by status."""
    family = GaugeMetricFamily("duban_tickets", "Tickets by status.", labels=["status"])
    for status, count in session.execute(select(col(Ticket.status), func.count()).group_by(col(Ticket.status))):
        family.add_metric([status], count)
    yield family


def alerts(session: Session, now: datetime) -> Iterator[Metric]:
    """Alerts that are not resolved, by state and card."""
    family = GaugeMetricFamily("duban_alerts_live", "Alerts not resolved, by state and card.", labels=["state", "card"])
    by = (col(Alert.state), col(Alert.card))
    for state, card, count in session.execute(select(*by, func.count()).where(by[0].in_(LIVE)).group_by(*by)):
        family.add_metric([state, card or "none"], count)
    yield family


def sweeps(session: Session, now: datetime) -> Iterator[Metric]:
    """Seconds since the last sweep of any process, once there was one."""
    last = session.execute(select(func.max(SweepRun.at))).scalar()
    if last is not None:
        age = (now - last).total_seconds()
        yield GaugeMetricFamily("duban_last_sweep_seconds", "Seconds since the last sweep of any process.", value=age)


def feeds(session: Session, now: datetime) -> Iterator[Metric]:
    """How the active feeds do: failures in a row, seconds since all of the upstream's records were here, open rejects."""

    def gauge(name: str, text: str, value: Callable[[Feed], float]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["feed"])
        for feed in active:
            family.add_metric([feed.name], value(feed))
        return family

    active = [feed for feed in feed_store.all_feeds(session) if feed.active]
    yield gauge("duban_feed_failures", "Pulls of a feed that failed in a row.", lambda feed: feed.failures)
    yield gauge("duban_feed_lag_seconds", "Seconds since all that its upstream had was here.",
                lambda feed: (now - (feed.last_done_at or feed.added_at)).total_seconds())  # fmt: skip
    yield gauge("duban_feed_rejects", "Open rejects of a feed.",
                lambda feed: feed_store.open_rejects(session, feed.source_id))  # fmt: skip


def outbox(session: Session, now: datetime) -> Iterator[Metric]:
    """Messages of the outbox that are pending or were given up, and for how long the oldest due one has waited."""
    family = GaugeMetricFamily("duban_outbox_messages", "Messages pending or given up, by state.", labels=["state"])
    state = col(Outbox.state)
    for name in ("pending", "failed"):
        family.add_metric([name], session.execute(select(func.count()).where(state == name)).scalar_one())
    yield family
    due = select(func.min(col(Outbox.not_before))).where(state == "pending")
    oldest = session.execute(due).scalar()
    age = max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
    yield GaugeMetricFamily("duban_outbox_age_seconds", "Seconds that the oldest due message has waited.", value=age)


@dataclass
class _Kept:
    """What ``read`` gave last, and until when that is good."""

    seconds: float
    read: Read
    metrics: list[Metric] = field(default_factory=list)
    until: float = float("-inf")


class DatabaseCollector(Collector):
    """The gauges above and the connections of the pool, for a registry."""

    def __init__(self, database: Database, *, soon: float = SOON, late: float = LATE) -> None:
        self._database = database
        self._lock = Lock()
        self._kept = [_Kept(late, tickets), *(_Kept(soon, read) for read in (alerts, sweeps, feeds, outbox))]

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: a registry that asked would read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read what is older than it may be; one caller at a time."""
        yield self._connections()
        with self._lock:
            try:
                self._refresh(clock.now())
                up = True
            except SQLAlchemyError:
                up = False
            found = [metric for kept in self._kept for metric in kept.metrics] if up else []
        yield GaugeMetricFamily("duban_database_up", "1 where the database answers.", value=up)
        yield from found

    def _refresh(self, now: datetime) -> None:
        stale = [kept for kept in self._kept if kept.until <= monotonic()]
        if not stale:
            return
        with self._database.read() as session:
            for kept in stale:
                kept.metrics = list(kept.read(session, now))
                kept.until = monotonic() + kept.seconds

    def _connections(self) -> Metric:
        family = GaugeMetricFamily("duban_database_connections", "Connections of the pool, by state.", labels=["state"])
        pool: Any = self._database.engine.pool
        if isinstance(pool, QueuePool):
            family.add_metric(["in_use"], pool.checkedout())
            family.add_metric(["idle"], pool.checkedin())
        return family
