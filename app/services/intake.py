"""Taking tickets in: what a pushed ticket becomes (ticket, events, deadlines, next look), and writing many at once.

``prepare`` is pure but for the reference data it is given, so that a group or a file is prepared before its
transaction begins; ``write`` stores a group of prepared tickets, each once, and says of every one what became of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Literal, Protocol

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session

from app.domain.errors import FieldProblem, Invalid
from app.domain.ladder import DeadlineFacts
from app.domain.limits import due
from app.domain.policies import Subject, choose
from app.models import Deadline, Ticket, TicketEvent
from app.security.hash_chain import GENESIS, link
from app.services.alerts import first_check
from app.services.log import stamp
from app.services.reference import Node, Reference, SourceInfo

LOOKUP = 500
"""Keys in one look-up of existing tickets; SQLite takes 32,766 variables in a statement."""


class Incoming(Protocol):
    """A ticket as pushed, validated: ``ingest.schema.TicketIn`` is one. Moments are aware."""

    @property
    def external_id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def content(self) -> str | None: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def category(self) -> str | None: ...
    @property
    def priority(self) -> str: ...
    @property
    def severity(self) -> str | None: ...
    @property
    def received_at(self) -> datetime | None: ...
    @property
    def source_due_at(self) -> datetime | None: ...
    @property
    def reporter(self) -> Any: ...
    @property
    def address(self) -> str | None: ...
    @property
    def latitude(self) -> float | None: ...
    @property
    def longitude(self) -> float | None: ...
    @property
    def grid(self) -> str | None: ...
    @property
    def unit(self) -> str | None: ...
    @property
    def parent_external_id(self) -> str | None: ...
    @property
    def attributes(self) -> dict[str, Any] | None: ...


@dataclass
class Prepared:
    """The rows one ticket will become."""

    ticket: dict[str, Any]
    events: list[dict[str, Any]]
    deadlines: list[dict[str, Any]] = field(default_factory=list)

    def log(self, event_type: str, at: datetime, now: datetime, actor: str, data: Mapping[str, Any]) -> None:
        """Add one event to the chain of this new ticket."""
        ticket = self.ticket
        payload = {key: value for key, value in data.items() if value is not None}
        seq = ticket["head_seq"] + 1
        digest = link(ticket["head_hash"], ticket["id"], seq, event_type, at, now, actor, payload)
        self.events.append(
            {
                "ticket_id": ticket["id"],
                "seq": seq,
                "type": event_type,
                "at": at,
                "recorded_at": now,
                "actor": actor,
                "data": payload,
                "prev_hash": ticket["head_hash"],
                "hash": digest,
            }
        )
        ticket["head_seq"] = ticket["version"] = seq
        ticket["head_hash"] = digest
        ticket["changed_at"] = max(ticket["changed_at"], at)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one prepared ticket: its id, whether it is new, and, where it is not, whether the stored one has
    the same content."""

    status: Literal["created", "unchanged", "differs"]
    ticket_id: int


def resolve_codes(ref: Reference, incoming: Incoming) -> tuple[Node | None, Node | None, Node | None]:
    """Unit, category and grid of a pushed ticket; raises Invalid naming every code that is not known."""
    problems: list[FieldProblem] = []
    found: list[Node | None] = []
    for name, finder, zh in (
        ("unit", ref.unit_by_code, "责任单位"),
        ("category", ref.category_by_code, "分类"),
        ("grid", ref.grid_by_code, "网格"),
    ):
        code = getattr(incoming, name)
        node = finder(code) if code is not None else None
        if code is not None and (node is None or not node.active):
            problems.append(
                FieldProblem(
                    f"/{name}",
                    f"没有编码为 {code!r} 的在用{zh}，请先建立或更正编码",
                    f"no active {name} has the code {code!r}: make it first, or correct the code",
                )
            )
        found.append(node)
    if problems:
        raise Invalid(problems)
    return found[0], found[1], found[2]


def ticket_number(ticket_id: int, received_at: datetime, zone: tzinfo) -> str:
    """The number printed on documents: the local date of receipt, and the id."""
    return f"{received_at.astimezone(zone):%Y%m%d}-{ticket_id:07d}"


