"""What the supervision ladder decides, row by row; each boundary is straddled by a second."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.domain.supervision.ladder import (
    DEFAULT_LADDER,
    DeadlineFacts,
    Decision,
    Ladder,
    Rung,
    TicketFacts,
    decide,
    earliest_check,
    higher_card,
)
from app.domain.time.due import Limit
from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from app.schemas.ladder import read_ladder

ZONE = ZoneInfo("Asia/Shanghai")
HOURS = [["09:00", "12:00"], ["13:30", "17:30"]]
CALENDAR = read_calendar(
    {
        "time_zone": "Asia/Shanghai",
        "week": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), HOURS) | {"sat": [], "sun": []},
        "days": {"2026-02-14": HOURS, **{f"2026-02-{day}": [] for day in range(16, 24)}},
    }
)
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    """A Shanghai wall-clock time of 2026, ``MM-DD HH:MM[:SS]``."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=ZONE)


STARTED = at("03-02 10:00")  # a Monday
DUE = at("03-09 17:30")  # the Monday after
T2, T1 = at("03-05 17:30"), at("03-06 17:30")  # Thursday, Friday: the weekend does not count


def deadline(target: str = "complete", *, raised: tuple[str, ...] = (), **changes: object) -> DeadlineFacts:
    facts = DeadlineFacts(target, 1, 1, STARTED, DUE, ended=False, raised=frozenset(raised))
    return replace(facts, **changes)  # type: ignore[arg-type]


def ticket(*deadlines: DeadlineFacts, **changes: object) -> TicketFacts:
    facts = TicketFacts("accepted", "assigned", False, False, False, deadlines)
    return replace(facts, **changes)  # type: ignore[arg-type]


def look(facts: TicketFacts, now: datetime, ladder: Ladder = DEFAULT_LADDER) -> Decision:
    return decide(facts, ladder, CALENDAR, now)


COMPLETE = [
    ("nothing is said on the day of receipt", STARTED, (), None, (), T2),
    ("a second before two working days are left, nothing", T2 - SECOND, (), None, (), T2),
    ("with two working days left, a reminder", T2, (), "complete_t2", (), T1),
    ("a second later the same", T2 + SECOND, (), "complete_t2", (), T1),
    ("a reminder is given once", T2 + SECOND, ("complete_t2",), None, (), T1),
    ("a second before one working day is left, nothing new", T1 - SECOND, ("complete_t2",), None, (), T1),
    ("with one working day left, a yellow card", T1, ("complete_t2",), "complete_t1", (), DUE),
    ("on the Sunday between nothing new", at("03-08 12:00"), ("complete_t2", "complete_t1"), None, (), DUE),
    ("a second before the deadline, nothing new", DUE - SECOND, ("complete_t1",), None, (), DUE),
    ("at the deadline, a red card", DUE, ("complete_t2", "complete_t1"), "complete_due", (), None),
    ("a second after it the same", DUE + SECOND, ("complete_t1",), "complete_due", (), None),
    ("and then nothing more, ever", DUE + timedelta(days=400), ("complete_due",), None, (), None),
    ("a sweep that missed the reminder gives the yellow card alone", T1, (), "complete_t1", ("complete_t2",), DUE),
    ("a sweep that missed all gives the red card alone", DUE + timedelta(days=30), (), "complete_due",
     ("complete_t2", "complete_t1"), None),
    ("a rung below one that was raised is done", T1, ("complete_t1",), None, (), DUE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "raised", "rung", "passed_over", "next_check"), [r[1:] for r in COMPLETE], ids=[r[0] for r in COMPLETE]
)
def test_the_complete_deadline(
    now: datetime, raised: tuple[str, ...], rung: str | None, passed_over: tuple[str, ...], next_check: datetime | None
) -> None:
    decision = look(ticket(deadline(raised=raised)), now)
    assert [r.rung for r in decision.raise_] == ([] if rung is None else [rung])
    assert decision.next_check_at == next_check
    for raise_ in decision.raise_:
        assert raise_.passed_over == passed_over


OTHERS = [
    ("not signed for: yellow", "accept", DUE, "accept_due", "yellow", None, False),
    ("citizen not contacted: yellow", "contact", DUE, "contact_due", "yellow", None, False),
    ("not completed: red, urged, and an order", "complete", DUE, "complete_due", "red", "urged", True),
    ("not called back: yellow", "callback", DUE, "callback_due", "yellow", None, False),
    ("order about to run out: yellow", "supervise", T1, "supervise_t1", "yellow", None, False),
    (
        "order run out: red, focused, and into the second term",
        "supervise",
        DUE,
        "supervise_due",
        "red",
        "focused",
        True,
    ),
]


