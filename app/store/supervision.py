"""SQL of supervision: claims of the sweep, set-based reads of what the ladder needs, the feed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col

from app.models import Alert, AlertFeed, Deadline, SupervisionOrder, Suspension, Ticket, Unit
from app.security.principal import Principal
from app.store.scope import visible

AboutTicket = TypeVar("AboutTicket", Alert, SupervisionOrder)
LIVE = ("open", "acked")
"""States of a live alert."""
Key = tuple[str, int, int]
"""Target, round and revision: one deadline as the ladder counts it."""
_RAISED = select(col(Alert.ticket_id), col(Alert.target), col(Alert.round), col(Alert.revision), col(Alert.rung)).where(
    col(Alert.ticket_id).in_(bindparam("tickets", expanding=True))
)


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def oldest_due(session: Session, now: datetime) -> datetime | None:
    """The earliest next check that has come, or None: one probe of a partial index."""
    due = col(Ticket.next_check_at)
    query = select(due).where(due.is_not(None), due <= now).order_by(due).limit(1)
    return session.execute(query).scalar_one_or_none()


def claim_due(session: Session, now: datetime, limit: int, ids: Sequence[int] | None = None) -> list[Ticket]:
    """Up to ``limit`` tickets (of ``ids``, where given) whose next check has come, locked for this transaction; those
    another sweeper holds are left to it. On SQLite the writing transaction itself is the lock."""
    query = (
        select(Ticket)
        .where(col(Ticket.next_check_at).is_not(None), col(Ticket.next_check_at) <= now)
        .order_by(col(Ticket.next_check_at), col(Ticket.id))
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    if ids is not None:
        query = query.where(col(Ticket.id).in_(ids))
    if _is_postgresql(session):
        query = query.with_for_update(skip_locked=True)
    return list(session.execute(query).scalars())


def lock_ticket(session: Session, ticket_id: int) -> Ticket:
    """The current ticket, locked until the transaction ends."""
    query = select(Ticket).where(col(Ticket.id) == ticket_id).execution_options(populate_existing=True)
    if _is_postgresql(session):
        query = query.with_for_update()
    ticket: Ticket = session.execute(query).scalar_one()
    return ticket


def open_deadlines(session: Session, ticket_ids: Sequence[int]) -> dict[int, list[Deadline]]:
    """The deadlines of these tickets that are neither met nor cancelled, by ticket, in a stable order."""
    query = (
        select(Deadline)
        .where(
            col(Deadline.ticket_id).in_(ticket_ids),
            col(Deadline.met_at).is_(None),
            col(Deadline.cancelled_at).is_(None),
        )
        .order_by(col(Deadline.ticket_id), col(Deadline.due_at), col(Deadline.target))
    )
    found: dict[int, list[Deadline]] = defaultdict(list)
    for row in session.execute(query).scalars():
        found[row.ticket_id].append(row)
    return found


def standing_alerts(session: Session, ticket_ids: Sequence[int]) -> list[Alert]:
    """The live alerts of these tickets, by id."""
    if not ticket_ids:
        return []
    query = (
        select(Alert).where(col(Alert.ticket_id).in_(ticket_ids), col(Alert.state).in_(LIVE)).order_by(col(Alert.id))
    )
    return list(session.execute(query).scalars())


def ended_deadlines(session: Session, ticket_ids: Sequence[int], target: str) -> dict[int, list[Deadline]]:
    """The deadlines of one target that were met or cancelled, by ticket: their rounds are taken."""
    query = select(Deadline).where(
        col(Deadline.ticket_id).in_(ticket_ids),
        col(Deadline.target) == target,
        col(Deadline.met_at).is_not(None) | col(Deadline.cancelled_at).is_not(None),
    )
    found: dict[int, list[Deadline]] = defaultdict(list)
    for row in session.execute(query).scalars():
        found[row.ticket_id].append(row)
    return found


def raised_rungs(session: Session, ticket_ids: Sequence[int]) -> dict[int, dict[Key, set[str]]]:
    """Codes of the rungs already raised, by ticket and by (target, round, revision)."""
    found: dict[int, dict[Key, set[str]]] = {}
    for ticket_id, target, round_, revision, rung in session.execute(_RAISED, {"tickets": list(ticket_ids)}):
        found.setdefault(ticket_id, {}).setdefault((target, round_, revision), set()).add(rung)
    return found


def live_orders(session: Session, ticket_ids: Sequence[int]) -> dict[int, SupervisionOrder]:
    """The live supervision order of each of these tickets that has one."""
    query = select(SupervisionOrder).where(
        col(SupervisionOrder.ticket_id).in_(ticket_ids), col(SupervisionOrder.live).is_(True)
    )
    return {order.ticket_id: order for order in session.execute(query).scalars()}


def resumptions(session: Session, tickets: Iterable[Ticket]) -> dict[int, datetime]:
    """The planned end of the suspension of each of these tickets that is suspended with an end."""
    held = [ticket.id for ticket in tickets if ticket.status == "suspended"]
    if not held:
        return {}
    query = select(col(Suspension.ticket_id), col(Suspension.until)).where(
        col(Suspension.ticket_id).in_(held), col(Suspension.to_at).is_(None), col(Suspension.until).is_not(None)
    )
    return {row.ticket_id: row.until for row in session.execute(query)}


def insert_alerts(session: Session, rows: list[dict[str, Any]]) -> dict[tuple[int, Key, str], int]:
    """Write alerts, each at most once for (ticket, target, round, revision, rung); the ids of those written now.

    A row that is missing from the answer was there already: somebody else got there first.
    """
    if not rows:
        return {}
    key = ("ticket_id", "target", "round", "revision", "rung")
    table: Any = Alert.__table__  # type: ignore[attr-defined]  # past the ORM: many rows at once
    write = postgresql.insert(table) if _is_postgresql(session) else sqlite.insert(table)
    statement = write.on_conflict_do_nothing(index_elements=key).returning(table.c.id, *(table.c[name] for name in key))
    return {
        (ticket_id, (target, round_, revision), rung): alert_id
        for alert_id, ticket_id, target, round_, revision, rung in session.execute(statement, rows)
    }


def path_subtree(column: Mapped[int | None], path: str | None) -> ColumnElement[bool]:
    """The condition that ``column`` names a unit at or under ``path`` (no path: none)."""
    return column.in_(select(col(Unit.id)).where(col(Unit.path).startswith(path or "\x7f", autoescape=True)))


def unit_subtree(column: Mapped[int | None], unit_id: int) -> ColumnElement[bool]:
    """The condition that ``column`` names the unit ``unit_id`` or one below it."""
    path = select(col(Unit.path)).where(col(Unit.id) == unit_id).scalar_subquery()
    return column.in_(select(col(Unit.id)).where(func.substr(col(Unit.path), 1, func.length(path)) == path))


def newest_with_tickets(
    session: Session,
    who: Principal,
    table: type[AboutTicket],
    conditions: Iterable[ColumnElement[bool]],
    before: int | None,
    limit: int,
) -> list[tuple[AboutTicket, Ticket]]:
    """A page of the alerts or orders that ``who`` may see, with their tickets, newest first, from below the id ``before``."""
    query = select(table, Ticket).join(Ticket, col(Ticket.id) == col(table.ticket_id)).where(*conditions)
    if before is not None:
        query = query.where(col(table.id) < before)
    query = visible(query, who, table).order_by(col(table.id).desc()).limit(limit)
    return [(row, ticket) for row, ticket in session.execute(query)]


def feed_head(session: Session) -> int:
    """The number of the latest entry of the alert feed; 0 where there is none."""
    return int(session.execute(select(func.coalesce(func.max(col(AlertFeed.id)), 0))).scalar_one())


def feed_after(session: Session, after: int, limit: int) -> list[tuple[AlertFeed, Alert, Ticket]]:
    """Entries of the feed beyond ``after``, in order, with their alerts and tickets."""
    query = (
        select(AlertFeed, Alert, Ticket)
        .join(Alert, col(Alert.id) == col(AlertFeed.alert_id))
        .join(Ticket, col(Ticket.id) == col(Alert.ticket_id))
        .where(col(AlertFeed.id) > after)
        .order_by(col(AlertFeed.id))
        .limit(limit)
    )
    return [(entry, alert, ticket) for entry, alert, ticket in session.execute(query)]