def prepare(
    ref: Reference,
    incoming: Incoming,
    source: SourceInfo,
    *,
    ticket_id: int,
    fingerprint: str,
    actor: str,
    now: datetime,
    zone: tzinfo,
) -> Prepared:
    """The rows of a live ticket. One that comes with its unit was dispatched by its source when it was received; one
    without has a complete-deadline from its receipt, so that it cannot be forgotten.

    Raises Invalid where a code is not known.
    """
    unit, category, grid = resolve_codes(ref, incoming)
    received = incoming.received_at or now
    row: dict[str, Any] = dict(_BLANK)
    person = incoming.reporter
    row.update(
        id=ticket_id,
        number=ticket_number(ticket_id, received, zone),
        source_id=source.id,
        external_id=incoming.external_id,
        fingerprint=fingerprint,
        title=incoming.title,
        content=incoming.content,
        kind=incoming.kind,
        category_id=category.id if category else None,
        priority=incoming.priority,
        severity=incoming.severity,
        unit_id=unit.id if unit else None,
        first_unit_id=unit.id if unit else None,
        grid_id=grid.id if grid else None,
        parent_external_id=incoming.parent_external_id,
        reporter_name=person.name if person else None,
        reporter_phone=person.phone if person else None,
        reporter_id_number=person.id_number if person else None,
        address=incoming.address,
        latitude=incoming.latitude,
        longitude=incoming.longitude,
        attributes=incoming.attributes or None,
        status="dispatched" if unit else "received",
        received_at=received,
        recorded_at=now,
        changed_at=received,
        source_due_at=incoming.source_due_at,
        dispatched_at=received if unit else None,
    )
    prepared = Prepared(row, [])
    opened = _open_deadlines(ref, prepared, source, unit, category, received)
    prepared.log(
        "received",
        received,
        now,
        actor,
        {
            "source": source.code,
            "external_id": incoming.external_id,
            "fingerprint": fingerprint,
            "kind": row["kind"],
            "category": category.code if category else None,
            "priority": row["priority"],
            "severity": row["severity"],
            "unit": unit.code if unit else None,
            "grid": grid.code if grid else None,
            "source_due_at": stamp(incoming.source_due_at),
            "deadlines": None if unit else opened,
        },
    )
    if unit is not None:
        prepared.log("dispatched", received, now, actor, {"unit": unit.code, "by": "source", "deadlines": opened})
    return prepared


def _open_deadlines(
    ref: Reference, prepared: Prepared, source: SourceInfo, unit: Node | None, category: Node | None, start: datetime
) -> dict[str, Any]:
    row = prepared.ticket
    subject = Subject(
        source=source.code,
        kind=row["kind"],
        category_path=category.codes if category else (),
        priority=row["priority"],
        severity=row["severity"],
        unit_path=unit.codes if unit else (),
        at=start,
    )
    policy = choose([policy for _, policy in ref.policies], subject).policy
    policy_id = next(key for key, other in ref.policies if other is policy)
    calendar_id, calendar = ref.calendar_for(row["unit_id"])
    opened: dict[str, Any] = {}
    facts: list[DeadlineFacts] = []
    for target in ("accept", "contact", "complete") if unit else ("complete",):
        limit = policy.limits.get(target)
        if limit is None:
            continue
        binding = target == "complete" and source.binds_due and row["source_due_at"] is not None
        if binding:
            due_at, provisional = row["source_due_at"], False
        else:
            answer = due(calendar, start, limit)
            due_at, provisional = answer.due_at, answer.provisional
        prepared.deadlines.append(
            {
                "ticket_id": row["id"],
                "target": target,
                "round": 1,
                "revision": 1,
                "started_at": start,
                "due_at": due_at,
                "met_at": None,
                "cancelled_at": None,
                "provisional": provisional,
                "basis": "source" if binding else "policy",
                "limit": None if binding else limit.to_spec(),
                "extended_days": 0,
                "policy_id": policy_id,
                "calendar_id": calendar_id,
            }
        )
        opened[target] = {"to": stamp(due_at), **({"provisional": True} if provisional else {})}
        facts.append(DeadlineFacts(target, 1, 1, start, due_at, False, frozenset()))
        if target == "complete":
            row.update(due_at=due_at, provisional=provisional, policy_id=policy_id, calendar_id=calendar_id)
    row["next_check_at"] = first_check(ref, calendar, facts)
    return opened