@pytest.mark.parametrize(
    ("target", "now", "rung", "card", "stage", "order"), [r[1:] for r in OTHERS], ids=[r[0] for r in OTHERS]
)
def test_each_target_has_its_card_stage_and_order(
    target: str, now: datetime, rung: str, card: str, stage: str | None, order: bool
) -> None:
    facts = ticket(deadline(target), order_live=True)
    assert rung not in [r.rung for r in look(facts, now - SECOND).raise_]
    (raised,) = look(facts, now).raise_
    assert (raised.rung, raised.card, raised.stage, raised.order) == (rung, card, stage, order)


def test_an_alert_has_the_time_of_the_breach_not_of_the_sweep() -> None:
    (late,) = look(ticket(deadline()), DUE + timedelta(days=3)).raise_
    assert (late.breach_at, late.due_at) == (DUE, DUE)
    (warned,) = look(ticket(deadline()), DUE - SECOND).raise_
    assert (warned.breach_at, warned.due_at) == (T1, DUE)


def test_an_orders_second_term_ends_in_depth_without_a_third() -> None:
    facts = ticket(deadline("supervise"), order_live=True, order_term=2, stage="focused")
    (raised,) = look(facts, DUE).raise_
    assert (raised.rung, raised.stage, raised.order) == ("supervise_due_again", "in_depth", False)


def test_an_order_that_is_not_live_is_not_watched() -> None:
    assert look(ticket(deadline("supervise"), order_live=False), DUE) == Decision((), None)


@pytest.mark.parametrize("hours", [2, 9])
def test_an_emergency_of_hours_has_no_warning_days_before(hours: int) -> None:
    started = at("03-04 10:00")
    due = started + timedelta(hours=hours)
    facts = ticket(deadline(started_at=started, due_at=due))
    assert look(facts, started) == Decision((), due)
    (raised,) = look(facts, due).raise_
    assert (raised.rung, raised.passed_over) == ("complete_due", ())


def test_a_warning_applies_after_the_start_and_not_at_it() -> None:
    assert look(ticket(deadline(started_at=T2)), T2).raise_ == ()
    (raised,) = look(ticket(deadline(started_at=T2 - SECOND)), T2).raise_
    assert raised.rung == "complete_t2"


def test_a_limit_passed_before_receipt_still_gives_a_red_card() -> None:
    (raised,) = look(ticket(deadline(started_at=DUE + SECOND)), DUE + 2 * SECOND).raise_
    assert (raised.rung, raised.passed_over) == ("complete_due", ())


@pytest.mark.parametrize("target", ["accept", "contact", "complete"])
def test_a_suspended_ticket_is_quiet_on_the_unit_clock(target: str) -> None:
    facts = ticket(deadline(target), suspended=True, status="suspended")
    assert look(facts, DUE + timedelta(days=9)) == Decision((), None)


def test_a_suspended_ticket_still_owes_an_answer_to_its_order() -> None:
    facts = ticket(deadline(), deadline("supervise"), suspended=True, status="suspended", order_live=True)
    assert [r.target for r in look(facts, DUE).raise_] == ["supervise"]


def test_imported_history_does_not_wake_the_ladder() -> None:
    assert look(ticket(deadline(), historical=True), DUE + timedelta(days=999)) == Decision((), None)


def test_a_deadline_that_was_met_or_cancelled_is_not_looked_at() -> None:
    assert look(ticket(deadline(ended=True)), DUE + SECOND) == Decision((), None)


@pytest.mark.parametrize("status", ["closed", "void"])
def test_an_ended_ticket_is_not_looked_at(status: str) -> None:
    assert look(ticket(deadline(), deadline("callback"), status=status), DUE) == Decision((), None)


def test_deadlines_raise_independently_and_earliest_is_next() -> None:
    later = deadline("callback", due_at=DUE + timedelta(hours=1))
    decision = look(ticket(deadline("accept"), deadline(), later), DUE)
    assert [(r.target, r.rung) for r in decision.raise_] == [("accept", "accept_due"), ("complete", "complete_due")]
    assert decision.next_check_at == DUE + timedelta(hours=1)


def test_days_off_and_a_make_up_saturday_count_backward_too() -> None:
    """Due on Tuesday 24 February after the Spring Festival; Saturday the 14th works: T−1 is that Saturday, T−2 Friday."""
    facts = ticket(deadline(started_at=at("02-09 09:00"), due_at=at("02-24 17:30")))
    assert look(facts, at("02-13 17:29:59")) == Decision((), at("02-13 17:30"))
    assert [r.breach_at for r in look(facts, at("02-13 17:30")).raise_] == [at("02-13 17:30")]
    assert [r.breach_at for r in look(facts, at("02-14 17:30")).raise_] == [at("02-14 17:30")]


