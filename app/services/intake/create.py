"""Create tickets: the rows of a pushed ticket (ticket, events, deadlines, next check), and bulk insertion.

``prepare`` depends on the reference data only, so that a group or a file is prepared before its transaction begins;
``write`` stores a group of prepared tickets, each once, and returns the outcome of every one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

from sqlalchemy import update
from sqlmodel import Session

from app.domain.tickets.fields import COPIED, NODES, REPORTER, TicketField, columns_and_names
from app.errors import FieldProblem, Invalid
from app.models import Ticket
from app.security.hash_chain import GENESIS, link
from app.services.core.events import stamp
from app.services.core.reference import Node, Reference, SourceInfo
from app.services.intake.opening import openings
from app.store import bulk


class IncomingTicket(Protocol):
    """A ticket as pushed, validated: every field of ``CONTENT`` under its name, those used by name here among them.
    ``ingest.rows.ticket_in.TicketIn`` is one. Moments are aware."""

    @property
    def category(self) -> str | None: ...
    @property
    def received_at(self) -> datetime | None: ...
    @property
    def source_due_at(self) -> datetime | None: ...
    @property
    def reporter(self) -> Any: ...
    @property
    def grid(self) -> str | None: ...
    @property
    def unit(self) -> str | None: ...


@dataclass
class PreparedTicket:
    """The rows to insert for one ticket."""

    ticket: dict[str, Any]
    events: list[dict[str, Any]]
    deadlines: list[dict[str, Any]] = field(default_factory=list)
    callbacks: list[dict[str, Any]] = field(default_factory=list)

    def log(self, event_type: str, at: datetime, now: datetime, actor: str, data: Mapping[str, Any]) -> None:
        """Add one event to the chain of this new ticket."""
        ticket = self.ticket
        payload = {key: value for key, value in data.items() if value is not None}
        seq = ticket["head_seq"] + 1
        before = ticket["head_hash"]
        digest = link(before, ticket["id"], seq, event_type, at, now, actor, payload)
        self.events.append(
            {
                "ticket_id": ticket["id"],
                "seq": seq,
                "type": event_type,
                "at": at,
                "recorded_at": now,
                "actor": actor,
                "data": payload,
                "prev_hash": before,
                "hash": digest,
            }
        )
        ticket["head_seq"] = ticket["version"] = seq
        ticket["head_hash"] = digest
        if at > ticket["changed_at"]:
            ticket["changed_at"] = at


class InsertResult(NamedTuple):
    """The outcome of one prepared ticket: its id, whether it is new, and, if not, whether the stored one has the same
    content."""

    status: Literal["created", "unchanged", "differs"]
    ticket_id: int


Nodes = tuple[Node | None, Node | None, Node | None]
"""Unit, category and grid of a ticket."""


def resolve_codes(
    ref: Reference, incoming: IncomingTicket, fields: Iterable[TicketField] = NODES
) -> dict[str, Node | None]:
    """The active nodes that ``fields`` of a pushed ticket name, by field; raises Invalid naming every unknown code."""
    problems: list[FieldProblem] = []
    found: dict[str, Node | None] = {}
    for tree in fields:
        code = getattr(incoming, tree.name)
        if code is None:
            found[tree.name] = None
            continue
        node = ref.node(tree.name, code)
        if node is None or not node.active:
            problems.append(
                FieldProblem(
                    f"/{tree.name}",
                    f"没有编码为 {code!r} 的在用{tree.label.zh}，请先建立或更正编码",
                    f"no active {tree.name} has the code {code!r}: make it first, or correct the code",
                )
            )
        found[tree.name] = node
    if problems:
        raise Invalid(problems)
    return found


def ticket_number(ticket_id: int, received_at: datetime, zone: tzinfo) -> str:
    """The number printed on documents: the local date of receipt, and the id."""
    day = received_at.astimezone(zone)
    return f"{day.year:04d}{day.month:02d}{day.day:02d}-{ticket_id:07d}"


def prepare(
    ref: Reference,
    incoming: IncomingTicket,
    source: SourceInfo,
    *,
    ticket_id: int,
    fingerprint: str,
    actor: str,
    now: datetime,
    zone: tzinfo,
) -> PreparedTicket:
    """Prepare the rows of a live ticket. One pushed with its unit counts as dispatched at its receipt; one without gets a
    complete-deadline from its receipt, so that it cannot be forgotten.

    Raises Invalid for an unknown code.
    """
    codes = resolve_codes(ref, incoming)
    unit = codes["unit"]
    nodes = (unit, codes["category"], codes["grid"])
    received = incoming.received_at or now
    row = content_row(
        incoming, source, nodes, received, ticket_id=ticket_id, fingerprint=fingerprint, now=now, zone=zone
    )
    row["status"] = "dispatched" if unit else "received"
    row["dispatched_at"] = received if unit else None
    prepared = PreparedTicket(row, [])
    opened = open_deadlines(ref, prepared, source, nodes, received)
    data = received_data(row, source, nodes)
    if unit is None:
        prepared.log("received", received, now, actor, {**data, "deadlines": opened})
    else:
        prepared.log("received", received, now, actor, data)
        prepared.log("dispatched", received, now, actor, {"unit": unit.code, "by": "source", "deadlines": opened})
    return prepared


def content_row(
    incoming: IncomingTicket,
    source: SourceInfo,
    nodes: Nodes,
    received: datetime,
    *,
    ticket_id: int,
    fingerprint: str,
    now: datetime,
    zone: tzinfo,
) -> dict[str, Any]:
    """The row of ``ticket`` with its content; the caller sets its status and the moments of its life."""
    unit, category, grid = nodes
    row = dict(_BLANK)
    row.update(zip(_COPIED_COLUMNS, _copied_values(incoming), strict=True))
    row.update(
        id=ticket_id,
        number=ticket_number(ticket_id, received, zone),
        source_id=source.id,
        fingerprint=fingerprint,
        category_id=category.id if category else None,
        unit_id=unit.id if unit else None,
        first_unit_id=unit.id if unit else None,
        grid_id=grid.id if grid else None,
        received_at=received,
        recorded_at=now,
        changed_at=received,
    )
    if incoming.reporter is not None:
        row.update(zip(_REPORTER_COLUMNS, _reporter_values(incoming.reporter), strict=True))
    return row


def received_data(row: Mapping[str, Any], source: SourceInfo, nodes: Nodes) -> dict[str, Any]:
    """The data of the event ``received``: everything that deadlines depend on, and no personal data."""
    unit, category, grid = nodes
    return {
        "source": source.code,
        "external_id": row["external_id"],
        "fingerprint": row["fingerprint"],
        "kind": row["kind"],
        "category": category.code if category else None,
        "priority": row["priority"],
        "severity": row["severity"],
        "unit": unit.code if unit else None,
        "grid": grid.code if grid else None,
        "source_due_at": stamp(row["source_due_at"]),
    }


def open_deadlines(
    ref: Reference, prepared: PreparedTicket, source: SourceInfo, nodes: Nodes, start: datetime
) -> dict[str, Any]:
    """Add the deadlines of the ticket's policy, from ``start``, and its first check; returns their event data."""
    row = prepared.ticket
    unit, category, _ = nodes
    known = openings(ref)
    plan = known.plan(source, row["kind"], category, row["priority"], row["severity"], unit, start)
    binding = row["source_due_at"] if source.binds_due else None
    opening = known.of(plan, start) if binding is None else known.work_out(plan, start, binding)
    for one in opening.deadlines:
        bound = binding is not None and one.target == "complete"
        prepared.deadlines.append(
            {
                "ticket_id": row["id"],
                "target": one.target,
                "round": 1,
                "revision": 1,
                "started_at": start,
                "due_at": one.due_at,
                "met_at": None,
                "cancelled_at": None,
                "provisional": one.provisional,
                "basis": "source" if bound else "policy",
                "limit": None if bound else one.limit,
                "extended_days": 0,
                "policy_id": plan.policy_id,
                "calendar_id": plan.calendar_id,
            }
        )
        if one.target == "complete":
            row["due_at"], row["provisional"] = one.due_at, one.provisional
            row["policy_id"], row["calendar_id"] = plan.policy_id, plan.calendar_id
    row["next_check_at"] = opening.first_check
    since = {} if start == row["received_at"] else {"start": stamp(start)}
    return {one.target: {**one.entry, **since} if since else one.entry for one in opening.deadlines}


