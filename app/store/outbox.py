"""SQL of the outbox: written once for a key, claimed by any number of processes, recorded with its deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from app.models import Delivery, Outbox

LEASE: Final = timedelta(minutes=5)
"""How long a claim lasts. A process that dies within it leaves its messages to be claimed again afterwards."""


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def write(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write messages; one whose ``dedupe_key`` is there already is left out."""
    table: Any = Outbox.__table__  # type: ignore[attr-defined]  # past the ORM: many rows at once
    insert = postgresql.insert(table) if _is_postgresql(session) else sqlite.insert(table)
    session.execute(insert.on_conflict_do_nothing(index_elements=["dedupe_key"]), list(rows))


def _due(now: datetime) -> ColumnElement[bool]:
    free = or_(col(Outbox.lease_until).is_(None), col(Outbox.lease_until) <= now)
    return and_(col(Outbox.state) == "pending", col(Outbox.not_before) <= now, free)


def is_due(session: Session, now: datetime) -> bool:
    """Whether any message is to be sent, or has expired: one probe of an index."""
    return session.execute(select(col(Outbox.id)).where(_due(now)).limit(1)).first() is not None


def expire(session: Session, now: datetime) -> int:
    """Mark due messages that have expired, so that they are never sent; how many."""
    expired = update(Outbox).where(_due(now), col(Outbox.expires_at) <= now).values(state="expired", lease_until=None)
    return int(session.execute(expired).rowcount)  # type: ignore[attr-defined]


def claim(session: Session, now: datetime, limit: int) -> list[Outbox]:
    """Up to ``limit`` messages that are due, leased to the caller for ``LEASE`` once this transaction is committed; those
    that another transaction holds are left to it. On SQLite the writing transaction itself is the lock."""
    query = select(Outbox).where(_due(now)).order_by(col(Outbox.not_before), col(Outbox.id)).limit(limit)
    if _is_postgresql(session):
        query = query.with_for_update(skip_locked=True)
    found = list(session.execute(query.execution_options(populate_existing=True)).scalars())
    for row in found:
        row.lease_until = now + LEASE
        row.attempts += 1
        session.add(row)
    return found


def settled(session: Session, outbox_ids: Sequence[int]) -> dict[tuple[int, str, str], str]:
    """What of these messages needs no further attempt: sent or permanent, by (message, recipient, channel)."""
    query = select(col(Delivery.outbox_id), col(Delivery.recipient), col(Delivery.channel), col(Delivery.state)).where(
        col(Delivery.outbox_id).in_(outbox_ids), col(Delivery.state).in_(("sent", "permanent"))
    )
    return {(outbox_id, who, channel): state for outbox_id, who, channel, state in session.execute(query)}


def lock(session: Session, outbox_ids: Iterable[int]) -> dict[int, Outbox]:
    """These messages, locked until the transaction ends, by id."""
    query = select(Outbox).where(col(Outbox.id).in_(list(outbox_ids))).order_by(col(Outbox.id))
    rows = session.execute(query.with_for_update().execution_options(populate_existing=True)).scalars()
    return {row.id: row for row in rows if row.id is not None}
