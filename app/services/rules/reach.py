"""Reject combinations of limit and calendar for which tickets would be rejected: a limit too long, or a calendar with too
little working time. Checked when a policy, a ladder or a calendar is written (``app.domain.time.reach``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlmodel import Session

from app.domain.supervision.ladder import Ladder
from app.domain.tickets.policies import Policy
from app.domain.time.limit import Limit
from app.domain.time.reach import YEARS, reach
from app.domain.time.workcalendar import WorkCalendar
from app.domain.words import TARGET
from app.errors import FieldProblem
from app.services.core.reference import Reference
from app.store import reference as store


def of_policy(ref: Reference, policy: Policy) -> list[FieldProblem]:
    """The limits of ``policy`` that are not certain to end under its calendar, or, without one, under every calendar in
    use, since a unit may have any."""
    named = [held[1] for code, held in ref.calendars.items() if policy.calendar in (None, code)]
    return _beyond({f"/limits/{target}/amount": limit for target, limit in policy.limits.items()}, named)


def of_ladder(ref: Reference, ladder: Ladder) -> list[FieldProblem]:
    """The same of the rungs of ``ladder``: a deadline plus its offset is when a rung is checked."""
    offsets = {f"/rungs/{n}/offset/amount": rung.offset for n, rung in enumerate(ladder.rungs) if rung.offset}
    return _beyond(offsets, [calendar for _, calendar in ref.calendars.values()])


def _beyond(limits: Mapping[str, Limit], calendars: Iterable[WorkCalendar]) -> list[FieldProblem]:
    reaches = [(calendar.code, reach(calendar)) for calendar in calendars]
    problems = []
    for pointer, limit in limits.items():
        code, least = min(reaches, key=lambda one: one[1].of(limit), default=("", None))
        if least is None or least.holds(limit):
            continue
        zh, en = least.words(limit)
        problems.append(
            FieldProblem(
                pointer,
                f"不能超过 {zh}：按日历 {code}，更长的时限不能保证在 {YEARS} 年内到期",
                f"must be within {en}: by the calendar {code!r} a longer one is not sure to end in {YEARS} years",
            )
        )
    return problems


def of_calendar(session: Session, ref: Reference, calendar: WorkCalendar, now: datetime) -> list[FieldProblem]:
    """Check ``calendar`` against the limits of policies that apply to open or new tickets, and the ladder's rungs; returns
    one problem, for the longest limit."""
    room = reach(calendar)
    applicable = store.policies_of_open_deadlines(session) | _to_be_chosen(ref, now)
    asked: list[tuple[Limit, str, str]] = []
    for entry in ref.history:
        policy = entry.policy
        if entry.id in applicable and policy.calendar in (None, calendar.code):
            asked += [
                (limit, f"规则 {policy.code} 第 {policy.version} 版的{TARGET[target][0]}时限",
                 f"the limit for {target} of version {policy.version} of the policy {policy.code!r}")
                for target, limit in policy.limits.items()
            ]  # fmt: skip
    asked += [
        (rung.offset, f"督办阶梯的级别 {rung.code}", f"the rung {rung.code!r} of the ladder")
        for rung in ref.ladder.rungs
        if rung.offset
    ]
    beyond = [one for one in asked if not room.holds(one[0])]
    if not beyond:
        return []
    limit, zh, en = max(beyond, key=lambda one: abs(float(one[0].amount)))
    asks = f"{abs(float(limit.amount)):,g}"
    has_zh, has_en = room.words(limit)
    week_alone = reach(replace(calendar, days={}))
    return [
        FieldProblem(
            "/days" if week_alone.holds(limit) else "/week",
            f"{zh}为 {asks}，而此日历任意 {YEARS} 年内只能保证有 {has_zh}：请增加工作时间，或先缩短该时限",
            f"{en} is {asks}, and this calendar is sure of no more than {has_en} in any {YEARS} years: "
            "give it more hours, or shorten that limit first",
        )
    ]


def _to_be_chosen(ref: Reference, now: datetime) -> set[int]:
    """The ids of the policy versions that may apply to a ticket received from ``now`` on: for each policy, up to the one in
    force without an end."""
    found: set[int] = set()
    settled: set[str] = set()
    for key, policy in sorted(ref.policies, key=lambda one: -one[1].version):
        if policy.code not in settled:
            found.add(key)
            if policy.in_force(now) and policy.valid_to is None:
                settled.add(policy.code)
    return found