_COPIED_COLUMNS, _COPIED_NAMES = columns_and_names(COPIED)
_REPORTER_COLUMNS, _REPORTER_PARTS = columns_and_names(REPORTER)
_copied_values = attrgetter(*_COPIED_NAMES)
_reporter_values = attrgetter(*_REPORTER_PARTS)
_BLANK: dict[str, Any] = {
    column.name: None if column.nullable else column.default.arg if column.default is not None else None
    for column in Ticket.__table__.columns  # type: ignore[attr-defined]
} | {
    "stage": "assigned", "round": 1, "historical": False, "returns": 0, "reopens": 0, "urges": 0, "dissatisfied": 0,
    "extensions": 0, "repeats": 0, "supervised": False, "version": 0, "head_seq": 0, "head_hash": GENESIS,
    "provisional": False, "priority": "normal",
}  # fmt: skip


def stored(session: Session, keys: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[int, str]]:
    """The existing tickets by (source id, external id): their ids and fingerprints."""
    by_source: dict[int, dict[str, None]] = {}
    for source_id, external_id in keys:
        by_source.setdefault(source_id, {})[external_id] = None
    return {
        (source_id, external_id): there
        for source_id, wanted in by_source.items()
        for external_id, there in bulk.stored_tickets(session, source_id, list(wanted)).items()
    }


