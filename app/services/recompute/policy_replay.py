"""Replay: past tickets judged under a proposed policy or calendar, beside how they were judged. Nothing is written.

A ticket is touched by a proposal where one of its policies would match best, or where its policy is one of those it
replaces, or where the calendar that counts for it is the proposed one. Whatever is not touched keeps its deadline as
stored, so that nothing but the proposal makes the difference. Validity from and to of a proposed policy is left out of
account: the question is, how it would have been. What is kept: the start of the limit, the time suspended, extensions.
Limits that are the source's own stay.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import select
from sqlmodel import Session, col

from app.domain.tickets.deadline_state import UNIT_CLOCK
from app.domain.tickets.policies import Policy, Subject, choose
from app.domain.time.due import Limit, due
from app.domain.time.workcalendar import WorkCalendar
from app.errors import FieldProblem, Invalid, NotFound
from app.models import Deadline, Suspension, Ticket
from app.models.types import from_micros, to_micros
from app.schemas.calendar_document import read_calendar
from app.schemas.limit import read_limit
from app.schemas.policy import read_policy
from app.services.core.reference import DEFAULT_CALENDAR, Reference
from app.services.deadlines.bulk_due import due_many
from app.validation import problem

SHOWN: Final = 500
"""Tickets named whose verdict changes."""
AT_MOST: Final = 1_000_000
"""Tickets in one replay."""
MOST_POLICIES: Final = 200


@dataclass(frozen=True, slots=True)
class RuleProposal:
    """What is proposed: policies by code (each in place of the one with its code, or a new one), and a calendar in place
    of the one with ``calendar_code``."""

    policies: tuple[Policy, ...] = ()
    calendar: WorkCalendar | None = None
    calendar_code: str = DEFAULT_CALENDAR

    @classmethod
    def read(
        cls,
        policies: Sequence[Mapping[str, Any]],
        calendar: Mapping[str, Any] | None,
        calendar_code: str,
        ref: Reference,
    ) -> RuleProposal:
        """The proposal from its objects. Raises Invalid, with pointers under ``/policies/n`` and ``/calendar``."""
        if not policies and calendar is None:
            raise Invalid.at("/policies", "须给出规则或日历", "a policy or a calendar is needed")
        if len(policies) > MOST_POLICIES:
            raise Invalid.at("/policies", f"最多 {MOST_POLICIES} 条", f"{MOST_POLICIES} at most")
        read: list[Policy] = []
        problems: list[FieldProblem] = []
        for n, spec in enumerate(policies):
            try:
                read.append(replace(read_policy(spec), valid_from=None, valid_to=None))
            except Invalid as wrong:
                problems += wrong.under(f"/policies/{n}").problems
        if calendar is not None and calendar_code not in ref.calendars:
            problems.append(
                FieldProblem("/calendar_code", f"没有日历 {calendar_code}", f"no calendar {calendar_code!r}")
            )
        made: WorkCalendar | None = None
        try:
            made = None if calendar is None else read_calendar(calendar, code=calendar_code)
        except Invalid as wrong:
            problems += wrong.under("/calendar").problems
        known = {*ref.calendars}
        problems += [
            FieldProblem(f"/policies/{n}/calendar", f"没有日历 {policy.calendar}", f"no calendar {policy.calendar!r}")
            for n, policy in enumerate(read)
            if policy.calendar is not None and policy.calendar not in known
        ]
        codes = [policy.code for policy in read]
        problems += [
            problem("duplicate", ["policies", n, "code"], value=code)
            for n, code in enumerate(codes)
            if code in codes[:n]
        ]
        if problems:
            raise Invalid(problems)
        return cls(tuple(read), made, calendar_code)


def proposal_in(text: str) -> dict[str, Any]:
    """What a text proposes, read as JSON where it begins with a brace, else as TOML: ``policies`` (``policy`` may be one
    or several) and ``calendar``. Raises Invalid."""
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid.at("", f"无法读取：{error}", f"cannot be read: {error}") from None
    unknown = sorted(set(found) - {"policy", "policies", "calendar"})
    if unknown:
        raise Invalid.at(f"/{unknown[0]}", "应为 policy 或 calendar", "policy or calendar is expected")
    one = found.get("policy")
    listed = one if isinstance(one, list) else [one] if one is not None else found.get("policies", [])
    if not isinstance(listed, list):
        raise Invalid.at("/policies", "应为列表", "must be a list")
    return {"policies": listed, "calendar": found.get("calendar")}


@dataclass
class ReplayCount:
    """One unit's tickets, or all: how many, how many overdue before and after, and how many change which way."""

    tickets: int = 0
    before: int = 0
    after: int = 0
    worse: int = 0
    better: int = 0

    def add(self, before: bool, after: bool) -> None:
        """Count one ticket."""
        self.tickets += 1
        self.before += before
        self.after += after
        self.worse += after and not before
        self.better += before and not after

    def to_json(self) -> dict[str, Any]:
        """The tally as JSON."""
        return {
            "tickets": self.tickets, "overdue_before": self.before, "overdue_after": self.after,
            "becomes_overdue": self.worse, "becomes_on_time": self.better,
        }  # fmt: skip