_BLANK: dict[str, Any] = {
    column.name: None if column.nullable else column.default.arg if column.default is not None else None
    for column in Ticket.__table__.columns  # type: ignore[attr-defined]
} | {
    "stage": "assigned", "round": 1, "historical": False, "returns": 0, "reopens": 0, "urges": 0, "dissatisfied": 0,
    "extensions": 0, "repeats": 0, "supervised": False, "version": 0, "head_seq": 0, "head_hash": GENESIS,
    "provisional": False, "priority": "normal",
}  # fmt: skip


def stored(session: Session, keys: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[int, str]]:
    """The tickets that are there already, by (source id, external id): their ids and fingerprints."""
    wanted = list(dict.fromkeys(keys))
    found: dict[tuple[int, str], tuple[int, str]] = {}
    t: Any = Ticket
    for start in range(0, len(wanted), LOOKUP):
        query = select(t.source_id, t.external_id, t.id, t.fingerprint).where(
            tuple_(t.source_id, t.external_id).in_(wanted[start : start + LOOKUP])
        )
        for source_id, external_id, ticket_id, fingerprint in session.execute(query):
            found[(source_id, external_id)] = (ticket_id, fingerprint)
    return found


def write(session: Session, prepared: Sequence[Prepared]) -> list[Outcome]:
    """Store the tickets that are not there yet, in one transaction, and say of each what became of it.

    A key that comes twice in ``prepared`` is stored once: the first wins. Another process that stores the same key at
    the same moment wins or loses whole: its ticket or ours is there, once.
    """
    keys = [(p.ticket["source_id"], p.ticket["external_id"]) for p in prepared]
    known = stored(session, keys)
    fresh: dict[tuple[int, str], Prepared] = {}
    for key, item in zip(keys, prepared, strict=True):
        if key not in known:
            fresh.setdefault(key, item)
    _link_parents(session, list(fresh.values()))
    lost = _insert(session, list(fresh.values()))
    if lost:
        for key in [key for key, item in fresh.items() if item.ticket["id"] in lost]:
            del fresh[key]
        known = stored(session, keys)
    outcomes: list[Outcome] = []
    for key, item in zip(keys, prepared, strict=True):
        mine = fresh.get(key)
        if mine is item:
            outcomes.append(Outcome("created", item.ticket["id"]))
            continue
        ticket_id, fingerprint = known[key] if mine is None else (mine.ticket["id"], mine.ticket["fingerprint"])
        same = fingerprint == item.ticket["fingerprint"]
        outcomes.append(Outcome("unchanged" if same else "differs", ticket_id))
    return outcomes


def _insert(session: Session, fresh: Sequence[Prepared]) -> set[int]:
    """Insert the rows; the ids of tickets whose key another process stored in the meantime."""
    if not fresh:
        return set()
    dialect_insert: Any = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    tickets = [p.ticket for p in fresh]
    table: Any = Ticket.__table__  # type: ignore[attr-defined]
    session.execute(dialect_insert(table).on_conflict_do_nothing(index_elements=["source_id", "external_id"]), tickets)
    lost: set[int] = set()
    ids = [row["id"] for row in tickets]
    if session.get_bind().dialect.name == "postgresql":  # on SQLite nobody else writes meanwhile
        there = {key for (key,) in session.execute(select(table.c.id).where(table.c.id.in_(ids)))}
        lost = set(ids) - there
    kept = [p for p in fresh if p.ticket["id"] not in lost]
    events = [event for p in kept for event in p.events]
    deadlines = [row for p in kept for row in p.deadlines]
    if events:
        session.execute(insert(TicketEvent.__table__), events)  # type: ignore[attr-defined]
    if deadlines:
        session.execute(insert(Deadline.__table__), deadlines)  # type: ignore[attr-defined]
    return lost


def _link_parents(session: Session, fresh: Sequence[Prepared]) -> None:
    """Point tickets that name an earlier one at their source (催办、重复诉求) to it, and count the repeat there."""
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
        inside = next((p for p in fresh if p.ticket["id"] == parent), None)
        if inside is not None:
            inside.ticket["repeats"] += 1
        else:
            session.execute(update(t).where(t.id == parent).values(repeats=t.repeats + 1))