def write(session: Session, prepared: Sequence[PreparedTicket], *, mostly_new: bool = False) -> list[InsertResult]:
    """Store the tickets that do not exist yet, in one transaction, and return the outcome of each.

    A key that occurs twice in ``prepared`` is stored once: the first wins. If another process stores the same key
    concurrently, exactly one of the two tickets is stored. ``mostly_new``: skip the query for existing tickets where the
    insert itself reports them.
    """
    keys = [(p.ticket["source_id"], p.ticket["external_id"]) for p in prepared]
    # A ticket with a parent is counted there before it is written, so it must be known to be new by then.
    blindly = mostly_new and _insert_can_tell(session) and not any(p.ticket["parent_external_id"] for p in prepared)
    known = {} if blindly else stored(session, keys)
    fresh: dict[tuple[int, str], PreparedTicket] = {}
    for key, item in zip(keys, prepared, strict=True):
        if key not in known:
            fresh.setdefault(key, item)
    _link_parents(session, list(fresh.values()))
    lost = _insert(session, list(fresh.values()))
    if lost:
        for key in [key for key, item in fresh.items() if item.ticket["id"] in lost]:
            del fresh[key]
        known = stored(session, keys)
    outcomes: list[InsertResult] = []
    for key, item in zip(keys, prepared, strict=True):
        mine = fresh.get(key)
        if mine is item:
            outcomes.append(InsertResult("created", item.ticket["id"]))
            continue
        ticket_id, fingerprint = known[key] if mine is None else (mine.ticket["id"], mine.ticket["fingerprint"])
        same = fingerprint == item.ticket["fingerprint"]
        outcomes.append(InsertResult("unchanged" if same else "differs", ticket_id))
    return outcomes


def _insert_can_tell(session: Session) -> bool:
    """Whether the insert skips and reports a row with an existing key; on SQLite it is an error."""
    return session.get_bind().dialect.name == "postgresql"


def _insert(session: Session, fresh: Sequence[PreparedTicket]) -> set[int]:
    """Insert the rows; the ids of tickets whose key another process stored in the meantime."""
    return bulk.insert_tickets(
        session,
        bulk.Rows(
            [p.ticket for p in fresh],
            [event for p in fresh for event in p.events],
            [row for p in fresh for row in p.deadlines],
            [row for p in fresh for row in p.callbacks],
        ),
    )


def _link_parents(session: Session, fresh: Sequence[PreparedTicket]) -> None:
    """Link tickets that name an earlier one at their source (催办、重复诉求) to it, and count the repeat there."""
    named = [p for p in fresh if p.ticket["parent_external_id"]]
    if not named:
        return
    keys = {p.ticket["id"]: (p.ticket["source_id"], p.ticket["parent_external_id"]) for p in named}
    found = {key: row[0] for key, row in stored(session, keys.values()).items()}
    found |= {
        (p.ticket["source_id"], p.ticket["external_id"]): p.ticket["id"]
        for p in fresh
        if not p.ticket["parent_external_id"]
    }
    t: Any = Ticket
    for item in named:
        parent = found.get(keys[item.ticket["id"]])
        if parent is None or parent == item.ticket["id"]:
            continue
        item.ticket["parent_id"] = parent
        if item.ticket["status"] == "void":
            continue
        inside = next((p for p in fresh if p.ticket["id"] == parent), None)
        if inside is not None:
            inside.ticket["repeats"] += 1
        else:
            session.execute(update(t).where(t.id == parent).values(repeats=t.repeats + 1))
