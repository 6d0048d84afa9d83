"""Sample data (``duban demo``): a believable quarter of a county that does not exist.

    people, places        who reports, and where; units and grids
    matters               what is reported: categories and texts
    life, plot, story     pure: from a seed and a clock to lives, each a pushed ticket and timed steps
    playback              the lives replayed through the real services, with the sweeps of those days in between

So whatever the services do is in the data: deadlines, alerts, cards, supervision orders, hashes. The same seed and clock
on an empty database give the same tickets, states and numbers.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, SQLModel

from app.demo.matters import categories
from app.demo.places import grids, units
from app.demo.playback import Host, Progress, play
from app.demo.story import DAYS, SOURCES, quarter
from app.models import (
    Alert,
    Callback,
    Category,
    Deadline,
    Extension,
    Feed,
    Grid,
    Reject,
    Source,
    SupervisionOrder,
    Suspension,
    Ticket,
    TicketEvent,
    Unit,
)
from app.services.audit.seals import seal_all
from app.services.core import catalogue
from app.services.core.reference import DEFAULT_CALENDAR

__all__ = ["SEED", "Host", "Progress", "counted", "fill", "is_empty"]

SEED = 20
"""The seed of the sample data that ships."""
COUNTED: dict[str, type[SQLModel]] = {
    "tickets": Ticket,
    "events": TicketEvent,
    "deadlines": Deadline,
    "alerts": Alert,
    "supervision_orders": SupervisionOrder,
    "callbacks": Callback,
    "extensions": Extension,
    "suspensions": Suspension,
    "units": Unit,
    "grids": Grid,
    "categories": Category,
    "sources": Source,
    "feeds": Feed,
    "rejects": Reject,
}


def is_empty(host: Host) -> bool:
    """Whether sample data may be written: there is no ticket, unit, grid, category or source yet."""
    with host.database.read() as session:
        return not any(_count(session, table) for table in (Ticket, Unit, Grid, Category, Source))


def fill(
    host: Host, now: datetime, seed: int = SEED, progress: Progress | None = None, *, days: int = DAYS
) -> dict[str, int]:
    """Write the ``days`` days that end at ``now`` (aware) into an empty database; returns the row counts by kind.

    ``progress`` is called with the number of steps done and the total.
    """
    with host.database.write() as session:
        _furnish(session)
    with host.database.read() as session:
        ref = host.reference.get(session)
    lives = quarter(seed, now, ref.calendars[DEFAULT_CALENDAR][1], tuple(policy for _, policy in ref.policies), days)
    play(host, lives, now, progress)
    seal_all(host.database, now, full=True)
    return counted(host)


def counted(host: Host) -> dict[str, int]:
    """How many rows there are of each kind."""
    with host.database.read() as session:
        return {name: _count(session, table) for name, table in COUNTED.items()}


def _furnish(session: Session) -> None:
    """Units, grids, categories and sources."""
    for fields in units():
        catalogue.create_node(session, Unit, fields)
    for fields in grids():
        catalogue.create_node(session, Grid, fields)
    for fields in categories():
        catalogue.create_node(session, Category, fields)
    for code, name, english, *_ in SOURCES:
        catalogue.create_source(session, {"code": code, "name": name, "name_en": english})


def _count(session: Session, table: type[SQLModel]) -> int:
    return int(session.execute(select(func.count()).select_from(table)).scalar_one())
