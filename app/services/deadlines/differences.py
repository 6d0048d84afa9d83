"""Compare stored deadlines with those that ``app.domain.tickets.rebuild`` derives from the event log.

Used by ``app.services.deadlines.verify``, a batch of tickets at a time; read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlmodel import Session

from app.domain.tickets.life import Event
from app.domain.tickets.policies import Policy
from app.domain.tickets.rebuild import RebuiltDeadline, RebuiltDeadlines
from app.domain.time.due import Due, Limit
from app.domain.time.workcalendar import WorkCalendar
from app.models import CalendarVersion, Deadline, PolicyVersion, SupervisionOrder, Suspension, TicketEvent
from app.schemas.calendar_document import read_calendar
from app.schemas.policy import read_policy
from app.services.core.events import stamp
from app.services.deadlines.book import SUPERVISE_LIMIT
from app.store import supervision

SILENT: Final = ("alert_raised", "alert_acked", "stage_raised", "urged")
"""Frequent events without effect on deadlines."""
Span = tuple[datetime, datetime | None]
"""A suspension; one without an end is open."""

What = Literal[
    "due_at", "met_at", "cancelled_at", "started_at", "extended_days", "limit", "provisional", "calendar", "missing",
    "unknown", "suspension", "ticket.due_at", "ticket.provisional", "order.due_at",
]  # fmt: skip


Comparison = tuple[What, Any, Any]
"""A compared value: its name, as stored, as expected."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between a stored deadline and the log. ``what`` names the value: a moment of the row, one of its inputs
    (start, limit, extension, calendar version), a suspension, the copy on the ticket or on its order, or the row itself
    (``missing``: only in the log; ``unknown``: not in the log). ``stored`` and ``recomputed``: a moment or another JSON
    value."""

    ticket_id: int
    number: str
    target: str
    round: int | None
    what: What
    stored: Any
    recomputed: Any

    def to_json(self) -> dict[str, Any]:
        """The difference as JSON, moments in UTC."""
        stored, recomputed = (stamp(v) if isinstance(v, datetime) else v for v in (self.stored, self.recomputed))
        return {
            "ticket": self.ticket_id, "number": self.number, "target": self.target, "round": self.round,
            "what": self.what, "stored": stored, "recomputed": recomputed,
        }  # fmt: skip


@dataclass
class Versions:
    """The versions of policies and calendars named in the log, each loaded once; versions are immutable."""

    policies: dict[int, Policy] = field(default_factory=dict)
    calendars: dict[int, WorkCalendar] = field(default_factory=dict)

    def load(self, session: Session) -> None:
        """Load the versions not loaded yet."""
        for policy in session.execute(select(PolicyVersion)).scalars():
            if policy.id is not None and policy.id not in self.policies:
                spec = {**policy.spec, "code": policy.code, "version": policy.version}
                self.policies[policy.id] = read_policy(spec)
        for calendar in session.execute(select(CalendarVersion)).scalars():
            if calendar.id is not None and calendar.id not in self.calendars:
                made = read_calendar(calendar.spec, code=calendar.code, version=calendar.version)
                self.calendars[calendar.id] = made

    def limit(self, policy_id: int, target: str) -> Limit | None:
        """The limit that a policy version sets for ``target``; supervision orders always have one."""
        found = self.policies[policy_id].limits.get(target)
        return SUPERVISE_LIMIT if found is None and target == "supervise" else found

    def due(self, rebuilt: RebuiltDeadline) -> Due | None:
        """The due time of a rebuilt deadline."""
        return rebuilt.compute(self.limit, self.calendars.__getitem__)


@dataclass(slots=True)
class StoredTicket:
    """One ticket: the relevant columns of its row, its deadline rows, and its deadlines rebuilt from the log."""

    id: int
    number: str
    status: str
    due_at: datetime | None
    provisional: bool
    rows: Sequence[Any]
    rebuilt: RebuiltDeadlines
    spans: Sequence[Span] = ()
    order: SupervisionOrder | None = None
    """The live order."""


def cases(session: Session, tickets: Sequence[Any]) -> list[StoredTicket]:
    """Load the cases of ``tickets``: rows or objects with id, number, status, due_at and provisional."""
    ids = [row.id for row in tickets]
    rows = _rows(session, ids)
    events = _events(session, ids)
    spans, orders = _spans(session, ids), supervision.live_orders(session, ids)
    return [
        StoredTicket(row.id, row.number, row.status, row.due_at, row.provisional, rows.get(row.id, []),
              RebuiltDeadlines.of(events.get(row.id, [])), spans.get(row.id, []), orders.get(row.id))
        for row in tickets
    ]  # fmt: skip


def _spans(session: Session, ids: Sequence[int]) -> Mapping[int, list[Span]]:
    s: Any = Suspension
    query = select(s.ticket_id, s.from_at, s.to_at).where(s.ticket_id.in_(ids)).order_by(s.ticket_id, s.from_at, s.id)
    found: dict[int, list[Span]] = {}
    for ticket_id, begun, ended in session.execute(query):
        found.setdefault(ticket_id, []).append((begun, ended))
    return found


def _rows(session: Session, ids: Sequence[int]) -> Mapping[int, list[Any]]:
    d: Any = Deadline
    query = select(
        d.ticket_id, d.target, d.round, d.due_at, d.met_at, d.cancelled_at, d.started_at, d.extended_days, d.limit,
        d.provisional, d.calendar_id,
    ).where(d.ticket_id.in_(ids))  # fmt: skip
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


def pairs(rows: Sequence[Any], log: RebuiltDeadlines) -> Iterator[tuple[str, Any | None, RebuiltDeadline | None]]:
    """Pair each target's rows with the rebuilt deadlines, in opening order: rounds only grow."""
    by_target: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda row: row.round):
        by_target.setdefault(row.target, []).append(row)
    for target in sorted(by_target.keys() | log.deadlines.keys()):
        for row, rebuilt in zip_longest(by_target.get(target, []), log.deadlines.get(target, [])):
            yield target, row, rebuilt


