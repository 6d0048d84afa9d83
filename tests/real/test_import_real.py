"""The cities' own files through `import_file`: every row a ticket, the published figures in the database, and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from app.config import Settings
from app.models import Deadline, Ticket, TicketEvent, Unit
from app.runtime import Runtime
from app.services.audit import seals
from ingest.files.importer import import_file
from ingest.rows.profile import load_profile

pytestmark = pytest.mark.real
NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
BOSTON = [f"boston311_animal_{year}.csv.gz" for year in (2013, 2014, 2015, 2016)]


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    """The service's shared state on an empty database."""
    found = Runtime.open(Settings(database_url=SecretStr(database_url)), NOW)
    yield found
    found.close()


def take(runtime: Runtime, folder: Path, profile: str, *names: str) -> None:
    """Import the files twice: all created, then all unchanged."""
    created = 0
    for name in names:
        tally = import_file(runtime, folder / name, load_profile(profile), NOW).tally
        assert (tally.unchanged, tally.rejected) == (0, 0)
        created += tally.created
    again = [import_file(runtime, folder / name, load_profile(profile), NOW).tally for name in names]
    assert (sum(t.created for t in again), sum(t.unchanged for t in again)) == (0, created)


def tickets(runtime: Runtime) -> list[Ticket]:
    with runtime.database.read() as session:
        found = list(session.execute(select(Ticket)).scalars())
    assert all(ticket.historical and ticket.next_check_at is None for ticket in found)
    return found


def by_times(ticket: Ticket) -> str | None:
    if ticket.completed_at is None or ticket.due_at is None:
        return None
    return "on_time" if ticket.completed_at <= ticket.due_at else "late"


def test_pingshan_gives_each_month_what_was_published(runtime: Runtime, real_data: Path) -> None:
    take(runtime, real_data, "pingshan", "pingshan_msq_2018-02_to_2018-09.utf8.csv.gz")
    zone = ZoneInfo("Asia/Shanghai")
    months: dict[str, Counter[str | None]] = {}
    for ticket in tickets(runtime):
        months.setdefault(f"{ticket.received_at.astimezone(zone):%Y-%m}", Counter())[ticket.source_verdict] += 1
        assert (ticket.status == "completed") == (ticket.source_verdict is not None)
        assert ticket.due_at is None
        assert ticket.completed_at is None
    assert {month: (c.total(), c["on_time"], c["late"], c[None]) for month, c in months.items()} == {
        "2018-02": (185, 151, 34, 0),
        "2018-03": (8, 5, 3, 0),
        "2018-06": (204, 182, 22, 0),
        "2018-07": (476, 418, 58, 0),
        "2018-08": (547, 465, 82, 0),
        "2018-09": (2561, 2264, 295, 2),
    }
    with runtime.database.read() as session:
        assert session.execute(select(Deadline)).first() is None
        assert len(session.execute(select(Unit)).scalars().all()) == 104  # of several spellings, one unit each
    assert seals.verify(runtime.database) is None


def test_baltimore_comes_out_as_the_city_has_it(runtime: Runtime, real_data: Path) -> None:
    take(runtime, real_data, "baltimore311", "baltimore311_10k.csv.gz")
    found = Counter((ticket.status, by_times(ticket)) for ticket in tickets(runtime))
    assert found.total() == 10_000
    assert (found["closed", "on_time"], found["closed", "late"], found["void", None]) == (7_988, 1_567, 10)
    assert sum(count for (_, verdict), count in found.items() if verdict) == 9_555


def test_every_boston_verdict_equals_the_one_of_the_city(runtime: Runtime, real_data: Path) -> None:
    take(runtime, real_data, "boston311", *BOSTON)
    with runtime.database.read() as session:
        events = session.execute(
            select(col(TicketEvent.ticket_id), col(TicketEvent.data)).where(col(TicketEvent.type) == "received")
        )
        flags = {ticket_id: data.get("source_flag") for ticket_id, data in events}
    seen = Counter((by_times(ticket), flags[ticket.id]) for ticket in tickets(runtime))
    assert seen.total() == 22_078
    assert {pair: count for pair, count in seen.items() if pair[0]} == {
        ("on_time", "on_time"): 10_821,
        ("late", "late"): 390,
    }
