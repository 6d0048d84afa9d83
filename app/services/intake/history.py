"""Import of historical tickets, and of the units, categories and grids that they name.

History is imported as its source reports it. Status and moments are stored as given; no limit is applied that was not set
at the time:

* a complete-deadline if the source gives one (basis ``source``), even before the receipt, but only if it can be judged:
  on an open ticket, or on a completed one with a known moment of completion;
* else the source's verdict, if given; else none: such a ticket counts as "cannot be judged".

A step implied by the status but without a moment is an event at the latest known moment before it, marked
``"moment": "unknown"``; the ticket's column stays empty. History does not trigger the ladder. With ``live`` (`duban
import --live`) a ticket that is still open is supervised from now on: deadlines of its policy, and a ladder check.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Protocol

from sqlmodel import Session

from app.domain.tickets.fields import NODES
from app.models import Category, Grid, Unit
from app.services.core.events import stamp
from app.services.core.reference import Node, Reference, SourceInfo, touch
from app.services.intake.create import IncomingTicket, Nodes, PreparedTicket, content_row, open_deadlines, received_data
from app.services.intake.opening import openings
from app.store import reference as store

_TREES = (("unit", Unit), ("category", Category), ("grid", Grid))
_DONE = ("completed", "closed")


class NamedNode(Protocol):
    """A node of a tree as named in a file. An unknown name equals the code."""

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...


class PastTicket(IncomingTicket, Protocol):
    """A ticket with the history known to its source: ``ingest.rows.ticket_in.HistoricalTicket`` is one."""

    @property
    def status(self) -> str: ...
    @property
    def dispatched_at(self) -> datetime | None: ...
    @property
    def accepted_at(self) -> datetime | None: ...
    @property
    def completed_at(self) -> datetime | None: ...
    @property
    def closed_at(self) -> datetime | None: ...
    @property
    def voided_at(self) -> datetime | None: ...
    @property
    def source_flag(self) -> str | None: ...
    @property
    def source_verdict(self) -> str | None: ...
    @property
    def result(self) -> str | None: ...
    @property
    def satisfaction(self) -> str | None: ...
    @property
    def unit_path(self) -> Sequence[NamedNode]: ...
    @property
    def category_path(self) -> Sequence[NamedNode]: ...
    @property
    def grid_path(self) -> Sequence[NamedNode]: ...


# -- units, categories and grids ---------------------------------------------------------------------------------------


class ReferenceFinder:
    """Finds the unit, category and grid named in a file: by code, else by a unique name."""

    def __init__(self, ref: Reference) -> None:
        self.ref = ref
        self._by_name = {field.name: _names(ref.tree(field.name)) for field in NODES}

    def find(self, tree: str, code: str, name: str) -> Node | None:
        """The node, or None if it must be created. ``name`` counts only if it equals ``code``."""
        found = self.ref.node(tree, code)
        if found is None and name == code:
            found = self._by_name[tree].get(name)
        return found

    def of(self, ticket: PastTicket) -> Nodes:
        """Unit, category and grid of a ticket, all of which ``make_places`` has created."""
        unit, category, grid = (
            None if code is None else self.find(tree, code, path[-1].name if path else code)
            for tree, code, path in (
                ("unit", ticket.unit, ticket.unit_path),
                ("category", ticket.category, ticket.category_path),
                ("grid", ticket.grid, ticket.grid_path),
            )
        )
        return unit, category, grid


def _names(nodes: Mapping[int, Node]) -> dict[str, Node | None]:
    """Nodes by name; None for a name that several share."""
    found: dict[str, Node | None] = {}
    for node in nodes.values():
        found[node.name] = None if node.name in found else node
    return found


def missing_places(places: ReferenceFinder, tickets: Iterable[PastTicket]) -> dict[str, dict[str, Sequence[NamedNode]]]:
    """The nodes of these tickets that do not exist or have no name: by tree and code, each with its path."""
    wanted: dict[str, dict[str, Sequence[NamedNode]]] = {tree: {} for tree, _ in _TREES}
    seen: set[tuple[str, Sequence[NamedNode] | str]] = set()
    for ticket in tickets:
        for tree, code, path in (
            ("unit", ticket.unit, ticket.unit_path),
            ("category", ticket.category, ticket.category_path),
            ("grid", ticket.grid, ticket.grid_path),
        ):
            if code is None or (tree, path or code) in seen:
                continue
            seen.add((tree, path or code))
            whole: Sequence[NamedNode] = path or (_OnlyCode(code),)
            if any(_lacks(places, tree, step) for step in whole):
                wanted[tree].setdefault(code, whole)
    return {tree: found for tree, found in wanted.items() if found}


def _lacks(places: ReferenceFinder, tree: str, step: NamedNode) -> bool:
    node = places.find(tree, step.code, step.name)
    return node is None or (node.name == node.code != step.name)


class _OnlyCode:
    """A node with a known code only."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    @property
    def name(self) -> str:
        return self.code


