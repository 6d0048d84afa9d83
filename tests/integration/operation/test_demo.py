"""The sample data as written: through the real services, verifiable, the same each time, something for every page.

Two weeks are told instead of a quarter, with the same cast on the last day.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlmodel import col

from app import demo
from app.config import Settings
from app.models import Alert, AlertFeed, Callback, Extension, SupervisionOrder, Ticket, TicketEvent, User
from app.runtime import Runtime
from app.services.access import accounts
from app.services.audit.seals import verify
from app.services.core import catalogue
from app.services.supervision.sweep import sweep

NOW = datetime.fromisoformat("2026-11-24T11:20:00+08:00")
DAYS = 14


@contextmanager
def opened(url: str) -> Iterator[Runtime]:
    runtime = Runtime.open(Settings(database_url=SecretStr(url)), NOW)
    try:
        yield runtime
    finally:
        runtime.close()


def tally(runtime: Runtime, column: Any) -> dict[Any, int]:
    """How many rows have each value of a column."""
    with runtime.database.read() as session:
        return dict(tuple(row) for row in session.execute(select(column, func.count()).group_by(column)))


@dataclass
class Filled:
    """A database with sample data, the counts that were answered, and the progress that was reported: done of total."""

    runtime: Runtime
    counts: dict[str, int]
    progress: list[tuple[int, int]]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A database with some weeks of sample data, read by several tests and written by none."""
    if request.param == "sqlite":
        server, name = None, ""
        url = f"sqlite:///{(tmp_path_factory.mktemp('demo') / 'duban.db').as_posix()}"
    else:
        server = request.getfixturevalue("postgres_server")
        name = server.make_database()
        url = server.url_of(name)
    with opened(url) as runtime:
        assert demo.is_empty(runtime)
        progress: list[tuple[int, int]] = []
        counts = demo.fill(runtime, NOW, progress=lambda done, total: progress.append((done, total)), days=DAYS)
        yield Filled(runtime, counts, progress)
    if server is not None:
        server.drop_database(name)


def test_sample_data_fills_every_page_with_a_valid_hash_chain(filled: Filled) -> None:
    runtime, counts = filled.runtime, filled.counts
    assert not demo.is_empty(runtime)
    assert verify(runtime.database) is None
    assert counts["tickets"] > 250
    assert counts["events"] > 5 * counts["tickets"]

    assert set(tally(runtime, col(Ticket.status))) == {
        "received", "dispatched", "accepted", "returned", "suspended", "completed", "reopened", "closed", "void",
    }  # fmt: skip
    assert set(tally(runtime, col(Ticket.stage))) == {"assigned", "urged", "focused", "in_depth"}
    cards = tally(runtime, col(Ticket.card))
    assert cards["red"] >= 5
    assert cards["yellow"] >= 5
    assert cards[None] > 0.85 * counts["tickets"]
    assert set(tally(runtime, col(Alert.state))) == {"open", "acked", "resolved"}
    assert set(tally(runtime, col(Alert.target))) == {"accept", "contact", "complete", "callback", "supervise"}
    orders = tally(runtime, col(SupervisionOrder.state))
    assert set(orders) == {"issued", "replied", "closed"}
    assert sum(orders.values()) == counts["supervision_orders"]
    assert set(tally(runtime, col(SupervisionOrder.trigger))) >= {"overdue", "dissatisfied", "leader"}
    assert set(tally(runtime, col(SupervisionOrder.term))) >= {1, 2}
    assert set(tally(runtime, col(Extension.state))) >= {"approved", "pending"}
    assert set(tally(runtime, col(Callback.outcome))) == {"reached", "no_answer", "refused"}
    assert max(tally(runtime, col(Ticket.repeats))) >= 1

    grades = tally(runtime, col(Ticket.satisfaction))
    rated = sum(n for grade, n in grades.items() if grade is not None)
    content = sum(grades.get(grade, 0) for grade in ("very_satisfied", "satisfied", "basically_satisfied"))
    assert 0.96 <= content / rated < 1


def test_sample_alerts_and_orders_arise_on_time_and_in_order(filled: Filled) -> None:
    runtime = filled.runtime
    with runtime.database.read() as session:
        raised = list(session.execute(select(Alert).order_by(col(Alert.id))).scalars())
        issued = list(session.execute(select(SupervisionOrder).order_by(col(SupervisionOrder.id))).scalars())
        feed = list(session.execute(select(AlertFeed).order_by(col(AlertFeed.id))).scalars())
        recorded = session.execute(select(func.max(col(TicketEvent.recorded_at)))).scalar_one()
    assert all(0 <= (alert.raised_at - alert.breach_at).total_seconds() <= 1 for alert in raised)
    assert [alert.raised_at for alert in raised] == sorted(alert.raised_at for alert in raised)
    assert [order.serial for order in issued] == list(range(1, len(issued) + 1)), "numbered without a gap"
    assert [order.issued_at for order in issued] == sorted(order.issued_at for order in issued)
    assert [entry.at for entry in feed] == sorted(entry.at for entry in feed)
    assert recorded <= NOW

    assert sweep(runtime.database, runtime.reference, NOW).checked == 0, "nothing is left for the first real sweep"


def heads(runtime: Runtime) -> list[tuple[Any, ...]]:
    """Every ticket as it stands, with the hash of its last event."""
    t: Any = Ticket
    with runtime.database.read() as session:
        query = select(t.id, t.number, t.status, t.stage, t.card, t.head_seq, t.head_hash).order_by(t.id)
        return [tuple(row) for row in session.execute(query)]


def test_the_same_seed_and_clock_fill_both_databases_alike(sqlite_url: str, postgres_url: str) -> None:
    with opened(sqlite_url) as one, opened(postgres_url) as two:
        assert demo.fill(one, NOW, days=2) == demo.fill(two, NOW, days=2)
        assert heads(one) == heads(two)


def test_progress_is_reported_up_to_its_end(filled: Filled) -> None:
    assert filled.progress == sorted(filled.progress)
    done, total = filled.progress[-1]
    assert done == total > 0


def test_a_database_with_accounts_alone_counts_as_empty(database_url: str) -> None:
    with opened(database_url) as runtime:
        with runtime.database.write() as session:
            accounts.create_user(session, "admin", "admin", now=NOW)
        assert demo.is_empty(runtime)
        with runtime.database.write() as session:
            catalogue.ensure_source(session, "12345")
        assert not demo.is_empty(runtime)


def test_no_account_comes_with_the_sample_data(filled: Filled) -> None:
    with filled.runtime.database.read() as session:
        assert session.execute(select(func.count()).select_from(User)).scalar_one() == 0
