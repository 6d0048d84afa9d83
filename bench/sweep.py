"""The sweep: nothing due beside the bare index probe; many due beside the bare UPDATE and INSERT of the same rows.

Each ticket that is due gets a red card, an order with its limit, three events, a message and a feed entry; the reference
writes those rows of all tables again, in batches of the same size. On SQLite, and on PostgreSQL too where
``DUBAN_BENCH_POSTGRES_URL`` names an empty database.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import bindparam, delete, insert, select, text, update

from app.config import Settings
from app.models import Alert, AlertFeed, Deadline, Outbox, Source, SupervisionOrder, Ticket, TicketEvent, Unit
from app.runtime import Runtime
from app.security.hash_chain import link
from app.services.supervision.sweep import sweep
from app.store import supervision
from bench.measure import Row, seconds_in_turn

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
DUE = datetime(2026, 3, 9, 9, 30, tzinfo=UTC)
FAR = DUE + timedelta(days=30)
WRITTEN: tuple[Any, ...] = (Alert, SupervisionOrder, TicketEvent, Deadline, Outbox, AlertFeed)


def fill(runtime: Runtime, n_open: int, n_due: int) -> None:
    """Create ``n_open`` open tickets, of which ``n_due`` reach their complete-deadline at ``DUE``."""
    with runtime.database.write() as session:
        source, unit = Source(code="bench", name="bench"), Unit(code="U", name="unit")
        session.add_all([source, unit])
        session.flush()
        unit.path = f"/{unit.id}/"
        for low in range(1, n_open + 1, 5000):
            tickets, events, deadlines = [], [], []
            for n in range(low, min(low + 5000, n_open + 1)):
                due = DUE if n <= n_due else FAR
                digest = link("", n, 1, "received", START, START, "system:bench", {})
                tickets.append({"id": n, "number": f"N{n}", "source_id": source.id, "external_id": str(n),
                                "fingerprint": "", "title": "t", "kind": "complaint", "status": "accepted",
                                "unit_id": unit.id, "received_at": START, "recorded_at": START, "changed_at": START,
                                "due_at": due, "next_check_at": due, "head_seq": 1, "head_hash": digest})  # fmt: skip
                events.append({"ticket_id": n, "seq": 1, "type": "received", "at": START, "recorded_at": START,
                               "actor": "system:bench", "data": {}, "prev_hash": "", "hash": digest})  # fmt: skip
                deadlines.append({"ticket_id": n, "target": "complete", "round": 1, "started_at": START,
                                  "due_at": due})  # fmt: skip
            session.execute(insert(Ticket), tickets)
            session.execute(insert(TicketEvent), events)
            session.execute(insert(Deadline), deadlines)
    with runtime.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if runtime.database.is_postgresql:
            connection.execute(text("ANALYZE"))


def probe(runtime: Runtime, now: datetime) -> None:
    """Run the bare index probe."""
    with runtime.database.read() as session:
        supervision.oldest_due(session, now)


def repeat(work: Callable[..., object], *given: object) -> None:
    """Run ``work`` a hundred times: once is too short to time."""
    for _ in range(100):
        work(*given)


def bare(runtime: Runtime, n_due: int) -> float:
    """Return the seconds to write the sweep's rows again by bare statements of the same batch size."""
    kept: list[tuple[Any, list[dict[str, Any]]]] = []
    with runtime.database.write() as session:
        for model in WRITTEN:
            table = model.__table__
            query = select(table)
            if model is TicketEvent:
                query = query.where(table.c.seq > 1)
            if model is Deadline:
                query = query.where(table.c.target == "supervise")
            kept.append((table, [dict(row) for row in session.execute(query).mappings()]))
        for table, _ in reversed(kept):
            where = table.c.seq > 1 if table.name == "ticket_event" else None
            where = table.c.target == "supervise" if table.name == "deadline" else where
            session.execute(delete(table) if where is None else delete(table).where(where))
    ticket: Any = Ticket.__table__  # type: ignore[attr-defined]
    names = ("next_check_at", "card", "stage", "supervised", "head_seq", "head_hash", "version", "changed_at")
    with runtime.database.read() as session:
        rows = session.execute(select(ticket.c.id, *(ticket.c[n] for n in names)).where(ticket.c.id <= n_due)).all()
    changes = [{"b_id": row.id, **{f"b_{n}": getattr(row, n) for n in names}} for row in rows]
    change = update(ticket).where(ticket.c.id == bindparam("b_id")).values({n: bindparam(f"b_{n}") for n in names})
    size = runtime.settings.sweep_batch
    begun = time.perf_counter()
    for low in range(0, n_due, size):
        with runtime.database.writer.begin() as connection:
            connection.execute(change, changes[low : low + size])
            for table, values in kept:
                share = len(values) // n_due
                if part := values[low * share : (low + size) * share]:
                    connection.execute(insert(table), part)
    return time.perf_counter() - begun


def _measure(url: str, n_open: int, n_due: int) -> list[Row]:
    runtime = Runtime.open(Settings(database_url=SecretStr(url)), START)
    try:
        fill(runtime, n_open, n_due)
        before = DUE - timedelta(seconds=1)
        idle, idle_bare = seconds_in_turn(
            lambda: repeat(sweep, runtime.database, runtime.reference, before),
            lambda: repeat(probe, runtime, before),
        )
        begun = time.perf_counter()
        sweep(runtime.database, runtime.reference, DUE)
        busy = time.perf_counter() - begun
        busy_bare = bare(runtime, n_due)
        name = "PostgreSQL" if runtime.database.is_postgresql else "SQLite"
    finally:
        runtime.close()
    return [
        Row(f"sweep, nothing due of {n_open:,} open, {name}", f"{idle * 10:.2f} ms",
            f"{idle_bare * 10:.2f} ms, the index probe", idle / idle_bare, "≤ 3", "≤ 1.5"),
        Row(f"sweep, {n_due:,} due, {name}", f"{busy:.2f} s", f"{busy_bare:.2f} s, bare UPDATE and INSERT",
            busy / busy_bare, "≤ 3", "≤ 1.5"),
    ]  # fmt: skip


def rows(scale: float) -> list[Row]:
    """Measure nothing due, and many due, on each available database."""
    n_open, n_due = int(20_000 * scale), int(2_000 * scale)
    with tempfile.TemporaryDirectory() as folder:
        found = _measure(f"sqlite:///{(Path(folder) / 'bench.db').as_posix()}", n_open, n_due)
    if url := os.environ.get("DUBAN_BENCH_POSTGRES_URL"):
        found += _measure(url, n_open, n_due)
    return found
