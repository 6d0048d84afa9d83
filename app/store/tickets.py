"""Read tickets: one for change, lists by keyset, and their dependent rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, false, func, or_, select, update
from sqlmodel import Session, col

from app.models import Callback, Deadline, Extension, Ticket, TicketEvent
from app.security.principal import Principal
from app.store.ids import take
from app.store.scope import HasUnits, visible


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """The filter of a list of tickets; ids are of reference rows, and a set means "one of". ``open_at`` is the reference
    moment of ``overdue``."""

    status: tuple[str, ...] = ()
    unit_ids: frozenset[int] | None = None
    source_ids: frozenset[int] | None = None
    category_ids: frozenset[int] | None = None
    grid_ids: frozenset[int] | None = None
    kind: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    card: tuple[str, ...] = ()
    overdue: bool | None = None
    repeated: bool | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None
    due_before: datetime | None = None
    q: str | None = None
    external_id: str | None = None
    ids: Sequence[int] | None = None
    now: datetime | None = None


_LOCK = select(Ticket).where(col(Ticket.id) == bindparam("ticket")).with_for_update()
_EXTENSIONS = select(Extension).where(col(Extension.ticket_id) == bindparam("ticket")).order_by(col(Extension.id))
"""Used by every change of a ticket, so built once."""

LONGEST_CHAIN = 100
"""Parents above one ticket at most."""


def lock_parents(session: Session) -> None:
    """Lock the parents of all tickets against other changes to the end of the transaction: before any ticket."""
    take(session, "tree:ticket", 0)


def leads_to(session: Session, ticket_id: int, wanted: int) -> bool:
    """Whether ``wanted`` is the ticket or above it; also where more than ``LONGEST_CHAIN`` are above it."""
    above: int | None = ticket_id
    for _ in range(LONGEST_CHAIN):
        if above is None or above == wanted:
            break
        above = session.execute(select(col(Ticket.parent_id)).where(col(Ticket.id) == above)).scalar()
    return above is not None


def count_repeat(session: Session, parent_id: int, more: int) -> None:
    """Count ``more`` repeats at a parent."""
    repeats = col(Ticket.repeats)
    session.execute(update(Ticket).where(col(Ticket.id) == parent_id).values(repeats=repeats + more))


OPEN_STATUSES = ("received", "dispatched", "accepted", "returned", "suspended", "reopened")


def conditions(f: TicketFilter) -> list[Any]:
    """The filter as SQL conditions on ``ticket``."""
    t: Any = Ticket
    found: list[Any] = []
    for column, wanted in (
        (t.unit_id, f.unit_ids),
        (t.source_id, f.source_ids),
        (t.category_id, f.category_ids),
        (t.grid_id, f.grid_ids),
        (t.id, f.ids),
    ):
        if wanted is not None:
            found.append(column.in_(list(wanted)) if wanted else false())
    for column, words in ((t.status, f.status), (t.kind, f.kind), (t.priority, f.priority), (t.stage, f.stage),
                          (t.card, f.card)):  # fmt: skip
        if words:
            found.append(column.in_(words) if len(words) > 1 else column == words[0])
    if f.overdue is not None:
        assert f.now is not None, "`overdue` is judged at a moment"
        late_open = and_(t.status.in_(OPEN_STATUSES), t.status != "suspended", t.due_at < f.now)
        late_done = and_(t.completed_at.is_not(None), t.due_at < t.completed_at)
        late = or_(late_open, late_done, t.source_verdict == "late")
        found.append(late if f.overdue else ~func.coalesce(late, False))
    if f.repeated is not None:
        repeated = or_(t.parent_id.is_not(None), t.repeats > 0)
        found.append(repeated if f.repeated else and_(t.parent_id.is_(None), t.repeats == 0))
    if f.received_from is not None:
        found.append(t.received_at >= f.received_from)
    if f.received_to is not None:
        found.append(t.received_at < f.received_to)
    if f.due_before is not None:
        # a filter by due time means open tickets, unless a state is given
        found += [t.due_at < f.due_before, *([] if f.status else [t.status.in_(OPEN_STATUSES)])]
    if f.external_id is not None:
        found.append(t.external_id == f.external_id)
    if f.q:
        needle = "%" + f.q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        found.append(or_(t.title.ilike(needle, escape="\\"), t.number == f.q, t.external_id == f.q,
                         t.content.ilike(needle, escape="\\")))  # fmt: skip
    return found


def list_tickets(
    session: Session, who: Principal, ref: HasUnits[Any], f: TicketFilter, *, before_id: int | None, limit: int
) -> list[Ticket]:
    """Tickets that ``who`` may see and that match ``f``, newest id first, below ``before_id``."""
    query = visible(select(Ticket).where(*conditions(f)), who, Ticket, ref)
    if before_id is not None:
        query = query.where(Ticket.id < before_id)  # type: ignore[arg-type]
    return list(session.execute(query.order_by(Ticket.id.desc()).limit(limit)).scalars())  # type: ignore[attr-defined]


def lock_ticket(session: Session, ticket_id: int) -> Ticket | None:
    """The ticket, locked against other writers until the transaction ends."""
    return session.execute(_LOCK, {"ticket": ticket_id}).scalar_one_or_none()


def by_external(session: Session, source_id: int, external_id: str) -> Ticket | None:
    """The ticket with this id at its source, or None."""
    query = select(Ticket).where(Ticket.source_id == source_id, Ticket.external_id == external_id)  # type: ignore[arg-type]
    return session.execute(query).scalar_one_or_none()


def events_of(session: Session, ticket_id: int) -> list[TicketEvent]:
    """The ticket's log, in order."""
    query = select(TicketEvent).where(TicketEvent.ticket_id == ticket_id).order_by(TicketEvent.seq)  # type: ignore[arg-type]
    return list(session.execute(query).scalars())


def deadlines_of(session: Session, ticket_ids: Sequence[int]) -> dict[int, list[Deadline]]:
    """The deadlines of several tickets, by ticket."""
    found: dict[int, list[Deadline]] = {ticket_id: [] for ticket_id in ticket_ids}
    query = select(Deadline).where(Deadline.ticket_id.in_(list(ticket_ids)))  # type: ignore[attr-defined]
    for row in session.execute(query.order_by(Deadline.round, Deadline.target)).scalars():  # type: ignore[arg-type]
        found[row.ticket_id].append(row)
    return found


def latest_event(session: Session, ticket_id: int, types: Sequence[str]) -> datetime | None:
    """The latest moment of the ticket's events of these types, or None."""
    e: Any = TicketEvent
    query = select(func.max(e.at)).where(e.ticket_id == ticket_id, e.type.in_(types))
    return session.execute(query).scalar()


def extensions_of(session: Session, ticket_id: int) -> list[Extension]:
    """The ticket's requests for extension, in order."""
    return list(session.execute(_EXTENSIONS, {"ticket": ticket_id}).scalars())


def callbacks_of(session: Session, ticket_id: int) -> list[Callback]:
    """The ticket's callbacks, in order."""
    query = select(Callback).where(Callback.ticket_id == ticket_id).order_by(Callback.id)  # type: ignore[arg-type]
    return list(session.execute(query).scalars())


def numbers_of(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """The numbers of tickets, by their ids."""
    t: Any = Ticket
    return {row.id: row.number for row in session.execute(select(t.id, t.number).where(t.id.in_(list(ids))))}
