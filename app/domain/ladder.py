"""The supervision ladder (督办阶梯): from the facts of one ticket and ``now``, what is to be raised, and when to look again.

The ladder is data: rungs, each at a time relative to a deadline. ``decide`` is pure: same facts, same ``now``, same
answer. What it says:

- A rung's moment is its deadline shifted by the rung's offset; the rung is passed once ``moment <= now``.
- A warning whose moment is not after the start of its deadline does not apply: two hours have no "two days before".
- Of the rungs passed since the last look the highest alone is raised, with the card, stage and order of all of them,
  and names the others as passed over. Rungs below one already raised are done.
- ``breach_at`` is the rung's moment, never the moment of the look.
- While a ticket is suspended, the targets of the unit clock are quiet; the supervision order's limit runs on.
- Imported history is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from app.domain.errors import FieldProblem, Invalid
from app.domain.lifecycle import STAGES, raised_stage
from app.domain.limits import Limit, shift
from app.domain.words import CARD, ROLE, STAGE, TARGET, say
from app.domain.workcalendar import WorkCalendar

TARGETS: Final = ("accept", "contact", "complete", "callback", "supervise")
UNIT_CLOCK: Final = frozenset({"accept", "contact", "complete"})
"""Targets that stand still while a ticket is suspended."""
CARDS: Final = ("yellow", "red")
ENDED: Final = frozenset({"closed", "void"})
"""States in which nothing but a supervision order that is still live is watched."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung (级别): at ``offset`` from the deadline of ``target`` (negative: before; none: at it), raise an alert.

    ``card``: yellow or red; ``stage``: the ticket's stage is raised to this at least; ``notify``: roles to be told;
    ``order``: a supervision order is issued, or the live one advanced. ``first_term``..``last_term``: for the target
    ``supervise``, the terms of the order in which the rung stands (none: all later ones).
    """

    code: str
    target: str
    offset: Limit | None = None
    card: str | None = None
    stage: str | None = None
    notify: tuple[str, ...] = ()
    order: bool = False
    name_zh: str = ""
    name_en: str = ""
    first_term: int = 1
    last_term: int | None = None

    def name(self, lang: str = "zh") -> str:
        """What the rung is called in ``lang``."""
        return (self.name_en if lang == "en" else self.name_zh) or self.code


@dataclass(frozen=True, slots=True)
class Ladder:
    """One version of a ladder; ``rungs`` of one target stand in the order in which they are climbed."""

    code: str
    version: int
    rungs: tuple[Rung, ...]

    def of(self, target: str) -> tuple[Rung, ...]:
        """The rungs of one target, lowest first."""
        return tuple(rung for rung in self.rungs if rung.target == target)

    def rung(self, code: str) -> Rung | None:
        """The rung of that code, or none."""
        return next((rung for rung in self.rungs if rung.code == code), None)

    def to_spec(self) -> dict[str, Any]:
        """The ladder as a JSON document, from which ``from_spec`` gives an equal one."""
        return {"code": self.code, "version": self.version, "rungs": [_rung_spec(rung) for rung in self.rungs]}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Ladder:
        """The ladder of a JSON document. Raises Invalid with a pointer to each thing that is wrong."""
        return _read_ladder(spec)


@dataclass(frozen=True, slots=True)
class DeadlineFacts:
    """One deadline as it stands; ``raised``: codes of the rungs already raised for this round and revision."""

    target: str
    round: int
    revision: int
    started_at: datetime
    due_at: datetime
    ended: bool
    raised: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """What the ladder needs to know of a ticket. ``order_term``: the term its live supervision order is in."""

    status: str
    stage: str
    suspended: bool
    historical: bool
    order_live: bool
    deadlines: tuple[DeadlineFacts, ...]
    order_term: int = 1


@dataclass(frozen=True, slots=True)
class Raise:
    """One alert to raise, with what goes with it: ``stage`` (at least), ``order``, and the reason in both languages."""

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
    """What is to be raised now, and when there will next be something to decide (none: nothing to watch)."""

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
    """``shift``, remembered: most deadlines of a day end at the same close of business."""
    return shift(same.calendar, due_at, offset)


def is_watched(ticket: TicketFacts, deadline: DeadlineFacts) -> bool:
    """Whether the ladder looks at ``deadline`` at all, as the ticket stands."""
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
    """What the ladder says about one ticket at ``now``: at most one alert for each deadline, and the next look.

    ``calendar`` is the responsible unit's; times are aware. The next look is later than ``now`` always, so that a
    sweep that repeats itself comes to an end.
    """
    raises: list[Raise] = []
    next_check: datetime | None = None
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


def first_look(ladder: Ladder, calendar: WorkCalendar, deadlines: Iterable[DeadlineFacts]) -> datetime | None:
    """When a fresh ticket with these deadlines is first to be looked at: the earliest moment of any rung.

    For bulk intake; it may lie in the past, and the sweep then takes the ticket at once.
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
    for _, rung in fresh:  # a late look leaves what prompt ones would have left
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


