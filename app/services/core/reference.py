"""One immutable snapshot of the reference data, shared by every thread until it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from threading import Lock

from sqlmodel import Session

from app.domain.supervision.ladder import DEFAULT_LADDER, Ladder
from app.domain.tickets.policies import Policy, Subject
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid
from app.models import CalendarVersion, Category, Grid, LadderVersion, PolicyVersion, Source, Ticket, Unit
from app.schemas.calendar_document import read_calendar
from app.schemas.ladder import read_ladder
from app.schemas.policy import read_policy
from app.store import reference as store
from app.store.ids import take

DEFAULT_CALENDAR = "cn"


@dataclass(frozen=True, slots=True)
class Node:
    """A row of a tree as the services see it: ``path`` holds the ids from the root, ``codes`` the codes."""

    id: int
    code: str
    name: str
    name_en: str | None
    parent_id: int | None
    path: str
    codes: tuple[str, ...]
    active: bool
    tier: str | None = None
    calendar_code: str | None = None
    practical: bool = False

    def called(self, lang: str) -> str:
        """Its name in ``lang``."""
        return self.name_en or self.name if lang == "en" else self.name


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source as the services see it."""

    id: int
    code: str
    name: str
    name_en: str | None
    binds_due: bool
    active: bool


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """One version of a policy as it was made, and retired."""

    id: int
    policy: Policy
    created_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True)
class Reference:
    """The rarely changing data needed for every ticket. Immutable: a change creates a new snapshot."""

    version: int
    sources: Mapping[int, SourceInfo]
    units: Mapping[int, Node]
    grids: Mapping[int, Node]
    categories: Mapping[int, Node]
    calendars: Mapping[str, tuple[int, WorkCalendar]]
    policies: tuple[tuple[int, Policy], ...]
    """Every version of the policies that are not retired; ``choose`` takes the highest one in force of each code."""
    ladder: Ladder
    _codes: Mapping[str, Mapping[str, int]] = field(repr=False)
    history: tuple[PolicyEntry, ...] = field(default=(), repr=False)
    """Every version of every policy, oldest first, the retired ones too."""

    def _find(self, kind: str, code: str) -> int | None:
        return self._codes[kind].get(code)

    def source_by_code(self, code: str) -> SourceInfo | None:
        """The source with this code, or None."""
        found = self._find("source", code)
        return None if found is None else self.sources[found]

    def tree(self, name: str) -> Mapping[int, Node]:
        """The nodes of the tree ``unit``, ``category`` or ``grid``, by id."""
        return self.units if name == "unit" else self.categories if name == "category" else self.grids

    def node(self, tree: str, code: str) -> Node | None:
        """The node of a tree with this code, or None."""
        found = self._find(tree, code)
        return None if found is None else self.tree(tree)[found]

    def unit_by_code(self, code: str) -> Node | None:
        """The unit with this code, or None."""
        return self.node("unit", code)

    def category_by_code(self, code: str) -> Node | None:
        """The category with this code, or None."""
        return self.node("category", code)

    def grid_by_code(self, code: str) -> Node | None:
        """The grid with this code, or None."""
        return self.node("grid", code)

    def need_unit(self, code: object, pointer: str = "/unit") -> Node:
        """The active unit with this code; raises Invalid at ``pointer``."""
        node = self.unit_by_code(code) if isinstance(code, str) else None
        if node is None or not node.active:
            raise Invalid.at(pointer, f"没有编码为 {code!r} 的在用责任单位", f"no active unit has the code {code!r}")
        return node

    def calendar_for(self, unit_id: int | None) -> tuple[int, WorkCalendar]:
        """The calendar of a unit's subtree, with the id of its version: the nearest one named on the way to the root,
        else the default calendar."""
        for node in upwards(self.units, unit_id):
            if node.calendar_code and node.calendar_code in self.calendars:
                return self.calendars[node.calendar_code]
        return self.calendars[DEFAULT_CALENDAR]

    def calendar_under(self, policy: Policy | None, unit_id: int | None) -> tuple[int, WorkCalendar]:
        """The calendar of a limit: the one its policy names, else the unit's."""
        if policy is not None and policy.calendar and policy.calendar in self.calendars:
            return self.calendars[policy.calendar]
        return self.calendar_for(unit_id)

    @cached_property
    def _policy_by_id(self) -> Mapping[int, PolicyEntry]:
        return {entry.id: entry for entry in self.history}

    def policy(self, policy_id: int | None) -> Policy | None:
        """The version of a policy with this id, retired or not."""
        entry = self._policy_by_id.get(policy_id) if policy_id is not None else None
        return None if entry is None else entry.policy

    def policies_of(self, ticket: Ticket) -> tuple[tuple[int, Policy], ...]:
        """The policy versions that may apply to ``ticket``: those that existed when it was accepted, or when its pinned
        version was created, whichever is later. So a new version applies to new tickets only, and a ticket moved to a new
        version keeps it."""
        pinned = self._policy_by_id.get(ticket.policy_id) if ticket.policy_id is not None else None
        moment = ticket.recorded_at if pinned is None else max(ticket.recorded_at, pinned.created_at)
        if not self.history or self._settled <= moment:
            return self.policies
        moment = max(moment, self.history[0].created_at)
        return tuple(
            (entry.id, entry.policy)
            for entry in self.history
            if entry.created_at <= moment and (entry.retired_at is None or entry.retired_at > moment)
        )

    @cached_property
    def _settled(self) -> datetime:
        """The moment of the latest change of any policy."""
        return max(max(entry.created_at, entry.retired_at or entry.created_at) for entry in self.history)

    def subject(self, ticket: Ticket) -> Subject:
        """The facts of a ticket that policies match."""
        category = self.categories.get(ticket.category_id) if ticket.category_id is not None else None
        unit = self.units.get(ticket.unit_id) if ticket.unit_id is not None else None
        return Subject(
            source=self.sources[ticket.source_id].code,
            kind=ticket.kind,
            category_path=category.codes if category else (),
            priority=ticket.priority,
            severity=ticket.severity,
            unit_path=unit.codes if unit else (),
            at=ticket.received_at,
        )


