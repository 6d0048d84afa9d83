"""Open, meet, cancel and move the deadlines of a ticket: the rules of ``app.domain`` applied to rows.

Every move is returned as a ``DeadlineChange``, which the caller writes into the event that caused it (``moves_data``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from app.domain.tickets.deadline_state import UNIT_CLOCK
from app.domain.tickets.policies import Policy, choose
from app.domain.time.due import Due, Limit, due
from app.domain.time.workcalendar import WorkCalendar
from app.models import CalendarVersion, Deadline, Suspension, Ticket
from app.schemas.calendar_document import read_calendar
from app.schemas.limit import read_limit
from app.services.core.events import stamp
from app.services.core.reference import Reference

Span = tuple[datetime, datetime | None]
"""A suspension; one without an end is open."""
SUPERVISE_LIMIT: Final = Limit("working_days", 3)
"""The limit of a supervision order if no policy sets one (Shanghai, 督办件)."""
_OF_TICKET = (
    select(Deadline)
    .where(col(Deadline.ticket_id) == bindparam("ticket"))
    .order_by(col(Deadline.round), col(Deadline.started_at))
)
_SUSPENSIONS = (
    select(Suspension).where(col(Suspension.ticket_id) == bindparam("ticket")).order_by(col(Suspension.from_at))
)


@dataclass(frozen=True, slots=True)
class DeadlineChange:
    """A deadline that was opened (``old`` is none), moved, or ended (``new`` is none), with the versions of the policy
    and the calendar used (none: a limit set by the source)."""

    target: str
    old: datetime | None
    new: datetime | None
    provisional: bool = False
    policy_id: int | None = None
    calendar_id: int | None = None

    @classmethod
    def to_where(cls, row: Deadline, old: datetime | None) -> DeadlineChange:
        """The move of ``row`` from ``old`` to its current due time."""
        if row.limit is None:
            return cls(row.target, old, row.due_at, row.provisional)
        return cls(row.target, old, row.due_at, row.provisional, row.policy_id, row.calendar_id)


def moves_data(moves: Iterable[DeadlineChange]) -> dict[str, Any] | None:
    """The moves as event data: ``{"complete": {"from": …, "to": …, "policy": 1, "calendar": 1}}``; none if nothing
    moved. From the version ids, ``app.domain.tickets.rebuild`` can recompute the deadline."""
    found: dict[str, Any] = {}
    for move in moves:
        entry: dict[str, Any] = {}
        if move.old is not None:
            entry["from"] = stamp(move.old)
        entry["to"] = stamp(move.new)
        if move.provisional:
            entry["provisional"] = True
        if move.policy_id is not None:
            entry["policy"], entry["calendar"] = move.policy_id, move.calendar_id
        found[move.target] = entry
    return found or None


def policy_for(ref: Reference, ticket: Ticket) -> tuple[int, Policy]:
    """The policy that applies to ``ticket``, with the id of its version: the most specific match among the versions that
    existed when the ticket was accepted (``Reference.policies_of``), so that it keeps the version it pins."""
    known = ref.policies_of(ticket)
    by_code = {(policy.code, policy.version): key for key, policy in known}
    chosen = choose([policy for _, policy in known], ref.subject(ticket))
    return by_code[(chosen.code, chosen.version)], chosen


def of_ticket(session: Session, ticket_id: int) -> list[Deadline]:
    """Every deadline row of a ticket, oldest round first."""
    return list(session.execute(_OF_TICKET, {"ticket": ticket_id}).scalars())


def in_force(rows: Iterable[Deadline], target: str) -> Deadline | None:
    """The latest deadline of ``target`` that was not cancelled, met or not."""
    found = [row for row in rows if row.target == target and row.cancelled_at is None]
    return max(found, key=lambda row: row.round, default=None)


def suspensions_of(session: Session, ticket_id: int) -> list[Suspension]:
    """The suspensions of a ticket, in order."""
    return list(session.execute(_SUSPENSIONS, {"ticket": ticket_id}).scalars())


def calendar_of(ref: Reference, row: Deadline, unit_id: int | None) -> tuple[int, WorkCalendar]:
    """The calendar in force for ``row``, with the id of its version: that of its policy, else the unit's."""
    return ref.calendar_under(ref.policy(row.policy_id), unit_id)


def spans_for(row: Deadline, spans: Iterable[Span]) -> list[tuple[datetime, datetime]]:
    """The suspensions of a ticket that ``row`` gives back: ended ones; for a deadline that was met, cut at that moment."""
    if row.target not in UNIT_CLOCK:
        return []
    met = row.met_at
    if met is None:
        return [(a, b) for a, b in spans if b is not None]
    return [(a, met if b is None else min(b, met)) for a, b in spans if a < met]


def calendar_version(session: Session, ref: Reference, version_id: int | None) -> WorkCalendar:
    """One version of a calendar by id; the default calendar for None or an unknown id."""
    for held_id, calendar in ref.calendars.values():
        if held_id == version_id:
            return calendar
    row = session.get(CalendarVersion, version_id) if version_id is not None else None
    if row is None:
        return ref.calendar_for(None)[1]
    return read_calendar(row.spec, code=row.code, version=row.version)


