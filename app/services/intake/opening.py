"""The deadlines that a new ticket opens, computed once for many: policy, due times, first ladder check.

A ticket's deadlines depend on the facts that policies match, on its calendar, and on its start. The first two have few
values, and a limit in days ends at the same moment wherever in the day it began. So the result is cached for a *cell* of
time if it is equal at both ends of the cell: deadlines are monotone in their start
(``tests/unit/domain/time/test_due.py``), so it is then equal everywhere between. This makes no assumption about hours or
zones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from app.domain.supervision.ladder import DeadlineFacts
from app.domain.tickets.policies import Policy, Subject, choose
from app.domain.time.due import Limit, due
from app.domain.time.workcalendar import WorkCalendar
from app.models.types import from_micros, to_micros
from app.services.alerts.book import first_check
from app.services.core.events import stamp
from app.services.core.reference import Node, Reference, SourceInfo

UNIT_TARGETS: Final = ("accept", "contact", "complete")
"""Targets that begin when a unit gets the ticket."""
OFFICE_TARGETS: Final = ("complete",)
"""Targets that begin with the receipt of an undispatched ticket, so that it cannot be forgotten."""
_CELLS: Final = (4 * 3_600_000_000, 900_000_000)
"""Lengths of a cell in microseconds, tried in turn: four hours, a quarter of an hour."""
_MOST = 50_000
"""The maximum number of entries of one cache; a full cache is cleared, so that memory is bounded."""


@dataclass(frozen=True, slots=True)
class OpenedDeadline:
    """One deadline to open. ``entry`` is its event data."""

    target: str
    due_at: datetime
    provisional: bool
    limit: dict[str, Any]
    entry: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenedDeadlines:
    """The deadlines of one ticket, and its first ladder check. Shared between tickets: must not be changed."""

    deadlines: tuple[OpenedDeadline, ...]
    first_check: datetime | None


@dataclass
class DeadlinePlan:
    """The policy and calendar of a group of similar tickets, with the cached results."""

    policy_id: int
    policy: Policy
    calendar_id: int
    calendar: WorkCalendar
    targets: tuple[tuple[str, Limit, dict[str, Any]], ...]
    cells: dict[tuple[int, int], OpenedDeadlines | None] = field(default_factory=dict)
    by_cell: bool = True
    """Whether a cell can hold at all: a limit in hours moves with its start."""


class DeadlinePlanner:
    """The cached results for one snapshot of the reference data. Threads may share it: a lost entry is recomputed."""

    def __init__(self, ref: Reference) -> None:
        self._ref = ref
        self._policies = [policy for _, policy in ref.policies]
        self._ids = {(policy.code, policy.version): key for key, policy in ref.policies}
        bounds = {bound for policy in self._policies for bound in (policy.valid_from, policy.valid_to) if bound}
        self._bounds = sorted(bounds)
        self._chosen: dict[tuple[Any, ...], DeadlinePlan] = {}
        self._plans: dict[tuple[int, int, bool], DeadlinePlan] = {}

    def plan(
        self,
        source: SourceInfo,
        kind: str | None,
        category: Node | None,
        priority: str,
        severity: str | None,
        unit: Node | None,
        at: datetime,
    ) -> DeadlinePlan:
        """What a ticket with these is judged by. ``at``: its receipt, at which the policy must be in force."""
        span = bisect_right(self._bounds, at) if self._bounds else 0
        key = (
            source.code, kind, category.id if category else None, priority, severity, unit.id if unit else None, span,
        )  # fmt: skip
        found = self._chosen.get(key)
        if found is None:
            subject = Subject(
                source=source.code,
                kind=kind,
                category_path=category.codes if category else (),
                priority=priority,
                severity=severity,
                unit_path=unit.codes if unit else (),
                at=at,
            )
            found = self._plan(choose(self._policies, subject), unit)
            if len(self._chosen) >= _MOST:
                self._chosen.clear()
            self._chosen[key] = found
        return found

    def _plan(self, policy: Policy, unit: Node | None) -> DeadlinePlan:
        policy_id = self._ids[(policy.code, policy.version)]
        calendar_id, calendar = self._ref.calendar_under(policy, unit.id if unit else None)
        key = (policy_id, calendar_id, unit is not None)
        if key not in self._plans:
            targets = tuple(
                (target, policy.limits[target], policy.limits[target].to_spec())
                for target in (UNIT_TARGETS if unit else OFFICE_TARGETS)
                if target in policy.limits
            )
            by_cell = all(limit.in_days and limit.ends != "same_time" for _, limit, _ in targets)
            self._plans[key] = DeadlinePlan(policy_id, policy, calendar_id, calendar, targets, by_cell=by_cell)
        return self._plans[key]

    def of(self, plan: DeadlinePlan, start: datetime) -> OpenedDeadlines:
        """The deadlines that begin at ``start``."""
        if not plan.by_cell:
            return self.work_out(plan, start)
        micros = to_micros(start)
        for size in _CELLS:
            cell = micros // size
            try:
                held = plan.cells[size, cell]
            except KeyError:
                held = self._cell(plan, size, cell)
            if held is not None:
                return held
        return self.work_out(plan, start)

    def _cell(self, plan: DeadlinePlan, size: int, cell: int) -> OpenedDeadlines | None:
        early = self.work_out(plan, from_micros(cell * size))
        late = self.work_out(plan, from_micros((cell + 1) * size - 1))
        held = early if early == late else None
        if len(plan.cells) >= _MOST:
            plan.cells.clear()
        plan.cells[size, cell] = held
        return held

    def work_out(self, plan: DeadlinePlan, start: datetime, binding: datetime | None = None) -> OpenedDeadlines:
        """The same without the cache. ``binding``: the limit set by the source, replacing the policy's."""
        opened: list[OpenedDeadline] = []
        facts: list[DeadlineFacts] = []
        for target, limit, spec in plan.targets:
            by = {}  # what the log needs to compute it again; the source's own limit is not computed
            if target == "complete" and binding is not None:
                due_at, provisional = binding, False
            else:
                answer = due(plan.calendar, start, limit)
                due_at, provisional = answer.due_at, answer.provisional
                by = {"policy": plan.policy_id, "calendar": plan.calendar_id}
            entry = {"to": stamp(due_at), **({"provisional": True} if provisional else {}), **by}
            opened.append(OpenedDeadline(target, due_at, provisional, spec, entry))
            facts.append(DeadlineFacts(target, 1, 1, start, due_at, False, frozenset()))
        return OpenedDeadlines(tuple(opened), first_check(self._ref, plan.calendar, facts))

    def first_check(self, unit_id: int | None, deadlines: Iterable[Mapping[str, Any]]) -> datetime | None:
        """The first check of a ticket with these open rows of ``deadline``."""
        _, calendar = self._ref.calendar_for(unit_id)
        facts = [
            DeadlineFacts(row["target"], 1, 1, row["started_at"], row["due_at"], False, frozenset())
            for row in deadlines
        ]
        return first_check(self._ref, calendar, facts)


_held: tuple[Reference, DeadlinePlanner] | None = None


def openings(ref: Reference) -> DeadlinePlanner:
    """The answers for ``ref``, kept until another picture is asked about."""
    global _held  # noqa: PLW0603 - one slot for the process, replaced whole
    held = _held
    if held is None or held[0] is not ref:
        held = _held = (ref, DeadlinePlanner(ref))
    return held[1]
