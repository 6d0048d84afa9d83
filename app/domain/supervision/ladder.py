"""The supervision ladder (督办阶梯): from the facts of one ticket and ``now``, the alerts to raise and the next check time.

The ladder is data: rungs, each at a time relative to a deadline. ``decide`` is pure: same facts, same ``now``, same
result. Its rules:

- A rung's moment is its deadline shifted by the rung's offset; the rung is passed once ``moment <= now``.
- A warning whose moment is not after the start of its deadline does not apply: two hours have no "two days before".
- Of the rungs passed since the last check only the highest is raised, with the card, stage and order of all of them,
  and lists the others as passed over. Rungs below one already raised are done.
- ``breach_at`` is the rung's moment, never the moment of the check.
- While a ticket is suspended, the targets of the unit clock are paused; the supervision order's limit runs on. A
  suspension with an end is checked at that moment.
- Imported history is not checked.

``app.domain.supervision.rungs`` defines the ladder as data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from app.domain.supervision.rungs import CARDS, DEFAULT_LADDER, Ladder, Rung
from app.domain.tickets.lifecycle import raised_stage
from app.domain.time.due import Limit, shift
from app.domain.time.workcalendar import WorkCalendar
from app.domain.words import CARD, STAGE, TARGET, say

__all__ = [
    "DEFAULT_LADDER",
    "DeadlineFacts",
    "Decision",
    "Ladder",
    "Raise",
    "Rung",
    "TicketFacts",
    "decide",
    "earliest_check",
    "higher_card",
]

UNIT_CLOCK: Final = frozenset({"accept", "contact", "complete"})
"""Targets that are paused while a ticket is suspended."""
ENDED: Final = frozenset({"closed", "void"})
"""States in which only a live supervision order is watched."""


@dataclass(frozen=True, slots=True)
class DeadlineFacts:
    """The current state of one deadline; ``raised``: codes of the rungs already raised for this round and revision."""

    target: str
    round: int
    revision: int
    started_at: datetime
    due_at: datetime
    ended: bool
    raised: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """The facts about a ticket that the ladder needs. ``order_term``: the term of its live supervision order;
    ``resumes_at``: when its suspension ends automatically."""

    status: str
    stage: str
    suspended: bool
    historical: bool
    order_live: bool
    deadlines: tuple[DeadlineFacts, ...]
    order_term: int = 1
    resumes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Raise:
    """One alert to raise, with the minimum ``stage``, whether to issue an ``order``, and the reason in both languages."""

    target: str
    round: int
    revision: int
    rung: str
    breach_at: datetime
    due_at: datetime
    card: str | None
    stage: str | None
    order: bool
    notify: tuple[str, ...]
    passed_over: tuple[str, ...]
    why_zh: str
    why_en: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The alerts to raise now, and the time of the next check (none: nothing to watch)."""

    raise_: tuple[Raise, ...]
    next_check_at: datetime | None


def rung_moment(rung: Rung, due_at: datetime, calendar: WorkCalendar) -> datetime:
    """The moment of ``rung`` for a deadline at ``due_at``: exact to the clock time."""
    return due_at if rung.offset is None else _shifted(_Same(calendar), due_at, rung.offset)


class _Same:
    """A calendar as a key by identity: comparing two calendars by content costs more than counting the days."""

    __slots__ = ("calendar",)

    def __init__(self, calendar: WorkCalendar) -> None:
        self.calendar = calendar

    def __hash__(self) -> int:
        return id(self.calendar)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.calendar is self.calendar


@lru_cache(maxsize=8192)
def _shifted(same: _Same, due_at: datetime, offset: Limit) -> datetime:
    """``shift``, cached: most deadlines of a day end at the same close of business."""
    return shift(same.calendar, due_at, offset)


def is_watched(ticket: TicketFacts, deadline: DeadlineFacts) -> bool:
    """Whether the ladder watches ``deadline`` in the ticket's current state."""
    if deadline.ended or ticket.historical:
        return False
    if deadline.target == "supervise":
        return ticket.order_live
    if ticket.status in ENDED:
        return False
    return not (ticket.suspended and deadline.target in UNIT_CLOCK)


def climb(
    rungs: Iterable[Rung], deadline: DeadlineFacts, term: int, calendar: WorkCalendar
) -> list[tuple[datetime, Rung]]:
    """The rungs that apply to ``deadline`` with their moments, lowest first.

    A warning that would fall at or before the start of its deadline does not apply.
    """
    steps = []
    for rung in rungs:
        if rung.target == "supervise" and not (
            rung.first_term <= term and (rung.last_term is None or term <= rung.last_term)
        ):
            continue
        moment = rung_moment(rung, deadline.due_at, calendar)
        if moment < deadline.due_at and moment <= deadline.started_at:
            continue
        steps.append((moment, rung))
    steps.sort(key=lambda step: step[0])  # stable: rungs of one moment stay in the ladder's order
    return steps