def differences(case: StoredTicket, versions: Versions) -> Iterator[Difference]:
    """Yield the differences between one ticket's deadlines and its log; cancelled ones are compared only as cancelled."""

    def unequal(target: str, round_: int | None, compared: Iterable[Comparison]) -> Iterator[Difference]:
        for what, stored, expected in compared:
            if stored != expected:
                yield Difference(case.id, case.number, target, round_, what, stored, expected)

    for n, (span, logged) in enumerate(zip_longest(case.spans, case.rebuilt.all_suspensions), 1):
        yield from unequal("complete", n, [("suspension", _shown(span), _shown(logged))])
    for target, row, rebuilt in pairs(case.rows, case.rebuilt):
        yield from unequal(target, None if row is None else row.round, _of_row(row, rebuilt, versions))
    yield from unequal("complete", None, _of_ticket(case, versions))
    supervise = _due(case.rebuilt.in_force("supervise"), versions)
    if case.order is not None and supervise is not None:
        yield from unequal("supervise", None, [("order.due_at", case.order.due_at, supervise.due_at)])


def _due(rebuilt: RebuiltDeadline | None, versions: Versions) -> Due | None:
    return None if rebuilt is None or rebuilt.cancelled_at is not None else versions.due(rebuilt)


def _of_row(row: Any | None, rebuilt: RebuiltDeadline | None, versions: Versions) -> Iterator[Comparison]:
    answer = _due(rebuilt, versions)
    if row is None:
        yield "missing", None, None if answer is None else answer.due_at
    elif rebuilt is None:
        yield "unknown", None if row.cancelled_at is not None else row.due_at, None
    else:
        yield "met_at", row.met_at, rebuilt.met_at
        yield "cancelled_at", row.cancelled_at, rebuilt.cancelled_at
        if answer is not None:
            yield "due_at", row.due_at, answer.due_at
            yield from _grounds(row, rebuilt, answer, versions)


def _of_ticket(case: StoredTicket, versions: Versions) -> Iterator[Comparison]:
    """Compare the copies of the complete-deadline that lists filter on; a void ticket's are ignored."""
    if case.status != "void":
        answer = _due(case.rebuilt.in_force("complete"), versions)
        yield "ticket.due_at", case.due_at, None if answer is None else answer.due_at
        yield "ticket.provisional", case.provisional, answer is not None and answer.provisional


def _shown(span: Span | None) -> list[str | None] | None:
    return None if span is None else [stamp(span[0]), stamp(span[1])]


def _grounds(row: Any, rebuilt: RebuiltDeadline, answer: Due, versions: Versions) -> Iterator[Comparison]:
    """Compare the inputs of a row with those of the log, since the next move is computed from them."""
    limit = versions.limit(rebuilt.policy_id, rebuilt.target) if rebuilt.policy_id is not None else None
    yield "started_at", row.started_at, rebuilt.start
    yield "extended_days", row.extended_days, rebuilt.extended_days
    yield "limit", row.limit, None if limit is None else limit.to_spec()
    yield "provisional", row.provisional, answer.provisional
    if limit is not None and not _alike(row.calendar_id, rebuilt, answer, versions):
        yield "calendar", row.calendar_id, rebuilt.calendar_id


def _alike(calendar_id: int | None, rebuilt: RebuiltDeadline, answer: Due, versions: Versions) -> bool:
    """Whether the row's pinned calendar version is the log's or gives the same result: a recompute that moves nothing
    pins the version in force without an event."""
    if calendar_id == rebuilt.calendar_id:
        return True
    if calendar_id not in versions.calendars:
        return False
    return versions.due(replace(rebuilt, calendar_id=calendar_id)) == answer