def make_places(
    session: Session, places: ReferenceFinder, missing: Mapping[str, Mapping[str, Sequence[NamedNode]]]
) -> None:
    """Create missing nodes, root first, and name unnamed ones; an existing name is never overwritten.

    Codes take precedence over names: the first path with a code determines its parent. The reference data must be
    reloaded afterwards, in the same transaction.
    """
    tables: dict[str, type[Any]] = dict(_TREES)
    for tree, paths in missing.items():
        table = tables[tree]
        store.lock_tree(session, table)
        made: dict[str, Any] = {}
        for path in paths.values():
            parent: Any = None
            for step in path:
                parent = made[step.code] = made.get(step.code) or _place(session, places, tree, table, step, parent)
                if parent.name == parent.code != step.name:
                    parent.name = step.name
                    session.add(parent)
    session.flush()
    touch(session)


def _place(session: Session, places: ReferenceFinder, tree: str, table: type[Any], step: NamedNode, parent: Any) -> Any:
    known = places.find(tree, step.code, step.name)
    if known is not None:
        return session.get(table, known.id, populate_existing=True)
    # Another process may have created it since the reference data was read.
    return store.by_code(session, table, step.code) or store.add_node(session, table, step.code, step.name, parent)


# -- the ticket --------------------------------------------------------------------------------------------------------


def prepare(
    places: ReferenceFinder,
    ticket: PastTicket,
    source: SourceInfo,
    *,
    ticket_id: int,
    fingerprint: str,
    actor: str,
    now: datetime,
    zone: tzinfo,
    live: bool = False,
) -> PreparedTicket:
    """Prepare the rows of a historical ticket; ``actor`` is ``import:PROFILE``. The module docstring has the rules.

    A ticket without ``received_at`` was received at its earliest known moment, else at ``now``.
    """
    known = [m for m in (ticket.dispatched_at, ticket.accepted_at, ticket.completed_at, ticket.closed_at) if m]
    received = ticket.received_at or min(known, default=now)
    nodes = places.of(ticket)
    row = content_row(ticket, source, nodes, received, ticket_id=ticket_id, fingerprint=fingerprint, now=now, zone=zone)
    row.update(
        status=ticket.status,
        historical=not live,
        dispatched_at=ticket.dispatched_at,
        accepted_at=ticket.accepted_at,
        completed_at=ticket.completed_at,
        first_completed_at=ticket.completed_at,
        closed_at=ticket.closed_at,
        source_verdict=ticket.source_verdict,
        result=ticket.result,
        satisfaction=ticket.satisfaction,
    )
    prepared = PreparedTicket(row, [])
    open_now = ticket.status not in (*_DONE, "void")
    opened: dict[str, Any] | None = None
    if live and open_now:
        opened = _supervise(places.ref, prepared, source, nodes, ticket)
    elif ticket.source_due_at is not None:
        opened = _keep_source_deadline(places.ref, prepared, ticket, open_now)
    data = received_data(row, source, nodes) | {"source_flag": ticket.source_flag, "verdict": ticket.source_verdict}
    prepared.log("received", received, now, actor, {**data, "deadlines": opened})
    _log_life(prepared, ticket, nodes[0], received, now, actor)
    return prepared


