"""Recompute open deadlines after the calendar, the policies or the units changed.

Set-based, one transaction per batch of tickets, and resumable: rows pin the version they were computed by, so the rows
themselves show the remaining work, and a second run finds none. Every move is an event of its ticket
(``deadline_moved``), raises the revision, and reschedules the ladder check. An alert whose moment is also past under the
new time remains and is not raised twice; one whose breach no longer exists is resolved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select
from sqlmodel import Session, col

from app.db import Database
from app.domain.supervision.ladder import decide, higher_card, rung_moment
from app.domain.tickets.deadline_state import UNIT_CLOCK
from app.domain.time.calendar_diff import CalendarChanges, changes_between
from app.domain.time.workcalendar import WorkCalendar
from app.models import Alert, CalendarVersion, Deadline, SupervisionOrder, Suspension, Ticket, TicketEvent
from app.schemas.calendar_document import read_calendar
from app.services.alerts import book as alerts
from app.services.core import events as log
from app.services.core.reference import Reference, ReferenceCache
from app.services.core.unit_of_work import UnitOfWork, unit_of_work
from app.services.deadlines.book import DeadlineChange, calendar_of, compute, in_force, moves_data
from app.services.intake.opening import openings
from app.store import reference, supervision, tickets

BATCH: Final = 500
Spans = Sequence[tuple[datetime, datetime | None]]
Candidates = Callable[[Session, int, int], list[int]]  # the next ticket ids after one, up to a limit
Wanted = Callable[[Reference, Ticket, Deadline, Spans], bool]  # whether to recompute a deadline of a ticket


@dataclass(frozen=True, slots=True)
class RecomputeCause:
    """The cause of a recompute, as recorded in its events: ``because`` is calendar, policy, unit or suspension."""

    because: str
    actor: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MovedDeadline:
    """A deadline that moved, or (``old`` equals ``new``) whose ``provisional`` changed; ``new`` none: ended."""

    ticket_id: int
    number: str
    target: str
    old: datetime
    new: datetime | None
    provisional: bool


@dataclass
class RecomputeResult:
    """The result of a run: the number of deadlines examined, and those that changed."""

    examined: int = 0
    changed: list[MovedDeadline] = field(default_factory=list)

    @property
    def moved(self) -> list[MovedDeadline]:
        """The deadlines with a new time."""
        return [one for one in self.changed if one.old != one.new]

    @property
    def confirmed(self) -> list[MovedDeadline]:
        """The deadlines with the same time whose ``provisional`` changed."""
        return [one for one in self.changed if one.old == one.new]

    def add(self, other: RecomputeResult) -> None:
        """Add the counts of ``other``."""
        self.examined += other.examined
        self.changed += other.changed


# -- the three causes --------------------------------------------------------------------------------------------------


def after_calendar(
    database: Database, references: ReferenceCache, code: str, actor: str, now: datetime, *, batch: int = BATCH
) -> RecomputeResult:
    """Recompute the open deadlines computed by an older version of ``code`` that the changes since affect; they then pin
    the version in force. The others keep their version, which gives the same result."""
    with database.read() as session:
        ref = references.get(session)
        current_id, current = ref.calendars[code]
        rows = reference.every_version(session, CalendarVersion, code)
        older = {
            row.id: changes_between(read_calendar(row.spec, code=code, version=row.version), current)
            for row in rows
            if row.id is not None and row.id != current_id
        }
        note = next((row.note for row in rows if row.id == current_id), "")
    details = {"calendar": code, "calendar_version": current.version, "note": note or None}
    why = RecomputeCause("calendar", actor, details)
    total = RecomputeResult()
    for version_id, changes in older.items():
        if not changes.none:
            touched = _touched_by(version_id, changes, current)
            total.add(_walk(database, references, _pinning(version_id, changes.window()), touched, why, now, batch))
    return total


def _touched_by(version_id: int, changes: CalendarChanges, current: WorkCalendar) -> Wanted:
    def wanted(ref: Reference, ticket: Ticket, row: Deadline, spans: Spans) -> bool:
        returned = (b for _, b in spans if b is not None and row.target in UNIT_CLOCK)
        return row.calendar_id == version_id and changes.touch(current, row.started_at, [row.due_at, *returned])

    return wanted


def after_unit(
    database: Database, references: ReferenceCache, unit_path: str, actor: str, now: datetime, *, batch: int = BATCH
) -> RecomputeResult:
    """Recompute the open deadlines of the units under ``unit_path`` whose calendar changed."""
    with database.read() as session:
        codes = {row.id: row.code for row in reference.every_version(session, CalendarVersion)}

    def moved_over(ref: Reference, ticket: Ticket, row: Deadline, _: Spans) -> bool:
        return codes.get(row.calendar_id) != calendar_of(ref, row, ticket.unit_id)[1].code

    def candidates(session: Session, after: int, limit: int) -> list[int]:
        query = _open_rows().where(supervision.path_subtree(col(Ticket.unit_id), unit_path), col(Ticket.id) > after)
        return _ids(session, query, limit)

    return _walk(database, references, candidates, moved_over, RecomputeCause("unit", actor), now, batch)


def after_policy(
    database: Database, references: ReferenceCache, code: str, actor: str, now: datetime, *, batch: int = BATCH
) -> RecomputeResult:
    """Apply the policy versions in force to the open tickets that ``code`` concerns: those that pin another version of it,
    and those for which it is now the best match."""

    def candidates(session: Session, after: int, limit: int) -> list[int]:
        return _ids(session, _open_rows().where(col(Ticket.id) > after), limit)

    with database.read() as session:
        current = [p for _, p in references.get(session).policies if p.code == code]
    version = max((p.version for p in current), default=None)
    why = RecomputeCause("policy", actor, {"policy_code": code, "policy_version": version})
    return _walk(database, references, candidates, _always, why, now, batch, policy=code)


def _always(ref: Reference, ticket: Ticket, row: Deadline, spans: Spans) -> bool:
    return True


def catch_up(database: Database, references: ReferenceCache, actor: str, now: datetime) -> RecomputeResult:
    """Finish interrupted runs of all calendars, including tickets accepted meanwhile under an older version; does nothing
    if every open deadline pins the version in force or one with the same result."""
    query = select(col(Deadline.calendar_id)).where(
        col(Deadline.met_at).is_(None), col(Deadline.cancelled_at).is_(None)
    )
    with database.read() as session:
        ref = references.get(session)
        in_use = set(session.execute(query.distinct()).scalars())
        pinned = {row.code for row in reference.every_version(session, CalendarVersion) if row.id in in_use}
        stale = [code for code in ref.calendars if code in pinned and in_use - {ref.calendars[code][0]}]
    total = RecomputeResult()
    for code in stale:
        total.add(after_calendar(database, references, code, actor, now))
    return total


# -- batches -----------------------------------------------------------------------------------------------------------


def _open_rows() -> Any:
    return (
        select(col(Ticket.id))
        .join(Deadline, col(Deadline.ticket_id) == col(Ticket.id))
        .where(
            col(Deadline.met_at).is_(None),
            col(Deadline.cancelled_at).is_(None),
            col(Deadline.limit).is_not(None),
            col(Ticket.historical).is_(False),
        )
    )


def _ids(session: Session, query: Any, limit: int) -> list[int]:
    return list(session.execute(query.distinct().order_by(col(Ticket.id)).limit(limit)).scalars())


def _pinning(version_id: int, window: tuple[datetime, datetime] | None) -> Candidates:
    """Tickets with an open deadline computed by this version that lies at least partly in the window."""

    def candidates(session: Session, after: int, limit: int) -> list[int]:
        query = _open_rows().where(col(Deadline.calendar_id) == version_id, col(Ticket.id) > after)
        if window is not None:
            low, high = window
            suspended = select(col(Suspension.ticket_id)).where(col(Suspension.to_at) > low)
            ends_after = (col(Deadline.due_at) > low) | col(Ticket.id).in_(suspended)
            query = query.where(col(Deadline.started_at) < high, ends_after)
        return _ids(session, query, limit)

    return candidates


def _walk(
    database: Database, references: ReferenceCache, candidates: Candidates, wanted: Wanted, why: RecomputeCause, now: datetime,
    batch: int, *, policy: str | None = None,
) -> RecomputeResult:  # fmt: skip
    total = RecomputeResult()
    after = 0
    while True:
        with database.read() as session:
            ids = candidates(session, after, batch)
        if not ids:
            return total
        with unit_of_work(database, references, now) as uow:
            total.add(_Batch(uow, why, policy).run(ids, wanted))
        after = ids[-1]


@dataclass
class _Batch:
    """One transaction: lock the tickets, read their rows at once, recompute and write them."""

    uow: UnitOfWork
    why: RecomputeCause
    policy: str | None
    tally: RecomputeResult = field(default_factory=RecomputeResult)
    events: list[dict[str, Any]] = field(default_factory=list)

    def run(self, ids: list[int], wanted: Wanted) -> RecomputeResult:
        session = self.uow.session
        query = select(Ticket).where(col(Ticket.id).in_(ids)).order_by(col(Ticket.id))
        locked = list(session.execute(query.with_for_update().execution_options(populate_existing=True)).scalars())
        rows = tickets.deadlines_of(session, ids)
        spans: dict[int, list[tuple[datetime, datetime | None]]] = defaultdict(list)
        query_spans = select(Suspension).where(col(Suspension.ticket_id).in_(ids)).order_by(col(Suspension.from_at))
        for span in session.execute(query_spans).scalars():
            spans[span.ticket_id].append((span.from_at, span.to_at))
        orders = supervision.live_orders(session, ids)
        changed: list[tuple[Ticket, set[str]]] = []
        for ticket in locked:
            moves = self._ticket(ticket, rows[ticket.id], spans[ticket.id], wanted, orders.get(ticket.id))
            if moves:
                self._log(ticket, moves)
                changed.append((ticket, {m.target for m in moves if m.old != m.new}))
        session.flush()
        self._rearm(changed, rows, orders)
        if self.events:
            table: Any = TicketEvent
            session.execute(insert(table.__table__), self.events)
        return self.tally

    def _ticket(
        self, ticket: Ticket, rows: list[Deadline], spans: Spans, wanted: Wanted, order: SupervisionOrder | None
    ) -> list[DeadlineChange]:
        ref, moves = self.uow.ref, list[DeadlineChange]()
        judged = self._judge(ticket) if self.policy is not None else None
        if self.policy is not None and judged is None:
            return []
        for target in (*UNIT_CLOCK, "callback", "supervise"):
            row = in_force(rows, target)
            if row is None or row.met_at is not None or row.limit is None or not wanted(ref, ticket, row, spans):
                continue
            self.tally.examined += 1
            move = self._row(ticket, row, spans, judged)
            if move is None:
                continue
            moves.append(move)
            assert move.old is not None
            self.tally.changed.append(
                MovedDeadline(ticket.id, ticket.number, target, move.old, move.new, move.provisional)
            )
            if target == "complete":
                ticket.due_at, ticket.provisional = move.new, move.provisional
            if target == "supervise" and order is not None and move.new is not None:
                order.due_at = move.new
                self.uow.session.add(order)
        return moves

    def _judge(self, ticket: Ticket) -> tuple[int, Mapping[str, Any]] | None:
        """The policy that now applies to the ticket, and its limits, if it changed and ``policy`` is concerned."""
        ref = self.uow.ref
        plan = openings(ref).plan(
            ref.sources[ticket.source_id],
            ticket.kind,
            ref.categories.get(ticket.category_id or 0),
            ticket.priority,
            ticket.severity,
            ref.units.get(ticket.unit_id or 0),
            ticket.received_at,
        )
        pinned = ref.policy(ticket.policy_id)
        if plan.policy_id == ticket.policy_id or self.policy not in (plan.policy.code, pinned.code if pinned else None):
            return None
        ticket.policy_id = plan.policy_id
        return plan.policy_id, plan.policy.limits

    def _row(
        self, ticket: Ticket, row: Deadline, spans: Spans, judged: tuple[int, Mapping[str, Any]] | None
    ) -> DeadlineChange | None:
        old, provisional = row.due_at, row.provisional
        self.uow.session.add(row)
        if judged is not None:
            policy_id, limits = judged
            row.policy_id = policy_id
            limit = limits.get(row.target)
            if limit is None and row.target != "supervise":
                row.cancelled_at = self.uow.now
                return DeadlineChange(row.target, old, None)
            if limit is not None:
                row.limit = limit.to_spec()
        answer = compute(self.uow.ref, row, ticket.unit_id, spans)
        row.calendar_id = calendar_of(self.uow.ref, row, ticket.unit_id)[0]
        row.due_at, row.provisional = answer.due_at, answer.provisional
        if row.target == "complete":
            ticket.calendar_id = row.calendar_id
        if answer.due_at != old:
            row.revision += 1
        elif answer.provisional == provisional and judged is None:
            return None
        return DeadlineChange.to_where(row, old)

    def _log(self, ticket: Ticket, moves: list[DeadlineChange]) -> None:
        data = {"because": self.why.because, **self.why.details, "deadlines": moves_data(moves)}
        moved = any(m.old != m.new for m in moves)
        event = "deadline_moved" if moved else "deadline_confirmed"
        now = self.uow.now
        self.events.append(log.chained(ticket, event, at=now, now=now, actor=self.why.actor, data=data))
        self.uow.session.add(ticket)

    def _rearm(
        self,
        changed: list[tuple[Ticket, set[str]]],
        rows: dict[int, list[Deadline]],
        orders: dict[int, SupervisionOrder],
    ) -> None:
        """Update the alerts of deadlines that moved, and reschedule the ladder checks."""
        ref, now = self.uow.ref, self.uow.now
        ids = [ticket.id for ticket, targets in changed if targets]
        if not ids:
            return
        live: dict[int, list[Alert]] = defaultdict(list)
        for alert in supervision.standing_alerts(self.uow.session, ids):
            live[alert.ticket_id].append(alert)
        for ticket, targets in changed:
            if targets:
                follow(self.uow, ticket, rows[ticket.id], targets, live[ticket.id])
        self.uow.session.flush()
        raised = supervision.raised_rungs(self.uow.session, ids)
        resumes = supervision.resumptions(self.uow.session, [ticket for ticket, _ in changed])
        for ticket, targets in changed:
            if targets and ticket.status != "void":
                open_rows = [r for r in rows[ticket.id] if r.met_at is None and r.cancelled_at is None]
                facts = alerts.facts_of(
                    ticket, open_rows, raised.get(ticket.id, {}), orders.get(ticket.id), resumes.get(ticket.id)
                )
                calendar = ref.calendar_for(ticket.unit_id)[1]
                ticket.next_check_at = alerts.next_look(decide(facts, ref.ladder, calendar, now), now)
                self.uow.session.add(ticket)


def follow(uow: UnitOfWork, ticket: Ticket, rows: Sequence[Deadline], targets: set[str], live: Sequence[Alert]) -> None:
    """Update the ``live`` alerts of ``ticket`` for the moved deadlines of ``targets``.

    An alert whose moment is also past under the new time is carried over to the new revision, with its new moment, and
    is not notified again. Any other is resolved. A warning of an earlier term of the same limit (a supervision order with
    a new term) is unchanged, beside that of the latest.
    """
    session, ref, now = uow.session, uow.ref, uow.now
    latest: dict[tuple[str, int, str], int] = {}
    for alert in live:
        key = (alert.target, alert.round, alert.rung)
        latest[key] = max(alert.revision, latest.get(key, 0))
    _, calendar = ref.calendar_for(ticket.unit_id)
    card: str | None = None
    for alert in live:
        if alert.target in targets and alert.revision == latest[alert.target, alert.round, alert.rung]:
            row = in_force(rows, alert.target)
            rung = ref.ladder.rung(alert.rung)
            moment = None
            if row is not None and row.met_at is None and row.round == alert.round and rung is not None:
                moment = rung_moment(rung, row.due_at, calendar)
            if row is None or moment is None or moment > now:
                alerts.end(uow, alert, "deadline_moved")
                continue
            alert.revision, alert.due_at, alert.breach_at = row.revision, row.due_at, moment
            session.add(alert)
        card = higher_card(card, alert.card)
    ticket.card = card
    session.add(ticket)