# -- the document form


def _rung_spec(rung: Rung) -> dict[str, Any]:
    offset = rung.offset
    return {
        "code": rung.code,
        "target": rung.target,
        "offset": None if offset is None else offset.to_spec(),
        "card": rung.card,
        "stage": rung.stage,
        "notify": list(rung.notify),
        "order": rung.order,
        "name": rung.name_zh,
        "name_en": rung.name_en,
        "terms": [rung.first_term, rung.last_term],
    }


def _read_ladder(spec: Mapping[str, Any]) -> Ladder:
    problems: list[FieldProblem] = []
    version = spec.get("version", 1)
    if type(version) is not int or version < 1:
        problems.append(FieldProblem("/version", "须为正整数", "must be a positive whole number"))
        version = 1
    code = spec.get("code")
    if not isinstance(code, str) or not 1 <= len(code) <= 64:
        problems.append(FieldProblem("/code", "须为 1–64 个字符的代码", "must be a code of 1 to 64 characters"))
    rows = spec.get("rungs")
    if not isinstance(rows, list) or not rows or len(rows) > 100:
        problems.append(FieldProblem("/rungs", "须为 1–100 个级别的列表", "must be a list of 1 to 100 rungs"))
        rows = []
    rungs: list[Rung] = []
    seen: set[str] = set()
    for n, row in enumerate(rows):
        rung = _read_rung(row, f"/rungs/{n}", problems)
        if rung is None:
            continue
        if rung.code in seen:
            problems.append(
                FieldProblem(f"/rungs/{n}/code", f"级别代码 {rung.code} 重复", f"the rung {rung.code} is there twice")
            )
        seen.add(rung.code)
        rungs.append(rung)
    if problems:
        raise Invalid(problems)
    return Ladder(str(code), version, tuple(rungs))


def _one_of(value: Any, choices: Sequence[str], pointer: str, problems: list[FieldProblem]) -> bool:
    if isinstance(value, str) and value in choices:
        return True
    problems.append(
        FieldProblem(pointer, f"须为以下之一：{'、'.join(choices)}", f"must be one of {', '.join(choices)}")
    )
    return False