def upwards(nodes: Mapping[int, Node], key: int | None) -> Iterator[Node]:
    """The node ``key`` and those above it, to the root; nothing for None. Bounded by the path of the node."""
    node = nodes.get(key) if key is not None else None
    for part in reversed(node.path.split("/") if node is not None else ()):
        above = nodes.get(int(part)) if part else None
        if above is not None:
            yield above


def _nodes(rows: Iterable[Unit | Grid | Category]) -> dict[int, Node]:
    listed = list(rows)
    code_of = {row.id: row.code for row in listed}
    found: dict[int, Node] = {}
    for row in listed:
        assert row.id is not None
        found[row.id] = Node(
            id=row.id,
            code=row.code,
            name=row.name,
            name_en=row.name_en,
            parent_id=row.parent_id,
            path=row.path,
            codes=tuple(code_of[int(part)] for part in row.path.split("/") if part),
            active=row.active,
            tier=getattr(row, "tier", None),
            calendar_code=getattr(row, "calendar_code", None),
            practical=getattr(row, "practical", False),
        )
    return found


def read_reference(session: Session) -> Reference:
    """Load the snapshot, with a few small queries."""
    version = store.version_of(session)
    sources = {
        row.id: SourceInfo(row.id, row.code, row.name, row.name_en, row.binds_due, row.active)
        for row in store.all_rows(session, Source)
        if row.id is not None
    }
    units = _nodes(store.all_rows(session, Unit))
    grids = _nodes(store.all_rows(session, Grid))
    categories = _nodes(store.all_rows(session, Category))
    calendars = {
        row.code: (row.id, read_calendar(row.spec, code=row.code, version=row.version))
        for row in store.latest_versions(session, CalendarVersion)
        if row.id is not None
    }
    history = tuple(
        PolicyEntry(
            row.id,
            read_policy({**row.spec, "code": row.code, "version": row.version}),
            row.created_at,
            row.retired_at,
        )
        for row in store.every_version(session, PolicyVersion)
        if row.id is not None
    )
    policies = tuple((entry.id, entry.policy) for entry in history if entry.retired_at is None)
    ladders = store.latest_versions(session, LadderVersion)
    ladder = DEFAULT_LADDER
    if ladders:
        ladder = read_ladder({**ladders[0].spec, "code": ladders[0].code, "version": ladders[0].version})
    return Reference(
        version=version,
        sources=sources,
        units=units,
        grids=grids,
        categories=categories,
        calendars=calendars,
        policies=policies,
        history=history,
        ladder=ladder,
        _codes={
            "source": {row.code: key for key, row in sources.items()},
            "unit": {node.code: key for key, node in units.items()},
            "grid": {node.code: key for key, node in grids.items()},
            "category": {node.code: key for key, node in categories.items()},
        },
    )


class ReferenceCache:
    """The snapshot of one process, reloaded when its version has changed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: Reference | None = None

    @property
    def held(self) -> Reference | None:
        """The snapshot last loaded, possibly stale: for what never changes, such as the code of a source."""
        return self._held

    def get(self, session: Session) -> Reference:
        """The current snapshot for ``session``; one small query if nothing changed."""
        version = store.version_of(session)
        held = self._held
        if held is not None and held.version == version:
            return held
        with self._lock:
            fresh = read_reference(session)
            if self._held is None or fresh.version >= self._held.version:
                self._held = fresh
            return fresh


def touch(session: Session) -> None:
    """Record that reference data changed; must be called in the transaction that changes it."""
    take(session, "reference")