def compute(
    ref: Reference, row: Deadline, unit_id: int | None, spans: Iterable[Span], calendar: WorkCalendar | None = None
) -> Due:
    """Compute when ``row`` is due by ``calendar``, else by the one in force for ``unit_id``; a limit set by the upstream
    is unchanged."""
    if row.limit is None:
        return Due(row.due_at, row.provisional)
    by = calendar or calendar_of(ref, row, unit_id)[1]
    extension = [Limit("working_days", row.extended_days)] if row.extended_days else []
    held = spans_for(row, spans)
    return due(by, row.started_at, read_limit(row.limit), suspensions=held, extensions=extension)


def open_target(
    session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], target: str, start: datetime
) -> DeadlineChange | None:
    """Open the deadline ``target`` of ``ticket`` from ``start``, replacing one that still runs. If the policy sets no such
    limit, none is opened, and one that still runs ends. A new row gets the next free round."""
    policy_id, policy = policy_for(ref, ticket)
    limit = policy.limits.get(target)
    before = in_force(rows, target)
    if limit is None:
        ended = cancel(session, rows, [target], start)
        if ended and target == "complete":
            ticket.due_at, ticket.provisional = None, False
        return ended[0] if ended else None
    calendar_id, calendar = ref.calendar_under(policy, ticket.unit_id)
    # the upstream's limit applies to its report only: a reopened ticket has a new deadline, by the policy
    binding = target == "complete" and ticket.round == 1 and ref.sources[ticket.source_id].binds_due
    binding = binding and ticket.source_due_at is not None
    answer = Due(ticket.source_due_at, False) if binding and ticket.source_due_at else due(calendar, start, limit)
    if before is not None and before.met_at is None:
        row, old = before, before.due_at
        if row.due_at != answer.due_at:
            row.revision += 1
    else:
        taken = [r.round for r in rows if r.target == target]
        row = Deadline(ticket_id=ticket.id, target=target, round=max([ticket.round, *(n + 1 for n in taken)]),
                       started_at=start, due_at=answer.due_at)  # fmt: skip
        rows.append(row)
        old = None
    row.started_at, row.due_at, row.provisional = start, answer.due_at, answer.provisional
    row.limit = None if binding else limit.to_spec()
    row.basis = "source" if binding else "policy"
    row.extended_days = 0
    row.policy_id, row.calendar_id = policy_id, calendar_id
    row.cancelled_at = None
    session.add(row)
    if target == "complete":
        ticket.due_at, ticket.provisional = row.due_at, row.provisional
        ticket.policy_id, ticket.calendar_id = policy_id, calendar_id
    return DeadlineChange.to_where(row, old)


def meet(session: Session, rows: Iterable[Deadline], target: str, at: datetime) -> bool:
    """Mark the deadline of ``target`` in force as met at ``at``; False if none is open."""
    row = in_force(rows, target)
    if row is None or row.met_at is not None:
        return False
    row.met_at = at
    session.add(row)
    return True


def cancel(session: Session, rows: Iterable[Deadline], targets: Iterable[str], at: datetime) -> list[DeadlineChange]:
    """Cancel the open deadlines of ``targets``: they no longer apply."""
    ended: list[DeadlineChange] = []
    for target in targets:
        row = in_force(rows, target)
        if row is not None and row.met_at is None:
            row.cancelled_at = at
            session.add(row)
            ended.append(DeadlineChange(target, row.due_at, None))
    return ended


def calendars_of(rows: Iterable[Deadline], targets: Iterable[str] = UNIT_CLOCK) -> dict[str, int]:
    """The calendar versions pinned by the running deadlines of ``targets``, for the event of a recompute that may have
    moved none of them."""
    found = {}
    listed = list(rows)
    for target in targets:
        row = in_force(listed, target)
        if row is not None and row.met_at is None and row.limit is not None and row.calendar_id is not None:
            found[target] = row.calendar_id
    return found


def recompute(
    session: Session, ref: Reference, ticket: Ticket, rows: Iterable[Deadline], *, targets: Iterable[str] = UNIT_CLOCK
) -> list[DeadlineChange]:
    """Recompute the open deadlines of ``targets`` from calendar, suspensions and extensions; returns the moves."""
    spans = [(s.from_at, s.to_at) for s in suspensions_of(session, ticket.id)]
    moves: list[DeadlineChange] = []
    for target in targets:
        row = in_force(rows, target)
        if row is None or row.met_at is not None:
            continue
        answer = compute(ref, row, ticket.unit_id, spans)
        row.calendar_id = calendar_of(ref, row, ticket.unit_id)[0]
        old, row.due_at, row.provisional = row.due_at, answer.due_at, answer.provisional
        if old != row.due_at:
            moves.append(DeadlineChange.to_where(row, old))
            row.revision += 1
        session.add(row)
        if target == "complete":
            ticket.due_at, ticket.provisional = row.due_at, row.provisional
    return moves


def move_met(
    session: Session, ref: Reference, ticket: Ticket, rows: Iterable[Deadline], target: str
) -> list[DeadlineChange]:
    """Give a met deadline the time suspended before it was met, if that suspension was still open then or was recorded
    later; by the calendar version it pins, since a met deadline does not change otherwise."""
    row = in_force(rows, target)
    if row is None or row.met_at is None or row.limit is None:
        return []
    session.flush()
    spans = [(s.from_at, s.to_at) for s in suspensions_of(session, ticket.id)]
    answer = compute(ref, row, ticket.unit_id, spans, calendar_version(session, ref, row.calendar_id))
    if answer.due_at == row.due_at:
        return []
    old, row.due_at, row.provisional = row.due_at, answer.due_at, answer.provisional
    row.revision += 1
    session.add(row)
    return [DeadlineChange.to_where(row, old)]