def _supervise(
    ref: Reference, prepared: PreparedTicket, source: SourceInfo, nodes: Nodes, ticket: PastTicket
) -> dict[str, Any]:
    """Open the policy deadlines of a live ticket, met according to its moments."""
    row = prepared.ticket
    if row["unit_id"] is not None and row["dispatched_at"] is None:
        row["dispatched_at"] = row["received_at"]  # as for a push that names its unit
        if row["status"] == "received":
            row["status"] = "dispatched"
    opened = open_deadlines(ref, prepared, source, nodes, row["dispatched_at"] or row["received_at"])
    met = {"accept": ticket.accepted_at}
    for deadline in prepared.deadlines:
        deadline["met_at"] = met.get(deadline["target"])
    if ticket.accepted_at is not None:
        pending = [one for one in prepared.deadlines if one["met_at"] is None]
        row["next_check_at"] = openings(ref).first_check(row["unit_id"], pending)
    return opened


def _keep_source_deadline(
    ref: Reference, prepared: PreparedTicket, ticket: PastTicket, open_now: bool
) -> dict[str, Any] | None:
    row = prepared.ticket
    completed = ticket.status in _DONE and ticket.completed_at is not None
    void_since = ticket.voided_at if ticket.status == "void" else None
    if not (open_now or completed or void_since):
        return None  # completed at an unknown moment: the deadline remains in source_due_at and is not judged
    due_at = ticket.source_due_at
    calendar_id, _ = ref.calendar_for(row["unit_id"])
    row["due_at"] = due_at
    row["calendar_id"] = calendar_id
    prepared.deadlines.append(
        {
            "ticket_id": row["id"],
            "target": "complete",
            "round": 1,
            "revision": 1,
            "started_at": row["dispatched_at"] or row["received_at"],
            "due_at": due_at,
            "met_at": ticket.completed_at if completed else None,
            "cancelled_at": void_since,
            "provisional": False,
            "basis": "source",
            "limit": None,
            "extended_days": 0,
            "policy_id": None,
            "calendar_id": calendar_id,
        }
    )
    return {"complete": {"to": stamp(due_at)}}


def _log_life(
    prepared: PreparedTicket, ticket: PastTicket, unit: Node | None, received: datetime, now: datetime, actor: str
) -> None:
    """Log one event for each known step, in the order of a ticket's life, whatever the order of its moments."""
    row = prepared.ticket
    status = row["status"]
    latest = received
    for step, moment, implied in (
        ("dispatched", row["dispatched_at"], status == "dispatched"),
        ("accepted", row["accepted_at"], status == "accepted"),
        ("completed", row["completed_at"], status in _DONE),
    ):
        if moment is None and not implied:
            continue
        data: dict[str, Any] = {"unit": unit.code if unit and step == "dispatched" else None}
        if step == "completed":
            data["result"] = ticket.result
        latest = _log_step(prepared, step, moment, latest, data, now, actor)
    if ticket.satisfaction is not None:
        latest = _call_back(prepared, ticket, row["closed_at"] or latest, now, actor)
    if row["closed_at"] is not None or status == "closed":
        latest = _log_step(prepared, "closed", row["closed_at"], latest, {"because": "source"}, now, actor)
    if status == "void":
        # A void ticket without a moment would count as open for ever, so it gets its latest known moment.
        row["voided_at"] = ticket.voided_at or latest
        _log_step(prepared, "voided", ticket.voided_at, latest, {"reason": ticket.result}, now, actor)


def _log_step(
    prepared: PreparedTicket, step: str, moment: datetime | None, latest: datetime, data: dict[str, Any], now: datetime,
    actor: str,
) -> datetime:  # fmt: skip
    unknown = {"moment": "unknown"} if moment is None else {}
    prepared.log(step, moment or latest, now, actor, {**data, "by": "source", **unknown})
    return max(latest, moment or latest)


def _call_back(prepared: PreparedTicket, ticket: PastTicket, at: datetime, now: datetime, actor: str) -> datetime:
    """Record the citizen's satisfaction as a callback, at the closing or the latest known moment."""
    prepared.callbacks.append(
        {
            "ticket_id": prepared.ticket["id"],
            "round": 1,
            "at": at,
            "outcome": "reached",
            "satisfaction": ticket.satisfaction,
            "resolved": None,
            "speed": None,
            "attitude": None,
            "result_score": None,
            "remark": None,
            "actor": actor,
        }
    )
    data = {"outcome": "reached", "satisfaction": ticket.satisfaction, "by": "source", "moment": "unknown"}
    prepared.log("called_back", at, now, actor, data)
    return at
