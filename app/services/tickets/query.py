"""Read the tickets visible to a caller, filtered by the request's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session

from app.domain.words import CARD, KIND, PRIORITY, STAGE, STATUS, Words
from app.errors import Invalid, NotFound
from app.models import Deadline, Ticket
from app.security.principal import Principal
from app.services.core.reference import Node, Reference
from app.store import tickets as store
from app.store.scope import sees
from app.store.tickets import TicketFilter


def subtree(nodes: Mapping[int, Node], root: Node) -> frozenset[int]:
    """The ids of ``root`` and all below it."""
    return frozenset(node.id for node in nodes.values() if node.path.startswith(root.path))


def _ids(ref_find: Any, nodes: Mapping[int, Node], code: str, name: str) -> frozenset[int]:
    node = ref_find(code)
    if node is None:
        raise Invalid.at(f"/{name}", f"没有编码 {code!r}", f"nothing has the code {code!r}")
    return subtree(nodes, node)


def build_filter(ref: Reference, asked: Mapping[str, Any], now: datetime) -> TicketFilter:
    """The filter for the contract's parameters: ``status, unit, source, kind, category, stage, card, overdue,
    repeated, received_from, received_to, due_before, q, external_id`` (and ``grid``, ``priority``). Lists of words may
    be separated by commas; a unit, category or grid includes its whole subtree. Raises Invalid for unknown codes
    and words."""

    def words(name: str, known: Words) -> tuple[str, ...]:
        given = tuple(w.strip() for w in (asked.get(name) or "").split(",") if w.strip())
        wrong = [word for word in given if word not in known]
        if wrong:
            raise Invalid.at(f"/{name}", f"没有 {wrong[0]!r}；可用：{'、'.join(known)}",
                             f"no such word as {wrong[0]!r}; there are: {', '.join(known)}")  # fmt: skip
        return given

    sources: frozenset[int] | None = None
    if asked.get("source"):
        source = ref.source_by_code(asked["source"])
        if source is None:
            raise Invalid.at("/source", f"没有来源 {asked['source']!r}", f"no source has the code {asked['source']!r}")
        sources = frozenset({source.id})
    return TicketFilter(
        status=words("status", STATUS),
        kind=words("kind", KIND),
        priority=words("priority", PRIORITY),
        stage=words("stage", STAGE),
        card=words("card", CARD),
        unit_ids=_ids(ref.unit_by_code, ref.units, asked["unit"], "unit") if asked.get("unit") else None,
        category_ids=_ids(ref.category_by_code, ref.categories, asked["category"], "category")
        if asked.get("category")
        else None,
        grid_ids=_ids(ref.grid_by_code, ref.grids, asked["grid"], "grid") if asked.get("grid") else None,
        source_ids=sources,
        overdue=asked.get("overdue"),
        repeated=asked.get("repeated"),
        received_from=asked.get("received_from"),
        received_to=asked.get("received_to"),
        due_before=asked.get("due_before"),
        q=(asked.get("q") or "").strip() or None,
        external_id=asked.get("external_id"),
        now=now,
    )


def page(
    session: Session, ref: Reference, who: Principal, f: TicketFilter, *, before_id: int | None, limit: int
) -> tuple[list[tuple[Ticket, list[Deadline]]], int | None]:
    """One page of the tickets ``who`` may see, newest first, each with its deadlines; and the key to go on from."""
    rows = store.list_tickets(session, who, ref, f, before_id=before_id, limit=limit + 1)
    more = rows[limit - 1].id if len(rows) > limit else None
    rows = rows[:limit]
    deadlines = store.deadlines_of(session, [row.id for row in rows])
    return [(row, deadlines[row.id]) for row in rows], more


def get(session: Session, ref: Reference, who: Principal, ticket_id: int) -> Ticket:
    """The ticket, if it is there for ``who``; raises NotFound otherwise."""
    ticket = session.get(Ticket, ticket_id)
    if ticket is None or not sees(who, ticket, ref):
        raise NotFound(f"没有编号为 {ticket_id} 的工单", f"no ticket has the id {ticket_id}")
    return ticket
