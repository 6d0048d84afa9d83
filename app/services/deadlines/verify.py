"""Verify and repair: recompute every deadline from the event log, compare it with its row, and repair it on demand.

``app.services.deadlines.differences`` compares a ticket with its log. Tickets are read in batches, each from one database
snapshot, while the service keeps running. Each difference is repaired in a separate transaction, after it was confirmed
under the ticket's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.db import Database
from app.domain.tickets.rebuild import RebuiltDeadline, RebuiltDeadlines
from app.models import Deadline, Suspension, Ticket
from app.services.alerts import book as alerts
from app.services.core.events import append
from app.services.core.reference import ReferenceCache
from app.services.core.unit_of_work import UnitOfWork, unit_of_work
from app.services.deadlines.book import DeadlineChange, moves_data, of_ticket
from app.services.deadlines.differences import Difference, Versions, cases, differences, pairs
from app.store import tickets as store

BATCH: Final = 1000
"""Tickets read at a time."""


@dataclass
class VerifyProgress:
    """The counts so far. ``last_id``: the last ticket of the completed batches."""

    tickets: int = 0
    deadlines: int = 0
    differing: int = 0
    repaired: int = 0
    total: int = 0
    last_id: int = 0


def verify(
    database: Database,
    references: ReferenceCache,
    *,
    repair_by: str | None = None,
    now: datetime,
    live_only: bool = False,
    on_progress: Callable[[VerifyProgress], None] = lambda _: None,
) -> Iterator[Difference]:
    """Yield every difference between stored deadlines and those recomputed from the log, ticket by ticket.

    ``repair_by``: the actor of repairs; each ticket is then repaired as soon as a difference is found, and the repaired
    differences are yielded. ``live_only``: skip closed and void tickets. ``on_progress`` is called after each batch.
    """
    checked, versions = VerifyProgress(), Versions()
    with database.read() as session:
        checked.total = session.execute(
            select(func.count()).select_from(Ticket).where(*_wanted(live_only))
        ).scalar_one()
    while True:
        with _one_state(database) as session:
            batch = cases(session, _tickets(session, checked.last_id, live_only))
            if not batch:
                return
            versions.load(session)
            found = {case.id: list(differences(case, versions)) for case in batch}
        checked.deadlines += sum(len(case.rows) for case in batch)
        checked.tickets += len(batch)
        for ticket_id in [key for key, differing in found.items() if differing]:
            if repair_by is None:
                listed = found[ticket_id]
            else:
                with unit_of_work(database, references, now) as uow:
                    versions.load(uow.session)
                    listed = repair(uow, versions, ticket_id, actor=repair_by)
                checked.repaired += len(listed)
            checked.differing += len(listed)
            yield from listed
        checked.last_id = batch[-1].id
        on_progress(checked)


def _wanted(live_only: bool) -> list[Any]:
    return [col(Ticket.status).not_in(["closed", "void"])] if live_only else []


def _tickets(session: Session, after: int, live_only: bool) -> Sequence[Any]:
    t: Any = Ticket
    query = select(t.id, t.number, t.status, t.due_at, t.provisional).where(t.id > after, *_wanted(live_only))
    return session.execute(query.order_by(t.id).limit(BATCH)).all()


@contextmanager
def _one_state(database: Database) -> Iterator[Session]:
    with database.read() as session:
        if database.is_postgresql:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


def repair(uow: UnitOfWork, versions: Versions, ticket_id: int, *, actor: str) -> list[Difference]:
    """Repair one ticket's deadlines from the log, with an event of old and new values, and reschedule its ladder check;
    returns the differences found under its lock and repaired."""
    session, now = uow.session, uow.now
    ticket = store.lock_ticket(session, ticket_id)
    if ticket is None:
        return []
    (case,) = cases(session, [ticket])
    rebuilt = case.rebuilt
    found = list(differences(case, versions))
    if not found:
        return []
    _set_suspensions(session, ticket_id, rebuilt, actor)
    listed = list(pairs(of_ticket(session, ticket_id), rebuilt))
    moves = [move for pair in listed if (move := _set(session, versions, ticket, *pair, now))]
    complete = rebuilt.in_force("complete")
    if ticket.status != "void":
        answer = versions.due(complete) if complete is not None else None
        ticket.due_at = None if answer is None else answer.due_at
        ticket.provisional = answer is not None and answer.provisional
    supervise = rebuilt.in_force("supervise")
    answer = versions.due(supervise) if supervise is not None else None
    if case.order is not None and answer is not None:
        case.order.due_at = answer.due_at
        session.add(case.order)
    session.flush()
    alerts.resolve(uow, ticket, [move.target for move in moves], resolution="deadline_moved")
    repaired = [{k: v for k, v in one.to_json().items() if k not in ("ticket", "number")} for one in found]
    append(
        session, ticket, "deadline_mended", at=now, now=now, actor=actor,
        data={"deadlines": moves_data(moves), "mended": repaired},
    )  # fmt: skip
    alerts.reschedule(uow, ticket)
    return found


def _set_suspensions(session: Session, ticket_id: int, rebuilt: RebuiltDeadlines, actor: str) -> None:
    """Make the suspension rows equal to those of the log, since each recompute gives them back."""
    s: Any = Suspension
    rows = session.execute(select(s).where(s.ticket_id == ticket_id).order_by(s.from_at, s.id)).scalars()
    for row, span in zip_longest(list(rows), rebuilt.all_suspensions):
        if span is None:
            session.delete(row)
        elif row is None:
            session.add(Suspension(ticket_id=ticket_id, from_at=span[0], to_at=span[1], reason="", actor=actor))
        else:
            row.from_at, row.to_at = span
            session.add(row)


def _set(
    session: Session,
    versions: Versions,
    ticket: Ticket,
    target: str,
    row: Deadline | None,
    rebuilt: RebuiltDeadline | None,
    now: datetime,
) -> DeadlineChange | None:
    """Make one row equal to the rebuilt deadline; returns the change, if the deadline in force moved."""
    if rebuilt is None:
        if row is None or row.cancelled_at is not None:
            return None
        row.cancelled_at = now
        session.add(row)
        return DeadlineChange(target, row.due_at, None)
    if rebuilt.cancelled_at is not None:  # its due time no longer matters
        if row is None or row.cancelled_at == rebuilt.cancelled_at:
            return None
        row.met_at, row.cancelled_at = rebuilt.met_at, rebuilt.cancelled_at
        session.add(row)
        return DeadlineChange(target, row.due_at, None)
    answer = versions.due(rebuilt)
    if answer is None:
        return None
    if row is None:
        taken = [other.round for other in of_ticket(session, ticket.id) if other.target == target]
        row = Deadline(ticket_id=ticket.id, target=target, round=max([ticket.round, *(n + 1 for n in taken)]),
                       started_at=rebuilt.start, due_at=answer.due_at)  # fmt: skip
        old = None
    else:
        old = row.due_at
        if old != answer.due_at:
            row.revision += 1
    limit = versions.limit(rebuilt.policy_id, target) if rebuilt.policy_id is not None else None
    row.started_at, row.due_at, row.provisional = rebuilt.start, answer.due_at, answer.provisional
    row.met_at, row.cancelled_at, row.extended_days = rebuilt.met_at, rebuilt.cancelled_at, rebuilt.extended_days
    row.limit = None if limit is None else limit.to_spec()
    row.basis = "source" if limit is None else "policy"
    if rebuilt.policy_id is not None:
        row.policy_id, row.calendar_id = rebuilt.policy_id, rebuilt.calendar_id
    session.add(row)
    return DeadlineChange.to_where(row, old) if old != row.due_at and row.cancelled_at is None else None
