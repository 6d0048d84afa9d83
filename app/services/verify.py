"""Verify and repair: every deadline computed again from the event log, held against its row, and mended on demand.

``app.domain.retold`` tells the deadlines from the events; here they meet the rows. Tickets are read in batches, each
batch in one state of the database, so that the service may go on working meanwhile. A difference is mended in a
transaction of its own, after it was found again under the ticket's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final, Literal

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.db import Database
from app.domain.limits import Due, Limit
from app.domain.policies import Policy
from app.domain.replay import Event
from app.domain.retold import Retold, Told
from app.domain.workcalendar import WorkCalendar
from app.models import CalendarVersion, Deadline, PolicyVersion, Ticket, TicketEvent
from app.services import alerts
from app.services.deadlines import Moved, moves_data, of_ticket
from app.services.log import append, stamp
from app.services.order_book import DEFAULT_LIMIT
from app.services.reference import Reference, ReferenceCache
from app.store import tickets as store

BATCH: Final = 1000
"""Tickets read at a time."""
SILENT: Final = ("alert_raised", "alert_acked", "stage_raised", "urged")
"""Events that say nothing of deadlines, and are many."""

What = Literal["due_at", "met_at", "cancelled_at", "missing", "unknown", "ticket.due_at"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One deadline that is not what the log says. ``what`` differs: a moment of the row, the copy on the ticket, or the
    row itself (``missing``: the log tells of it; ``unknown``: the log does not)."""

    ticket_id: int
    number: str
    target: str
    round: int | None
    what: What
    stored: datetime | None
    recomputed: datetime | None

    def to_json(self) -> dict[str, Any]:
        """The difference as JSON, its moments in UTC."""
        return {
            "ticket": self.ticket_id, "number": self.number, "target": self.target, "round": self.round,
            "what": self.what, "stored": stamp(self.stored), "recomputed": stamp(self.recomputed),
        }  # fmt: skip


@dataclass
class Checked:
    """What was looked at so far. ``last_id``: the ticket up to which everything is done."""

    tickets: int = 0
    deadlines: int = 0
    differing: int = 0
    mended: int = 0
    total: int = 0
    last_id: int = 0


@dataclass
class Versions:
    """The versions of policies and calendars that the log names, each read once; they never change."""

    policies: dict[int, Policy] = field(default_factory=dict)
    calendars: dict[int, WorkCalendar] = field(default_factory=dict)

    def load(self, session: Session) -> None:
        """Read those that are not held yet."""
        for policy in session.execute(select(PolicyVersion)).scalars():
            if policy.id is not None and policy.id not in self.policies:
                spec = {**policy.spec, "code": policy.code, "version": policy.version}
                self.policies[policy.id] = Policy.from_spec(spec)
        for calendar in session.execute(select(CalendarVersion)).scalars():
            if calendar.id is not None and calendar.id not in self.calendars:
                made = WorkCalendar.from_spec(calendar.spec, code=calendar.code, version=calendar.version)
                self.calendars[calendar.id] = made

    def limit(self, policy_id: int, target: str) -> Limit | None:
        """The limit that a version of a policy sets for ``target``; for supervision orders there always is one."""
        found = self.policies[policy_id].limits.get(target)
        return DEFAULT_LIMIT if found is None and target == "supervise" else found

    def due(self, told: Told) -> Due | None:
        """When a deadline is due as the log has it."""
        return told.compute(self.limit, self.calendars.__getitem__)


@dataclass(slots=True)
class _Case:
    """One ticket: the row's few columns that matter, its deadline rows, and what its events tell."""

    id: int
    number: str
    status: str
    due_at: datetime | None
    rows: Sequence[Any]
    retold: Retold


def verify(
    database: Database,
    references: ReferenceCache,
    *,
    mend_by: str | None = None,
    now: datetime,
    live_only: bool = False,
    on_progress: Callable[[Checked], None] = lambda _: None,
) -> Iterator[Difference]:
    """Every difference between the deadlines as stored and as computed from the log, ticket by ticket.

    ``mend_by``: the actor that mends them, each ticket's as soon as they are found; the differences yielded are then those
    that were mended. ``live_only``: leave out what is closed or void. ``on_progress`` is called after each batch.
    """
    checked, versions = Checked(), Versions()
    with database.read() as session:
        checked.total = session.execute(
            select(func.count()).select_from(Ticket).where(*_wanted(live_only))
        ).scalar_one()
    while True:
        with _one_state(database) as session:
            cases = _cases(session, checked.last_id, live_only)
            if not cases:
                return
            versions.load(session)
            found = {case.id: list(differences(case, versions)) for case in cases}
        checked.deadlines += sum(len(case.rows) for case in cases)
        checked.tickets += len(cases)
        for ticket_id in [key for key, differing in found.items() if differing]:
            if mend_by is None:
                listed = found[ticket_id]
            else:
                with database.write() as session:
                    versions.load(session)
                    listed = mend(session, references.get(session), versions, ticket_id, actor=mend_by, now=now)
                checked.mended += len(listed)
            checked.differing += len(listed)
            yield from listed
        checked.last_id = cases[-1].id
        on_progress(checked)


def _wanted(live_only: bool) -> list[Any]:
    return [col(Ticket.status).not_in(["closed", "void"])] if live_only else []


@contextmanager
def _one_state(database: Database) -> Iterator[Session]:
    with database.read() as session:
        if database.is_postgresql:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


