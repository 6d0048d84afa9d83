"""The append-only event log of tickets: every change is one row, written in the transaction that made the change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from app.models import Ticket, TicketEvent
from app.security.hash_chain import link


def stamp(moment: datetime | None) -> str | None:
    """A moment as it is written into an event's data: RFC 3339 in UTC, to the microsecond where it has any."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat()[:-6] + "Z"  # UTC is written +00:00


def unstamp(text: str | None) -> datetime | None:
    """The moment that ``stamp`` wrote."""
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def chained(
    ticket: Ticket,
    event_type: str,
    *,
    at: datetime,
    now: datetime,
    actor: str,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The next event of ``ticket`` as plain values, for bulk insertion; the rules of ``append`` apply.

    The head of the ticket's chain is moved: the values must be written in the same transaction.
    """
    payload = {key: value for key, value in (data or {}).items() if value is not None}
    seq = ticket.head_seq + 1
    prev_hash = ticket.head_hash
    digest = link(prev_hash, ticket.id, seq, event_type, at, now, actor, payload)
    ticket.head_seq = seq
    ticket.head_hash = digest
    ticket.version += 1
    ticket.changed_at = max(ticket.changed_at, at)
    return {
        "ticket_id": ticket.id,
        "seq": seq,
        "type": event_type,
        "at": at,
        "recorded_at": now,
        "actor": actor,
        "data": payload,
        "prev_hash": prev_hash,
        "hash": digest,
    }


def append(
    session: Session,
    ticket: Ticket,
    event_type: str,
    *,
    at: datetime,
    now: datetime,
    actor: str,
    data: Mapping[str, Any] | None = None,
) -> TicketEvent:
    """Write one event of ``ticket``: ``at`` when it happened, ``now`` when it is written down.

    Raises the ticket's version and moves the head of its chain. ``data`` holds JSON values only (``stamp`` moments),
    and never a citizen's name, phone or address.
    """
    row = TicketEvent(**chained(ticket, event_type, at=at, now=now, actor=actor, data=data))
    session.add(row)
    return row
