"""The two clocks and the hold-times, told from a life: each row a life of a few events, and what the clocks show."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from app.domain.tickets.clocks import citizen_clock, clocks, hold_times, unit_clock
from app.domain.tickets.life import TicketLife
from app.domain.time.workcalendar import WorkCalendar
from app.schemas.calendar_document import read_calendar

WEEK = {day: [["09:00", "12:00"], ["13:30", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")}
CN = read_calendar({"time_zone": "Asia/Shanghai", "week": WEEK})
ROUND = read_calendar(
    {"time_zone": "Asia/Shanghai", "week": {day: [["00:00", "24:00"]] for day in (*WEEK, "sat", "sun")}}
)
HOUR, DAY = 3600, 86_400

Step = tuple[str, str, dict[str, Any]]
RECEIVED: Step = ("received", "03-02 09:00", {})  # a Monday
TO_A: Step = ("dispatched", "03-02 10:00", {"unit": "A"})


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text.replace(' ', 'T')}+08:00")


def life(*steps: Step) -> TicketLife:
    told = TicketLife()
    for event, at, data in steps:
        told.take(event, moment(at), data)
    return told


def calendar_of(unit: str | None) -> WorkCalendar:
    return ROUND if unit == "R" else CN


def step(event: str, at: str, **data: Any) -> Step:
    return event, at, data


@pytest.mark.parametrize(
    ("steps", "now", "seconds", "ended"),
    [
        ((RECEIVED, TO_A), "03-02 10:00", 0, False),
        ((RECEIVED, TO_A), "03-02 12:00", 2 * HOUR, False),
        ((RECEIVED, TO_A), "03-02 13:30", 2 * HOUR, False),  # over lunch it stands
        ((RECEIVED, TO_A), "03-03 09:00", 6 * HOUR, False),
        ((RECEIVED, TO_A), "03-09 09:00", 34 * HOUR, False),  # Friday 17:30 to Monday 09:00 adds nothing
        ((RECEIVED, TO_A, step("completed", "03-03 10:00")), "03-31 10:00", 7 * HOUR, True),
        ((RECEIVED, TO_A, step("voided", "03-03 10:00")), "03-31 10:00", 7 * HOUR, True),
        # a return does not stop it, a refused one neither; another unit's clock is its own
        ((RECEIVED, TO_A, step("returned", "03-02 11:00")), "03-02 12:00", 2 * HOUR, False),
        ((RECEIVED, TO_A, step("returned", "03-02 11:00"), step("return_refused", "03-02 12:00")),
         "03-02 14:30", 3 * HOUR, False),
        ((RECEIVED, TO_A, step("returned", "03-02 11:00"), step("dispatched", "03-02 13:30", unit="B")),
         "03-02 14:30", HOUR, False),
        ((RECEIVED, TO_A, step("reassigned", "03-03 09:00", unit="B")), "03-03 10:00", HOUR, False),
        # a reopening begins it anew
        ((RECEIVED, TO_A, step("completed", "03-03 10:00"), step("reopened", "03-04 09:00")), "03-04 10:00", HOUR, False),
        # suspended from Friday 16:30 over the weekend to Monday 10:00: two working hours
        ((RECEIVED, TO_A, step("suspended", "03-06 16:30"), step("resumed", "03-09 10:00")), "03-09 11:00", 34 * HOUR, False),
        ((RECEIVED, TO_A, step("suspended", "03-02 11:00")), "03-05 11:00", HOUR, False),
        ((RECEIVED, TO_A, step("suspended", "03-02 11:00"), step("voided", "03-05 11:00")), "03-31 11:00", HOUR, True),
        # on the calendar of the unit that has it
        ((RECEIVED, step("dispatched", "03-07 00:00", unit="R")), "03-08 00:00", DAY, False),
    ],
)  # fmt: skip
def test_the_unit_clock_counts_working_time_since_last_dispatch(
    steps: tuple[Step, ...], now: str, seconds: int, ended: bool
) -> None:
    clock = unit_clock(life(*steps), calendar_of, moment(now))
    assert clock is not None
    assert (clock.seconds, clock.until is not None) == (seconds, ended)


def test_time_suspended_is_told_beside_the_unit_clock() -> None:
    told = life(RECEIVED, TO_A, step("suspended", "03-06 16:30"))
    clock = unit_clock(told, calendar_of, moment("03-09 10:00"))
    assert clock is not None
    assert (clock.suspended_seconds, clock.paused) == (2 * HOUR, True)


@pytest.mark.parametrize(
    ("steps", "seconds", "ended"),
    [
        ((RECEIVED,), 30 * DAY, False),
        ((RECEIVED, TO_A, step("returned", "03-03 09:00"), step("dispatched", "03-04 09:00", unit="B")), 30 * DAY, False),
        ((RECEIVED, TO_A, step("suspended", "03-03 09:00"), step("resumed", "03-20 09:00")), 30 * DAY, False),
        ((RECEIVED, TO_A, step("completed", "03-12 09:00")), 10 * DAY, True),
        ((RECEIVED, TO_A, step("completed", "03-12 09:00"), step("closed", "03-20 09:00")), 10 * DAY, True),
        ((RECEIVED, TO_A, step("completed", "03-12 09:00"), step("reopened", "03-20 09:00")), 30 * DAY, False),
        ((RECEIVED, TO_A, step("completed", "03-12 09:00"), step("reopened", "03-20 09:00"),
          step("completed", "03-22 09:00")), 20 * DAY, True),
        ((RECEIVED, step("voided", "03-12 09:00")), 10 * DAY, True),
    ],
)  # fmt: skip
def test_nothing_sets_the_citizen_clock_back(steps: tuple[Step, ...], seconds: int, ended: bool) -> None:
    clock = citizen_clock(life(*steps), moment("04-01 09:00"))
    assert clock is not None
    assert (clock.seconds, clock.until is not None) == (seconds, ended)


def test_each_unit_answers_for_the_time_it_had_the_ticket() -> None:
    told = life(
        RECEIVED,
        TO_A,
        step("returned", "03-02 11:00"),  # A: one hour; then it lies with the office
        step("dispatched", "03-03 09:00", unit="B"),
        step("reassigned", "03-03 11:00", unit="A"),  # B: two hours
        step("suspended", "03-03 14:30"),
        step("resumed", "03-03 15:30"),
        step("completed", "03-03 17:30"),  # A: 1 + 4 working hours, one of them suspended; 6.5 natural
        step("reopened", "03-04 09:00"),
    )
    held = {each.unit: each for each in hold_times(told, calendar_of, moment("03-04 10:00"))}
    assert list(held) == ["A", "B"]
    a, b = held["A"], held["B"]
    assert (a.spells, a.working_seconds, a.natural_seconds, a.now) == (3, (1 + 4 + 1) * HOUR, int(8.5 * HOUR), True)
    assert (b.spells, b.working_seconds, b.natural_seconds, b.now) == (1, 2 * HOUR, 2 * HOUR, False)
    assert told.first_unit == "A"


def test_a_refused_return_ends_no_spell() -> None:
    told = life(RECEIVED, TO_A, step("returned", "03-02 11:00"), step("return_refused", "03-03 11:00", unit="A"))
    (held,) = hold_times(told, calendar_of, moment("03-03 12:00"))
    assert (held.spells, held.natural_seconds) == (1, 26 * HOUR)


def test_a_ticket_no_unit_has_yet_has_a_citizen_clock_alone() -> None:
    shown = clocks(life(RECEIVED), calendar_of, moment("03-02 10:00"))
    assert shown.unit is None
    assert shown.citizen is not None
    assert shown.citizen.seconds == HOUR
    assert shown.held == ()


def test_an_end_that_nobody_knows_leaves_both_clocks_untold() -> None:
    told = life(RECEIVED, TO_A, step("completed", "03-02 10:00", moment="unknown"))
    shown = clocks(told, calendar_of, moment("03-09 10:00"))
    assert (shown.unit, shown.citizen) == (None, None)


def test_history_that_ends_before_it_begins_counts_nothing() -> None:
    told = life(RECEIVED, step("dispatched", "03-03 10:00", unit="A"), step("completed", "03-01 10:00"))
    shown = clocks(told, calendar_of, moment("03-09 10:00"))
    assert shown.unit is not None
    assert shown.citizen is not None
    assert (shown.unit.seconds, shown.citizen.seconds) == (0, 0)