def _cases(session: Session, after: int, live_only: bool) -> list[_Case]:
    t: Any = Ticket
    query = (
        select(t.id, t.number, t.status, t.due_at).where(t.id > after, *_wanted(live_only)).order_by(t.id).limit(BATCH)
    )
    tickets = session.execute(query).all()
    ids = [row.id for row in tickets]
    rows = _rows(session, ids)
    events = _events(session, ids)
    return [
        _Case(row.id, row.number, row.status, row.due_at, rows.get(row.id, []), Retold.of(events.get(row.id, [])))
        for row in tickets
    ]


def _rows(session: Session, ids: Sequence[int]) -> Mapping[int, list[Any]]:
    d: Any = Deadline
    query = select(d.ticket_id, d.target, d.round, d.due_at, d.met_at, d.cancelled_at).where(d.ticket_id.in_(ids))
    found: dict[int, list[Any]] = {}
    for row in session.execute(query.order_by(d.ticket_id, d.target, d.round)):
        found.setdefault(row.ticket_id, []).append(row)
    return found


def _events(session: Session, ids: Sequence[int]) -> Mapping[int, list[Event]]:
    e: Any = TicketEvent
    query = select(e.ticket_id, e.type, e.at, e.data).where(e.ticket_id.in_(ids), e.type.not_in(SILENT))
    found: dict[int, list[Event]] = {}
    for ticket_id, event_type, at, data in session.execute(query.order_by(e.ticket_id, e.seq)):
        found.setdefault(ticket_id, []).append((event_type, at, data))
    return found


def _pairs(rows: Sequence[Any], retold: Retold) -> Iterator[tuple[str, Any | None, Told | None]]:
    """Each target's rows beside what the log tells, in the order in which they were opened: rounds only grow."""
    by_target: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda row: row.round):
        by_target.setdefault(row.target, []).append(row)
    for target in sorted(by_target.keys() | retold.deadlines.keys()):
        for row, told in zip_longest(by_target.get(target, []), retold.deadlines.get(target, [])):
            yield target, row, told


def differences(case: _Case, versions: Versions) -> Iterator[Difference]:
    """What of one ticket's deadlines is not as the log has it; of those that were cancelled, only whether they were."""

    def say(target: str, round_: int | None, what: What, stored: datetime | None, right: datetime | None) -> Difference:
        return Difference(case.id, case.number, target, round_, what, stored, right)

    mirror: datetime | None = None
    for target, row, told in _pairs(case.rows, case.retold):
        answer = versions.due(told) if told is not None and told.cancelled_at is None else None
        right = answer.due_at if answer is not None else None
        if target == "complete" and told is not None:
            mirror = right
        if row is None:
            if right is not None:
                yield say(target, None, "missing", None, right)
            continue
        if told is None:
            if row.cancelled_at is None:
                yield say(target, row.round, "unknown", row.due_at, None)
            continue
        if row.met_at != told.met_at:
            yield say(target, row.round, "met_at", row.met_at, told.met_at)
        if row.cancelled_at != told.cancelled_at:
            yield say(target, row.round, "cancelled_at", row.cancelled_at, told.cancelled_at)
        if right is not None and row.due_at != right:
            yield say(target, row.round, "due_at", row.due_at, right)
    if case.due_at != mirror and case.status != "void":
        yield say("complete", None, "ticket.due_at", case.due_at, mirror)


def mend(
    session: Session, ref: Reference, versions: Versions, ticket_id: int, *, actor: str, now: datetime
) -> list[Difference]:
    """Bring one ticket's deadlines to what the log says, with an event that tells old and new, and let the ladder look
    again; the differences that were found under its lock, and mended."""
    ticket = store.lock_ticket(session, ticket_id)
    if ticket is None:
        return []
    rows = of_ticket(session, ticket_id)
    retold = Retold.of(_events(session, [ticket_id]).get(ticket_id, []))
    case = _Case(ticket_id, ticket.number, ticket.status, ticket.due_at, rows, retold)
    found = list(differences(case, versions))
    if not found:
        return []
    moves = [move for pair in list(_pairs(rows, retold)) if (move := _set(session, versions, ticket, *pair, now))]
    complete = retold.in_force("complete")
    if ticket.status != "void":
        answer = versions.due(complete) if complete is not None else None
        ticket.due_at = None if answer is None else answer.due_at
        ticket.provisional = answer is not None and answer.provisional
    session.flush()
    alerts.resolve(session, ticket, [move.target for move in moves], resolution="deadline_moved", now=now)
    said = [{key: value for key, value in one.to_json().items() if key not in ("ticket", "number")} for one in found]
    append(
        session, ticket, "deadline_mended", at=now, now=now, actor=actor,
        data={"deadlines": moves_data(moves), "mended": said},
    )  # fmt: skip
    alerts.reschedule(session, ref, ticket, now)
    return found


def _set(
    session: Session,
    versions: Versions,
    ticket: Ticket,
    target: str,
    row: Deadline | None,
    told: Told | None,
    now: datetime,
) -> Moved | None:
    """Make one row what the log tells; its move, where the deadline in force has one."""
    if told is None:
        if row is None or row.cancelled_at is not None:
            return None
        row.cancelled_at = now
        session.add(row)
        return Moved(target, row.due_at, None)
    if told.cancelled_at is not None:  # where it would stand now does not matter any more
        if row is None or row.cancelled_at == told.cancelled_at:
            return None
        row.met_at, row.cancelled_at = told.met_at, told.cancelled_at
        session.add(row)
        return Moved(target, row.due_at, None)
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
    return Moved.to_where(row, old) if old != row.due_at and row.cancelled_at is None else None
