"""Response views: tickets, events, deadlines and extensions as JSON-ready objects.

Citizens' names, phones and id numbers are masked for readers without permission (``app.security.permissions``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from operator import attrgetter
from typing import Any

from app.domain.tickets.deadline_state import state_of
from app.domain.tickets.fields import FIELDS, NODES, REPORTER, columns_and_names
from app.models import Deadline, Ticket
from app.security.masking import MASKS
from app.services.core.reference import Node, Reference

_MOMENTS = tuple(field.name for field in FIELDS if field.kind == "moment")
_COPIED_COLUMNS, _COPIED_NAMES = columns_and_names(
    tuple(f for f in FIELDS if f.stored and f.member == f.name and f.kind not in ("moment", "tree"))
)
_NODES = tuple((field.name, field.column) for field in NODES)
_REPORTER_COLUMNS, _REPORTER_PARTS = columns_and_names(REPORTER)
_copied_values = attrgetter(*_COPIED_COLUMNS)
_reporter_values = attrgetter(*_REPORTER_COLUMNS)


def moment(value: datetime | None, zone: tzinfo) -> str | None:
    """A moment in RFC 3339, in ``zone``, with its offset."""
    return None if value is None else _written(value, zone)


@lru_cache(maxsize=8192)
def _written(value: datetime, zone: tzinfo) -> str:
    """Cached, since a ticket repeats the same few moments, and a day's tickets share their deadlines."""
    return value.astimezone(zone).isoformat()


def _code(nodes: Any, key: int | None) -> str | None:
    node: Node | None = nodes.get(key) if key is not None else None
    return node.code if node else None


def deadline_view(row: Deadline, now: datetime, zone: tzinfo, *, suspended: bool) -> dict[str, Any]:
    """One deadline as read."""
    return {
        "target": row.target,
        "round": row.round,
        "started_at": moment(row.started_at, zone),
        "due_at": moment(row.due_at, zone),
        "met_at": moment(row.met_at, zone),
        "provisional": row.provisional,
        "state": state_of(row, now, suspended=suspended),
        "basis": row.basis,
        "extended_days": row.extended_days,
    }


def current(rows: Sequence[Deadline]) -> list[Deadline]:
    """Of each target the latest deadline that was not cancelled, in the order of a ticket's life."""
    latest: dict[str, Deadline] = {}
    for row in rows:
        if row.cancelled_at is None and (row.target not in latest or latest[row.target].round < row.round):
            latest[row.target] = row
    order = ("accept", "contact", "complete", "callback", "supervise")
    return [latest[target] for target in order if target in latest]


def reporter_view(ticket: Ticket, *, full: bool) -> dict[str, Any] | None:
    """The reporter, masked unless ``full``; None where nothing is known."""
    parts = dict(zip(_REPORTER_PARTS, _reporter_values(ticket), strict=True))
    if not any(parts.values()):
        return None
    return parts if full else {part: MASKS[part](value) for part, value in parts.items()}


def ticket_view(
    ticket: Ticket, deadlines: Sequence[Deadline], ref: Reference, now: datetime, zone: tzinfo, *, full: bool = False
) -> dict[str, Any]:
    """The ticket as read (contract: "A ticket as pushed … As read it has besides")."""
    unit = ref.units.get(ticket.unit_id) if ticket.unit_id is not None else None
    suspended = ticket.status == "suspended"
    return {
        "id": ticket.id,
        "number": ticket.number,
        "source": ref.sources[ticket.source_id].code,
        **dict(zip(_COPIED_NAMES, _copied_values(ticket), strict=True)),
        **{name: moment(getattr(ticket, name), zone) for name in _MOMENTS},
        **{name: _code(ref.tree(name), getattr(ticket, column)) for name, column in _NODES},
        "attributes": ticket.attributes or {},
        "stage": ticket.stage,
        "card": ticket.card,
        "unit_name": unit.name if unit else None,
        "first_unit": _code(ref.units, ticket.first_unit_id),
        "reporter": reporter_view(ticket, full=full),
        "parent_id": ticket.parent_id,
        "contacted_at": moment(ticket.contacted_at, zone),
        "suspended_at": moment(ticket.suspended_at, zone),
        "due_at": moment(ticket.due_at, zone),
        "provisional": ticket.provisional,
        "deadlines": [deadline_view(row, now, zone, suspended=suspended) for row in current(deadlines)],
        "resolved": ticket.resolved,
        "returns": ticket.returns,
        "reopens": ticket.reopens,
        "urges": ticket.urges,
        "extensions": ticket.extensions,
        "repeats": ticket.repeats,
        "supervised": ticket.supervised,
        "historical": ticket.historical,
        "version": ticket.version,
    }


_COUNTED = frozenset(field.member for field in FIELDS if field.privacy == "open") | {
    "id", "number", "source", "stage", "card", "unit_name", "first_unit", "parent_id", "contacted_at", "suspended_at",
    "due_at", "provisional", "deadlines", "resolved", "returns", "reopens", "urges", "extensions", "repeats", "supervised",
    "historical", "version",
}  # fmt: skip
"""The visible fields of a ticket that a figure counts and the reader may not see: no text of the citizen or the unit."""


def counted_view(view: Mapping[str, Any]) -> dict[str, Any]:
    """A ticket for a reader who may only see that a figure counts it: the other fields are null."""
    return {name: value if name in _COUNTED else None for name, value in view.items()} | {"attributes": {}}