def test_an_office_may_set_the_red_card_a_working_day_later() -> None:
    """Shandong: T+1. A late look leaves the card, stage and order of all rungs it passes."""
    ladder = Ladder(
        "shandong",
        1,
        (
            Rung("due", "complete", None, "yellow", "urged", ("unit",)),
            Rung("t_plus_1", "complete", Limit("working_days", 1, "same_time"), "red", None, ("leader",), order=True),
        ),
    )
    after = at("03-10 17:30")
    assert look(ticket(deadline()), DUE, ladder).next_check_at == after
    (late,) = look(ticket(deadline()), after, ladder).raise_
    assert (late.rung, late.card, late.stage, late.order) == ("t_plus_1", "red", "urged", True)
    assert (late.notify, late.passed_over) == (("unit", "leader"), ("due",))


def test_the_same_facts_give_the_same_decision() -> None:
    facts = ticket(deadline(), deadline("accept"))
    assert look(facts, DUE) == look(facts, DUE)


def test_the_reason_has_deadline_and_consequence_bilingually() -> None:
    (raised,) = look(ticket(deadline()), DUE).raise_
    assert (
        raised.why_zh
        == "办结时限 2026-03-09 17:30 已到，仍未完成：办理超期，亮红牌，办理环节不低于“督促办”，下发督办单，越过 2 个较低级别"
    )
    assert raised.why_en == (
        "Complete deadline 2026-03-09 17:30 reached and not met: Overdue, red card, stage at least urged, "
        "supervision order issued, 2 lower rung(s) passed over"
    )


def test_the_first_look_at_a_fresh_ticket_is_its_earliest_rung() -> None:
    accept = deadline("accept", due_at=at("03-03 17:30"))
    assert earliest_check(DEFAULT_LADDER, CALENDAR, [deadline(), accept]) == at("03-03 17:30")
    assert earliest_check(DEFAULT_LADDER, CALENDAR, [deadline()]) == T2
    assert earliest_check(DEFAULT_LADDER, CALENDAR, [deadline(ended=True)]) is None


@pytest.mark.parametrize(
    ("one", "other", "graver"),
    [(None, None, None), (None, "yellow", "yellow"), ("red", "yellow", "red"), ("yellow", "red", "red")],
)
def test_the_graver_card_stands(one: str | None, other: str | None, graver: str | None) -> None:
    assert higher_card(one, other) == graver


def test_a_ladder_survives_its_document() -> None:
    assert read_ladder(DEFAULT_LADDER.to_spec()) == DEFAULT_LADDER


BROKEN = [
    ("no code", {"rungs": [{"code": "a", "target": "complete"}]}, "/code"),
    ("no rungs", {"code": "x", "rungs": []}, "/rungs"),
    ("a rung that is no object", {"code": "x", "rungs": [3]}, "/rungs/0"),
    ("an unknown target", {"code": "x", "rungs": [{"code": "a", "target": "pay"}]}, "/rungs/0/target"),
    ("a green card", {"code": "x", "rungs": [{"code": "a", "target": "complete", "card": "green"}]}, "/rungs/0/card"),
    ("an unknown stage", {"code": "x", "rungs": [{"code": "a", "target": "accept", "stage": "z"}]}, "/rungs/0/stage"),
    ("an unknown role", {"code": "x", "rungs": [{"code": "a", "target": "accept", "notify": ["dog"]}]},
     "/rungs/0/notify/0"),
    ("a rung twice", {"code": "x", "rungs": [{"code": "a", "target": "accept"}] * 2}, "/rungs/1/code"),
    ("half a day", {"code": "x", "rungs": [{"code": "a", "target": "accept",
                                            "offset": {"unit": "working_days", "amount": 0.5}}]},
     "/rungs/0/offset/amount"),
    ("an order that is not yes or no", {"code": "x", "rungs": [{"code": "a", "target": "accept", "order": 1}]},
     "/rungs/0/order"),
    ("terms that end before they begin", {"code": "x", "rungs": [{"code": "a", "target": "supervise",
                                                                  "terms": [2, 1]}]}, "/rungs/0/terms"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "pointer"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_ladder_that_makes_no_sense_is_refused_at_its_place(spec: dict[str, object], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_ladder(spec)
    assert [p.pointer for p in refused.value.problems] == [pointer]