def _read_rung(row: Any, at: str, problems: list[FieldProblem]) -> Rung | None:
    if not isinstance(row, Mapping):
        problems.append(FieldProblem(at, "须为对象", "must be an object"))
        return None
    before = len(problems)
    code = row.get("code")
    if not isinstance(code, str) or not 1 <= len(code) <= 32:
        problems.append(FieldProblem(f"{at}/code", "须为 1–32 个字符的代码", "must be a code of 1 to 32 characters"))
    _one_of(row.get("target"), TARGETS, f"{at}/target", problems)
    card, stage = row.get("card"), row.get("stage")
    if card is not None:
        _one_of(card, CARDS, f"{at}/card", problems)
    if stage is not None:
        _one_of(stage, STAGES, f"{at}/stage", problems)
    notify = row.get("notify", [])
    if not isinstance(notify, list):
        problems.append(FieldProblem(f"{at}/notify", "须为角色列表", "must be a list of roles"))
        notify = []
    for n, role in enumerate(notify):
        _one_of(role, tuple(ROLE), f"{at}/notify/{n}", problems)
    order = row.get("order", False)
    if not isinstance(order, bool):
        problems.append(FieldProblem(f"{at}/order", "须为 true 或 false", "must be true or false"))
    offset = _read_offset(row.get("offset"), f"{at}/offset", problems)
    first, last = _read_terms(row.get("terms", [1, None]), f"{at}/terms", problems)
    if len(problems) > before:
        return None
    return Rung(
        code=str(code), target=str(row["target"]), offset=offset, card=card, stage=stage, notify=tuple(notify),
        order=order, name_zh=str(row.get("name") or "")[:200], name_en=str(row.get("name_en") or "")[:200],
        first_term=first, last_term=last,
    )  # fmt: skip


def _read_offset(value: Any, at: str, problems: list[FieldProblem]) -> Limit | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        problems.append(FieldProblem(at, "须为对象或 null", "must be an object or null"))
        return None
    try:
        offset = Limit.from_spec({"ends": "same_time", **value}, pointer=at)
    except Invalid as error:
        problems.extend(error.problems)
        return None
    return offset if offset.amount else None


def _read_terms(value: Any, at: str, problems: list[FieldProblem]) -> tuple[int, int | None]:
    if (
        isinstance(value, list)
        and len(value) == 2
        and type(value[0]) is int
        and value[0] >= 1
        and (value[1] is None or (type(value[1]) is int and value[1] >= value[0]))
    ):
        return value[0], value[1]
    problems.append(
        FieldProblem(
            at,
            "须为 [起始期, 截止期]，截止期为 null 表示不限",
            "must be [first term, last term], null for no last term",
        )
    )
    return 1, None


def _days(n: int) -> Limit:
    return Limit(unit="working_days", amount=n, ends="same_time")


DEFAULT_LADDER: Final = Ladder(
    "default",
    1,
    (
        Rung("accept_due", "accept", None, "yellow", None, ("unit", "dispatcher"), False, "签收超时", "Not signed for"),
        Rung("contact_due", "contact", None, "yellow", None, ("unit",), False, "未按时联系群众", "Citizen not contacted"),
        Rung("complete_t2", "complete", _days(-2), None, None, ("unit",), False,
             "到期前 2 个工作日提醒", "2 working days left"),
        Rung("complete_t1", "complete", _days(-1), "yellow", None, ("unit", "supervisor"), False,
             "到期前 1 个工作日预警", "1 working day left"),
        Rung("complete_due", "complete", None, "red", "urged", ("unit", "supervisor", "leader"), True,
             "办理超期", "Overdue"),
        Rung("callback_due", "callback", None, "yellow", None, ("caller",), False, "回访超时", "Callback not made"),
        Rung("supervise_t1", "supervise", _days(-1), "yellow", None, ("unit", "supervisor"), False,
             "督办到期前 1 个工作日预警", "1 working day left of the supervision order"),
        Rung("supervise_due", "supervise", None, "red", "focused", ("unit", "supervisor", "leader"), True,
             "督办单逾期未复", "Supervision order not answered", last_term=1),
        Rung("supervise_due_again", "supervise", None, "red", "in_depth", ("unit", "supervisor", "leader"), False,
             "督办单第二期仍逾期", "Supervision order not answered in its second term", first_term=2),
    ),
)  # fmt: skip
"""The ladder of a fresh installation (warnings: Shandong provincial 2017; red card and order at the deadline: Suining)."""