def decide(facts: TicketFacts, ladder: Ladder, calendar: WorkCalendar, now: datetime) -> Decision:
    """Decide for one ticket at ``now``: at most one alert for each deadline, and the time of the next check.

    ``calendar`` is the responsible unit's; times are aware. The next check is always later than ``now``, so that a
    repeated sweep terminates.
    """
    raises: list[Raise] = []
    next_check = facts.resumes_at if facts.suspended else None
    for deadline in facts.deadlines:
        if not is_watched(facts, deadline):
            continue
        steps = climb(ladder.of(deadline.target), deadline, facts.order_term, calendar)
        done = max((n for n, (_, rung) in enumerate(steps) if rung.code in deadline.raised), default=-1)
        fresh = [step for step in steps[done + 1 :] if step[0] <= now]
        if fresh:
            raises.append(_raise(deadline, fresh, calendar, now))
        coming = next((moment for moment, _ in steps[done + 1 :] if moment > now), None)
        if coming is not None and (next_check is None or coming < next_check):
            next_check = coming
    return Decision(tuple(raises), next_check)


def earliest_check(ladder: Ladder, calendar: WorkCalendar, deadlines: Iterable[DeadlineFacts]) -> datetime | None:
    """The time of the first check of a new ticket with these deadlines: the earliest moment of any rung.

    For bulk intake; it may lie in the past, and the sweep then claims the ticket at once.
    """
    first: datetime | None = None
    for deadline in deadlines:
        if deadline.ended:
            continue
        for moment, _ in climb(ladder.of(deadline.target), deadline, 1, calendar):
            if first is None or moment < first:
                first = moment
    return first


def higher_card(one: str | None, other: str | None) -> str | None:
    """The graver of two cards: red over yellow over none."""
    return max(one, other, key=lambda card: -1 if card is None else CARDS.index(card))


def _raise(
    deadline: DeadlineFacts, fresh: Sequence[tuple[datetime, Rung]], calendar: WorkCalendar, now: datetime
) -> Raise:
    moment, top = fresh[-1]
    card: str | None = None
    stage: str | None = None
    notify: list[str] = []
    for _, rung in fresh:  # a late check has the same result as timely ones
        card = higher_card(card, rung.card)
        stage = rung.stage if stage is None else stage if rung.stage is None else raised_stage(stage, rung.stage)
        notify += [role for role in rung.notify if role not in notify]
    order = any(rung.order for _, rung in fresh)
    passed_over = tuple(rung.code for _, rung in fresh[:-1])
    late = deadline.due_at <= now
    return Raise(
        target=deadline.target,
        round=deadline.round,
        revision=deadline.revision,
        rung=top.code,
        breach_at=moment,
        due_at=deadline.due_at,
        card=card,
        stage=stage,
        order=order,
        notify=tuple(notify),
        passed_over=passed_over,
        why_zh=_why_zh(deadline, top, card, stage, order, passed_over, calendar, late=late),
        why_en=_why_en(deadline, top, card, stage, order, passed_over, calendar, late=late),
    )


def _local(calendar: WorkCalendar, moment: datetime) -> str:
    return calendar.local(moment).strftime("%Y-%m-%d %H:%M")


def _why_zh(
    deadline: DeadlineFacts, rung: Rung, card: str | None, stage: str | None, order: bool,
    passed_over: tuple[str, ...], calendar: WorkCalendar, *, late: bool,
) -> str:  # fmt: skip
    when = "已到，仍未完成" if late else "将到"
    parts = [f"{say(TARGET, deadline.target)}时限 {_local(calendar, deadline.due_at)} {when}：{rung.name('zh')}"]
    if card:
        parts.append(f"亮{say(CARD, card)}")
    if stage:
        parts.append(f"办理环节不低于“{say(STAGE, stage)}”")
    if order:
        parts.append("督办单进入下一期" if deadline.target == "supervise" else "下发督办单")
    if passed_over:
        parts.append(f"越过 {len(passed_over)} 个较低级别")
    return "，".join(parts)


def _why_en(
    deadline: DeadlineFacts, rung: Rung, card: str | None, stage: str | None, order: bool,
    passed_over: tuple[str, ...], calendar: WorkCalendar, *, late: bool,
) -> str:  # fmt: skip
    when = "reached and not met" if late else "is near"
    parts = [
        f"{say(TARGET, deadline.target, 'en')} deadline {_local(calendar, deadline.due_at)} {when}: {rung.name('en')}"
    ]
    if card:
        parts.append(say(CARD, card, "en").lower())
    if stage:
        parts.append(f"stage at least {say(STAGE, stage, 'en').lower()}")
    if order:
        parts.append("supervision order " + ("goes into its next term" if deadline.target == "supervise" else "issued"))
    if passed_over:
        parts.append(f"{len(passed_over)} lower rung(s) passed over")
    return ", ".join(parts)