@dataclass
class ReplayResult:
    """The outcome. ``moved``: deadlines that would be another; ``provisional``: those that rest on an unpublished year."""

    total: ReplayCount = field(default_factory=ReplayCount)
    units: dict[int | None, ReplayCount] = field(default_factory=dict)
    moved: int = 0
    provisional: int = 0
    by_source: int = 0
    changed: list[int] = field(default_factory=list)

    def to_json(self, ref: Reference) -> dict[str, Any]:
        """The outcome as JSON: units with the greatest change first."""
        rows = []
        for unit_id, tally in self.units.items():
            node = ref.units.get(unit_id) if unit_id is not None else None
            names = {"code": node.code if node else None, "name": node.name if node else None}
            rows.append({**names, "name_en": node.name_en if node else None, **tally.to_json()})
        rows.sort(
            key=lambda row: (-abs(row["overdue_after"] - row["overdue_before"]), -row["tickets"], row["code"] or "")
        )
        return {
            "total": self.total.to_json(), "by_unit": rows, "moved": self.moved, "provisional": self.provisional,
            "bound_by_source": self.by_source, "changed": self.changed[:SHOWN],
            "changed_count": self.total.worse + self.total.better,
        }  # fmt: skip


def replay(
    session: Session, ref: Reference, proposal: RuleProposal, since: datetime, until: datetime, *,
    now: datetime, target: str = "complete", unit_id: int | None = None,
) -> ReplayResult:  # fmt: skip
    """Judge the tickets received from ``since`` until before ``until`` under ``proposal``; ``unit_id``: of its subtree.

    Overdue is a deadline met after its time, or still running past it at ``now`` (suspended: past it when the clock
    stopped). Void tickets and those without such a deadline are left out. Raises Invalid.
    """
    if until <= since:
        raise Invalid.at("/to", "应晚于 from", "must be after `from`")
    rows = _rows(session, ref, since, until, target, unit_id)
    if len(rows) > AT_MOST:
        raise Invalid.at(
            "/from", f"最多 {AT_MOST:,} 件工单，请缩短期间", f"{AT_MOST:,} tickets at most: ask for less time"
        )
    spans = _spans(session, since, until) if target in UNIT_CLOCK else {}
    judge = _Judge(ref, proposal, target)
    due_after, found = _new_dues(rows, judge, spans)
    found.by_source = sum(row.limit is None for row in rows)
    for n, row in enumerate(rows):
        moment = row.met_at or (row.suspended_at if target in UNIT_CLOCK else None) or now
        before, after = moment > row.due_at, moment > due_after[n]
        found.total.add(before, after)
        found.units.setdefault(row.unit_id, ReplayCount()).add(before, after)
        found.moved += due_after[n] != row.due_at
        if before != after and len(found.changed) < SHOWN:
            found.changed.append(row.id)
    return found


def _rows(
    session: Session, ref: Reference, since: datetime, until: datetime, target: str, unit_id: int | None
) -> list[Any]:
    """Each ticket with its latest deadline of ``target``; the newest first."""
    t: Any = Ticket
    d: Any = Deadline
    query = (
        select(
            t.id, t.source_id, t.kind, t.category_id, t.priority, t.severity, t.unit_id, t.received_at, t.suspended_at,
            d.round, d.started_at, d.due_at, d.met_at, d.limit, d.extended_days, d.policy_id, d.calendar_id,
        )
        .join(d, d.ticket_id == t.id)
        .where(t.received_at >= since, t.received_at < until, t.status != "void")
        .where(d.target == target, d.cancelled_at.is_(None))
        .order_by(t.id.desc(), d.round.desc())
        .limit(2 * AT_MOST)
    )  # fmt: skip
    if unit_id is not None:
        path = ref.units[unit_id].path
        query = query.where(t.unit_id.in_([node.id for node in ref.units.values() if node.path.startswith(path)]))
    found: list[Any] = []
    last = None
    for row in session.execute(query):
        if row.id != last:
            found.append(row)
            last = row.id
    return found


def _spans(session: Session, since: datetime, until: datetime) -> dict[int, list[tuple[datetime, datetime]]]:
    query = (
        select(col(Suspension.ticket_id), col(Suspension.from_at), col(Suspension.to_at))
        .join(Ticket, col(Ticket.id) == col(Suspension.ticket_id))
        .where(col(Ticket.received_at) >= since, col(Ticket.received_at) < until, col(Suspension.to_at).is_not(None))
        .order_by(col(Suspension.from_at))
    )
    found: dict[int, list[tuple[datetime, datetime]]] = {}
    for ticket_id, begin, end in session.execute(query):
        if end is not None:
            found.setdefault(ticket_id, []).append((begin, end))
    return found


