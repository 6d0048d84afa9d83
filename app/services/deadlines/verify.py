"""Verify and repair: every deadline computed again from the event log, held against its row, and mended on demand.

``app.services.deadlines.differences`` says what of a ticket is not as its log has it. Tickets are read in batches, each
batch in one state of the database, so that the service may go on working meanwhile. A difference is mended in a
transaction of its own, after it was found again under the ticket's lock.
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
    """What was looked at so far. ``last_id``: the ticket up to which everything is done."""

    tickets: int = 0
    deadlines: int = 0
    differing: int = 0
    mended: int = 0
    total: int = 0
    last_id: int = 0


def verify(
    database: Database,
    references: ReferenceCache,
    *,
    mend_by: str | None = None,
    now: datetime,
    live_only: bool = False,
    on_progress: Callable[[VerifyProgress], None] = lambda _: None,
) -> Iterator[Difference]:
    """Every difference between the deadlines as stored and as computed from the log, ticket by ticket.

    ``mend_by``: the actor that mends them, each ticket's as soon as they are found; the differences yielded are then those
    that were mended. ``live_only``: leave out what is closed or void. ``on_progress`` is called after each batch.
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
            if mend_by is None:
                listed = found[ticket_id]
            else:
                with unit_of_work(database, references, now) as uow:
                    versions.load(uow.session)
                    listed = mend(uow, versions, ticket_id, actor=mend_by)
                checked.mended += len(listed)
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


def mend(uow: UnitOfWork, versions: Versions, ticket_id: int, *, actor: str) -> list[Difference]:
    """Bring one ticket's deadlines to what the log says, with an event that tells old and new, and let the ladder look
    again; the differences that were found under its lock, and mended."""
    session, now = uow.session, uow.now
    ticket = store.lock_ticket(session, ticket_id)
    if ticket is None:
        return []
    (case,) = cases(session, [ticket])
    retold = case.retold
    found = list(differences(case, versions))
    if not found:
        return []
    _set_suspensions(session, ticket_id, retold, actor)
    listed = list(pairs(of_ticket(session, ticket_id), retold))
    moves = [move for pair in listed if (move := _set(session, versions, ticket, *pair, now))]
    complete = retold.in_force("complete")
    if ticket.status != "void":
        answer = versions.due(complete) if complete is not None else None
        ticket.due_at = None if answer is None else answer.due_at
        ticket.provisional = answer is not None and answer.provisional
    supervise = retold.in_force("supervise")
    answer = versions.due(supervise) if supervise is not None else None
    if case.order is not None and answer is not None:
        case.order.due_at = answer.due_at
        session.add(case.order)
    session.flush()
    alerts.resolve(uow, ticket, [move.target for move in moves], resolution="deadline_moved")
    said = [{key: value for key, value in one.to_json().items() if key not in ("ticket", "number")} for one in found]
    append(
        session, ticket, "deadline_mended", at=now, now=now, actor=actor,
        data={"deadlines": moves_data(moves), "mended": said},
    )  # fmt: skip
    alerts.reschedule(uow, ticket)
    return found


def _set_suspensions(session: Session, ticket_id: int, retold: RebuiltDeadlines, actor: str) -> None:
    """Make the suspensions those that the log tells: each recompute gives them back."""
    s: Any = Suspension
    rows = session.execute(select(s).where(s.ticket_id == ticket_id).order_by(s.from_at, s.id)).scalars()
    for row, said in zip_longest(list(rows), retold.all_suspensions):
        if said is None:
            session.delete(row)
        elif row is None:
            session.add(Suspension(ticket_id=ticket_id, from_at=said[0], to_at=said[1], reason="", actor=actor))
        else:
            row.from_at, row.to_at = said
            session.add(row)


def _set(
    session: Session,
    versions: Versions,
    ticket: Ticket,
    target: str,
    row: Deadline | None,
    told: RebuiltDeadline | None,
    now: datetime,
) -> DeadlineChange | None:
    """Make one row what the log tells; its move, where the deadline in force has one."""
    if told is None:
        if row is None or row.cancelled_at is not None:
            return None
        row.cancelled_at = now
        session.add(row)
        return DeadlineChange(target, row.due_at, None)
    if told.cancelled_at is not None:  # where it would stand now does not matter any more
        if row is None or row.cancelled_at == told.cancelled_at:
            return None
        row.met_at, row.cancelled_at = told.met_at, told.cancelled_at
        session.add(row)
        return DeadlineChange(target, row.due_at, None)
    answer = versions.due(told)
    if answer is None:
        return None
    if row is None:
        taken = [other.round for other in of_ticket(session, ticket.id) if other.target == target]
        row = Deadline(ticket_id=ticket.id, target=target, round=max([ticket.round, *(n + 1 for n in taken)]),
                       started_at=told.start, due_at=answer.due_at)  # fmt: skip
        old = None
    else:
        old = row.due_at
        if old != answer.due_at:
            row.revision += 1
    limit = versions.limit(told.policy_id, target) if told.policy_id is not None else None
    row.started_at, row.due_at, row.provisional = told.start, answer.due_at, answer.provisional
    row.met_at, row.cancelled_at, row.extended_days = told.met_at, told.cancelled_at, told.extended_days
    row.limit = None if limit is None else limit.to_spec()
    row.basis = "source" if limit is None else "policy"
    if told.policy_id is not None:
        row.policy_id, row.calendar_id = told.policy_id, told.calendar_id
    session.add(row)
    return DeadlineChange.to_where(row, old) if old != row.due_at and row.cancelled_at is None else None
