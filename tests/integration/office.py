"""A command centre for tests of supervision: a database with its defaults, one unit tree, and tickets told in the past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from typing import Any

from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import Session, SQLModel

from app.config import Settings
from app.models import Alert, Deadline, Source, SupervisionOrder, Ticket, TicketEvent, Unit
from app.runtime import Runtime
from app.security.principal import SYSTEM, Principal
from app.services.core import events as log
from app.services.core.reference import touch
from app.services.supervision.sweep import SweepResult, sweep
from app.services.tickets import actions as lifecycle
from app.services.tickets import callbacks

START = datetime.fromisoformat("2026-03-02T10:00:00+08:00")
"""A Monday; five working days from it end on Monday the 9th at 17:30."""
DUE = datetime.fromisoformat("2026-03-09T17:30:00+08:00")
ACCEPT_DUE = datetime.fromisoformat("2026-03-03T17:30:00+08:00")
SUPERVISOR = Principal("user:sun", "孙督办", "supervisor")
LEADER = Principal("user:luo", "罗领导", "leader")


def moment(text: str) -> datetime:
    """A time of Beijing in 2026: ``moment("03-09 17:30")``."""
    return datetime.fromisoformat(f"2026-{text.replace(' ', 'T')}+08:00")


class Office:
    """The services on one database, without the web around them."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.database = runtime.database
        self._numbers = count(1)
        with self.database.write() as session:
            found = session.execute(select(Unit)).scalars().all()
            if not found:
                session.add(Source(code="hotline", name="热线"))
                self._unit(session, "GA", None)
                self._unit(session, "GA-1", "GA")
                self._unit(session, "CG", None)
                touch(session)
        with self.database.read() as session:
            self.units = {unit.code: unit for unit in session.execute(select(Unit)).scalars()}
            self.source_id = session.execute(select(Source.id)).scalar_one()  # type: ignore[call-overload]

    @staticmethod
    def _unit(session: Session, code: str, parent: str | None) -> None:
        above = session.execute(select(Unit).where(Unit.code == parent)).scalar_one_or_none()  # type: ignore[arg-type]
        row = Unit(code=code, name=f"单位{code}", parent_id=above.id if above else None)
        session.add(row)
        session.flush()
        row.path = f"{above.path if above else '/'}{row.id}/"

    def person_of(self, code: str) -> Principal:
        """Somebody of a unit."""
        unit = self.units[code]
        return Principal(f"user:{code.lower()}", code, "unit", unit_id=unit.id, unit_path=unit.path)

    def tickets(self, n: int, *, unit: str = "GA", start: datetime = START) -> list[int]:
        """``n`` tickets dispatched at ``start``."""
        ids = self.runtime.ids.take(n)
        with self.runtime.writing(start) as uow:
            for ticket_id in ids:
                self._receive(uow.session, ticket_id, start)
                lifecycle.act(uow, SYSTEM, ticket_id, "dispatch", {"unit": unit}, at=start)
        return ids

    def ticket(self, *, unit: str = "GA", start: datetime = START, accepted: bool = True) -> int:
        """One ticket, dispatched and signed for at ``start``."""
        (ticket_id,) = self.tickets(1, unit=unit, start=start)
        if accepted:
            self.act(ticket_id, "accept", start)
            self.act(ticket_id, "contact", start)
        return ticket_id

    def _receive(self, session: Session, ticket_id: int, start: datetime) -> None:
        ticket = Ticket(
            id=ticket_id, number=f"N{ticket_id}", source_id=self.source_id, external_id=f"E{ticket_id}",
            fingerprint="", title="路灯不亮", kind="complaint", status="received", received_at=start,
            recorded_at=start, changed_at=start,
        )  # fmt: skip
        session.add(ticket)
        session.flush()
        log.append(session, ticket, "received", at=start, now=start, actor="system:test")
        session.flush()

    def act(self, ticket_id: int, action: str, now: datetime, *, who: Principal = SYSTEM, **params: Any) -> None:
        """Take an action at ``now``."""
        with self.runtime.writing(now) as uow:
            lifecycle.act(uow, who, ticket_id, action, params, at=None)

    def call_back(self, ticket_id: int, now: datetime, satisfaction: str) -> None:
        """A callback that reached the citizen."""
        with self.runtime.writing(now) as uow:
            answers = {"outcome": "reached", "satisfaction": satisfaction}
            callbacks.record(uow, SYSTEM, ticket_id, answers, at=None)

    def sweep(self, now: datetime, batch: int = 500) -> SweepResult:
        """One sweep."""
        return sweep(self.database, self.runtime.reference, now, batch)

    def get(self, ticket_id: int) -> Ticket:
        """The ticket as it stands."""
        with self.database.read() as session:
            return session.get_one(Ticket, ticket_id)

    def all(self, table: type[SQLModel], ticket_id: int | None = None) -> list[Any]:
        """The rows of a table (of one ticket), in the order of their keys."""
        model: Any = table
        query = select(model)
        if ticket_id is not None:
            query = query.where(model.ticket_id == ticket_id)
        order = list(model.__table__.primary_key.columns)
        with self.database.read() as session:
            return list(session.execute(query.order_by(*order)).scalars())

    def alerts(self, ticket_id: int | None = None) -> list[Alert]:
        """Alerts in the order in which they were raised."""
        return self.all(Alert, ticket_id)

    def orders(self, ticket_id: int | None = None) -> list[SupervisionOrder]:
        """Supervision orders in the order in which they were issued."""
        return self.all(SupervisionOrder, ticket_id)

    def events(self, ticket_id: int) -> list[str]:
        """The types of a ticket's events."""
        return [event.type for event in self.all(TicketEvent, ticket_id)]

    def deadline(self, ticket_id: int, target: str) -> Deadline:
        """The latest deadline of a target."""
        rows = [row for row in self.all(Deadline, ticket_id) if row.target == target]
        return max(rows, key=lambda row: row.round)  # type: ignore[no-any-return]


@contextmanager
def working(url: str) -> Iterator[Office]:
    """An office on the database at ``url``."""
    runtime = Runtime.open(Settings(database_url=SecretStr(url)), START)
    try:
        yield Office(runtime)
    finally:
        runtime.close()