class _Judge:
    """The limit and the calendar of a ticket under the proposal; worked out once for all that are alike."""

    def __init__(self, ref: Reference, proposal: RuleProposal, target: str) -> None:
        self.ref, self.proposal, self.target = ref, proposal, target
        self.replaced = {policy.code for policy in proposal.policies}
        kept = [policy for _, policy in ref.policies if policy.code not in self.replaced]
        self.candidates = [*proposal.policies, *kept]
        self.bounds = sorted({b for p in kept for b in (p.valid_from, p.valid_to) if b is not None})
        self.chosen: dict[tuple[Any, ...], tuple[Limit | None, WorkCalendar] | None] = {}
        self.limits: dict[int, Limit] = {}

    def of(self, row: Any) -> tuple[Limit | None, WorkCalendar] | None:
        """Limit and calendar of a ticket, or None where the proposal does not touch it. A limit of None: its policy would
        set none, so that it could not be overdue."""
        if row.limit is None:
            return None
        key = (row.source_id, row.kind, row.category_id, row.priority, row.severity, row.unit_id, row.policy_id,
               row.calendar_id, sum(bound <= row.received_at for bound in self.bounds), repr(row.limit))  # fmt: skip
        if key not in self.chosen:
            self.chosen[key] = self._judge(row)
        return self.chosen[key]

    def _judge(self, row: Any) -> tuple[Limit | None, WorkCalendar] | None:
        ref = self.ref
        pinned = ref.policy(row.policy_id)
        policy = self._policy(row)
        touched = policy is not None and (policy.code in self.replaced or (pinned and pinned.code in self.replaced))
        judged_by = policy if touched else pinned
        code = self._calendar_code(judged_by, row.unit_id)
        proposed = self.proposal.calendar if code == self.proposal.calendar_code else None
        if not touched and proposed is None:
            return None
        limit = policy.limits.get(self.target) if touched and policy is not None else read_limit(row.limit)
        return limit, proposed or ref.calendars[code][1]

    def _policy(self, row: Any) -> Policy | None:
        if not self.replaced:
            return None
        ref = self.ref
        category = ref.categories.get(row.category_id) if row.category_id is not None else None
        unit = ref.units.get(row.unit_id) if row.unit_id is not None else None
        subject = Subject(
            source=ref.sources[row.source_id].code, kind=row.kind, category_path=category.codes if category else (),
            priority=row.priority, severity=row.severity, unit_path=unit.codes if unit else (), at=row.received_at,
        )  # fmt: skip
        try:
            return choose(self.candidates, subject)
        except NotFound:
            raise Invalid.at(
                "/policies",
                "替换后有工单没有适用的规则；请保留一条不带条件的规则",
                "some tickets would match no policy; keep one without conditions",
            ) from None

    def _calendar_code(self, policy: Policy | None, unit_id: int | None) -> str:
        if policy is not None and policy.calendar and policy.calendar in self.ref.calendars:
            return policy.calendar
        version_id, _ = self.ref.calendar_for(unit_id)
        return next(code for code, (key, _) in self.ref.calendars.items() if key == version_id)


def _new_dues(
    rows: Sequence[Any], judge: _Judge, spans: Mapping[int, list[tuple[datetime, datetime]]]
) -> tuple[list[datetime], ReplayResult]:
    """The deadlines under the proposal: by the array for the plain ones, one by one where time was suspended or added."""
    found = ReplayResult()
    dues: list[datetime] = [row.due_at for row in rows]
    groups: dict[tuple[int, Limit], tuple[WorkCalendar, list[int]]] = {}
    for n, row in enumerate(rows):
        judged = judge.of(row)
        if judged is None:
            continue
        limit, calendar = judged
        if limit is None:
            dues[n] = _NEVER
        elif row.extended_days or row.id in spans:
            more = [Limit("working_days", row.extended_days)] if row.extended_days else []
            met = row.met_at
            before = [
                (a, b if met is None else min(b, met)) for a, b in spans.get(row.id, []) if met is None or a < met
            ]
            answer = due(calendar, row.started_at, limit, suspensions=before, extensions=more)
            dues[n] = answer.due_at
            found.provisional += answer.provisional
        else:
            groups.setdefault((id(calendar), limit), (calendar, []))[1].append(n)
    for (_, limit), (calendar, indexes) in groups.items():
        starts = np.array([to_micros(rows[n].started_at) for n in indexes], np.int64)
        ends, provisional = due_many(calendar, starts, limit, unit="us")
        found.provisional += int(provisional.sum())
        for n, end in zip(indexes, ends.tolist(), strict=True):
            dues[n] = from_micros(end)
    return dues, found


_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
