"""When limits end: each boundary straddled by a second, in both directions, with its weekday named."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from app.domain.time.due import Due, Elapsed, Limit, due, elapsed, shift
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from app.schemas.limit import read_limit
from app.schemas.policy import read_policy

OFFICE = [["09:00", "12:00"], ["13:30", "17:30"]]
FIVE = ("mon", "tue", "wed", "thu", "fri")


def week(hours: list[list[str]], days: tuple[str, ...] = FIVE) -> dict[str, Any]:
    return dict.fromkeys(days, hours)


# The Spring Festival of 2026: Sunday 15 to Monday 23 February off, Saturdays 14 and 28 February worked.
CN = read_calendar(
    {
        "week": week(OFFICE),
        "days": {
            **{f"2026-02-{day}": [] for day in range(15, 24)},
            "2026-02-14": OFFICE,
            "2026-02-28": OFFICE,
            "2026-01-01": [],
            "2026-01-02": [],
            "2026-01-04": OFFICE,
        },
        "published": [2025, 2026],
    },
    code="cn",
)
PLAIN = read_calendar({"week": week(OFFICE)})
AROUND_THE_CLOCK = read_calendar({"week": week([["00:00", "24:00"]])})
NIGHTS = read_calendar({"week": week([["22:00", "06:00"]])})
HALF_DAYS = read_calendar({"week": week(OFFICE), "days": {"2026-03-07": [["09:00", "12:00"]]}})
NEW_YORK = read_calendar({"time_zone": "America/New_York", "week": week([["00:00", "24:00"]], (*FIVE, "sat", "sun"))})
NY_NIGHTS = read_calendar({"time_zone": "America/New_York", "week": week([["22:00", "06:00"]], (*FIVE, "sat", "sun"))})
LORD_HOWE = read_calendar(
    {"time_zone": "Australia/Lord_Howe", "week": week([["01:00", "04:00"]], (*FIVE, "sat", "sun"))}
)


def on(calendar: WorkCalendar, text: str) -> datetime:
    """``Mon 2026-03-02 10:00:00`` on the calendar's clock; the weekday must be right."""
    weekday, rest = text.split(" ", 1)
    moment = datetime.fromisoformat(rest)
    assert moment.strftime("%a") == weekday, f"{rest} is a {moment:%A}"
    return moment.replace(tzinfo=calendar.zone)


def shown(calendar: WorkCalendar, moment: datetime) -> str:
    return calendar.local(moment).strftime("%a %Y-%m-%d %H:%M:%S")


def ends(calendar: WorkCalendar, start: str, limit: Limit, **changes: Any) -> str:
    return shown(calendar, due(calendar, on(calendar, start), limit, **changes).due_at)


def days(n: int, ends: Any = "close", first: bool = False) -> Limit:
    return Limit("working_days", n, ends, first)


def hours(n: float | Fraction) -> Limit:
    return Limit("working_hours", n)


# -- working days ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "limit", "end"),
    [
        ("Mon 2026-03-02 10:00:00", days(1), "Tue 2026-03-03 17:30:00"),
        ("Mon 2026-03-02 00:00:00", days(1), "Tue 2026-03-03 17:30:00"),
        ("Mon 2026-03-02 23:59:59", days(1), "Tue 2026-03-03 17:30:00"),
        ("Tue 2026-03-03 00:00:00", days(1), "Wed 2026-03-04 17:30:00"),
        ("Mon 2026-03-02 17:29:59", days(5), "Mon 2026-03-09 17:30:00"),
        ("Mon 2026-03-02 17:30:01", days(5), "Mon 2026-03-09 17:30:00"),
        ("Fri 2026-03-06 16:00:00", days(1), "Mon 2026-03-09 17:30:00"),
        ("Sat 2026-03-07 10:00:00", days(1), "Mon 2026-03-09 17:30:00"),
        ("Sun 2026-03-08 23:59:59", days(1), "Mon 2026-03-09 17:30:00"),
        ("Mon 2026-03-09 00:00:00", days(1), "Tue 2026-03-10 17:30:00"),
        # the Friday before the Spring Festival, with its make-up Saturdays
        ("Fri 2026-02-13 16:00:00", days(1), "Sat 2026-02-14 17:30:00"),
        ("Fri 2026-02-13 16:00:00", days(2), "Tue 2026-02-24 17:30:00"),
        ("Fri 2026-02-13 16:00:00", days(5), "Fri 2026-02-27 17:30:00"),
        ("Fri 2026-02-13 16:00:00", days(6), "Sat 2026-02-28 17:30:00"),
        ("Sat 2026-02-14 17:30:00", days(1), "Tue 2026-02-24 17:30:00"),
        ("Wed 2026-02-18 12:00:00", days(1), "Tue 2026-02-24 17:30:00"),
        ("Mon 2026-02-23 23:59:59", days(1), "Tue 2026-02-24 17:30:00"),
        ("Tue 2026-02-24 00:00:00", days(1), "Wed 2026-02-25 17:30:00"),
        # 24:00, and the same clock time
        ("Fri 2026-03-06 16:00:00", days(1, "midnight"), "Tue 2026-03-10 00:00:00"),
        ("Fri 2026-03-06 16:00:00", days(1, "same_time"), "Mon 2026-03-09 16:00:00"),
        ("Fri 2026-03-06 20:15:07", days(2, "same_time"), "Tue 2026-03-10 20:15:07"),
        ("Sat 2026-03-07 08:00:00", days(1, "same_time"), "Mon 2026-03-09 08:00:00"),
        ("Mon 2026-03-02 00:00:00", days(1, "same_time"), "Tue 2026-03-03 00:00:00"),
    ],
)
def test_a_working_day_limit_ends_on_the_nth_day_after_receipt(start: str, limit: Limit, end: str) -> None:
    assert ends(CN, start, limit) == end


@pytest.mark.parametrize(
    ("start", "limit", "end"),
    [
        ("Mon 2026-03-02 10:00:00", days(1, first=True), "Mon 2026-03-02 17:30:00"),
        ("Mon 2026-03-02 17:29:59", days(1, first=True), "Mon 2026-03-02 17:30:00"),
        ("Mon 2026-03-02 17:30:00", days(1, first=True), "Tue 2026-03-03 17:30:00"),
        ("Mon 2026-03-02 17:30:00", days(1, "midnight", True), "Tue 2026-03-03 00:00:00"),
        ("Mon 2026-03-02 23:59:59", days(1, "midnight", True), "Tue 2026-03-03 00:00:00"),
        ("Mon 2026-03-02 10:00:00", days(2, first=True), "Tue 2026-03-03 17:30:00"),
        ("Mon 2026-03-02 10:00:00", days(2, "same_time", True), "Tue 2026-03-03 10:00:00"),
        ("Mon 2026-03-02 10:00:00", days(1, "same_time", True), "Mon 2026-03-02 10:00:00"),
        ("Sat 2026-03-07 10:00:00", days(1, first=True), "Mon 2026-03-09 17:30:00"),
        ("Sat 2026-03-07 10:00:00", days(2, first=True), "Tue 2026-03-10 17:30:00"),
    ],
)
def test_the_first_day_counts_while_its_end_is_still_ahead(start: str, limit: Limit, end: str) -> None:
    assert ends(CN, start, limit) == end


@pytest.mark.parametrize(
    ("start", "limit", "end"),
    [
        ("Fri 2026-03-13 17:30:00", days(-1), "Thu 2026-03-12 17:30:00"),
        ("Fri 2026-03-13 17:30:00", days(-2), "Wed 2026-03-11 17:30:00"),
        ("Mon 2026-03-09 17:30:00", days(-1), "Fri 2026-03-06 17:30:00"),
        ("Mon 2026-03-09 00:00:00", days(-1), "Fri 2026-03-06 17:30:00"),
        ("Sun 2026-03-08 23:59:59", days(-1), "Fri 2026-03-06 17:30:00"),
        ("Sat 2026-03-07 00:00:00", days(-1), "Fri 2026-03-06 17:30:00"),
        ("Fri 2026-03-06 23:59:59", days(-1), "Thu 2026-03-05 17:30:00"),
        ("Tue 2026-02-24 09:00:00", days(-1), "Sat 2026-02-14 17:30:00"),
        ("Tue 2026-02-24 09:00:00", days(-2), "Fri 2026-02-13 17:30:00"),
        ("Tue 2026-02-24 10:00:00", days(-1, "same_time"), "Sat 2026-02-14 10:00:00"),
        ("Wed 2026-03-11 10:00:00", days(-1, "midnight"), "Wed 2026-03-11 00:00:00"),
        ("Wed 2026-03-11 10:00:00", days(-1, first=True), "Tue 2026-03-10 17:30:00"),
        ("Wed 2026-03-11 17:30:01", days(-1, first=True), "Wed 2026-03-11 17:30:00"),
    ],
)
def test_a_negative_limit_counts_back(start: str, limit: Limit, end: str) -> None:
    assert ends(CN, start, limit) == end


# -- working hours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "amount", "end"),
    [
        ("Mon 2026-03-02 09:00:00", 3, "Mon 2026-03-02 12:00:00"),  # used up at the end of a span: not at 13:30
        ("Mon 2026-03-02 09:00:01", 3, "Mon 2026-03-02 13:30:01"),
        ("Mon 2026-03-02 08:59:59", 3, "Mon 2026-03-02 12:00:00"),
        ("Mon 2026-03-02 12:00:00", 4, "Mon 2026-03-02 17:30:00"),
        ("Mon 2026-03-02 12:30:00", 4, "Mon 2026-03-02 17:30:00"),
        ("Mon 2026-03-02 13:30:01", 4, "Tue 2026-03-03 09:00:01"),
        ("Fri 2026-03-06 17:29:59", Fraction(1, 3600), "Fri 2026-03-06 17:30:00"),
        ("Fri 2026-03-06 17:30:00", Fraction(1, 3600), "Mon 2026-03-09 09:00:01"),
        ("Fri 2026-03-06 16:00:00", 1.5, "Fri 2026-03-06 17:30:00"),
        ("Fri 2026-03-06 16:00:00", 1.75, "Mon 2026-03-09 09:15:00"),
        ("Fri 2026-02-13 16:00:00", 8.5, "Sat 2026-02-14 17:30:00"),
        ("Fri 2026-02-13 16:00:00", 8.6, "Tue 2026-02-24 09:06:00"),
        ("Mon 2026-03-02 10:00:00", 0, "Mon 2026-03-02 10:00:00"),
        ("Mon 2026-03-02 12:00:00", 0, "Mon 2026-03-02 12:00:00"),
        ("Mon 2026-03-02 12:00:01", 0, "Mon 2026-03-02 13:30:00"),
        ("Sat 2026-03-07 10:00:00", 0, "Mon 2026-03-09 09:00:00"),
        ("Mon 2026-03-02 13:30:00", -3, "Mon 2026-03-02 09:00:00"),
        ("Mon 2026-03-02 13:29:59", -3, "Mon 2026-03-02 09:00:00"),
        ("Mon 2026-03-02 13:30:01", -3, "Mon 2026-03-02 09:00:01"),
        ("Mon 2026-03-02 09:00:00", -4, "Fri 2026-02-27 13:30:00"),
        ("Mon 2026-03-02 09:00:00", -7, "Fri 2026-02-27 09:00:00"),
    ],
)
def test_working_hours_run_in_working_time_alone(start: str, amount: Any, end: str) -> None:
    calendar = PLAIN if amount in (-4, -7) else CN
    assert ends(calendar, start, hours(amount)) == end


def test_a_sixth_of_an_hour_is_ten_minutes_in_any_notation() -> None:
    start = on(CN, "Mon 2026-03-02 10:00:00")
    exact = due(CN, start, hours(Fraction(1, 6))).due_at
    assert exact == start.astimezone(UTC) + timedelta(minutes=10)
    assert due(CN, start, Limit("working_hours", Decimal("0.1"))).due_at == start + timedelta(minutes=6)
    assert due(CN, start, Limit("working_hours", 0.1)).due_at == start + timedelta(minutes=6)


# -- natural days and hours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "limit", "end"),
    [
        ("Fri 2026-03-06 16:00:00", Limit("hours", 2), "Fri 2026-03-06 18:00:00"),
        ("Fri 2026-03-06 23:59:59", Limit("hours", 0.5), "Sat 2026-03-07 00:29:59"),
        ("Fri 2026-03-06 16:00:00", Limit("hours", -24), "Thu 2026-03-05 16:00:00"),
        ("Fri 2026-03-06 16:00:00", Limit("days", 3), "Mon 2026-03-09 17:30:00"),
        ("Fri 2026-03-06 16:00:00", Limit("days", 1), "Sun 2026-03-08 00:00:00"),  # Saturday has no hours: its 24:00
        ("Fri 2026-03-06 16:00:00", Limit("days", 1, "midnight"), "Sun 2026-03-08 00:00:00"),
        ("Fri 2026-03-06 16:00:00", Limit("days", 1, "same_time"), "Sat 2026-03-07 16:00:00"),
        ("Fri 2026-03-06 16:00:00", Limit("days", 1, "close", True), "Fri 2026-03-06 17:30:00"),
        ("Fri 2026-03-06 17:30:00", Limit("days", 1, "close", True), "Sun 2026-03-08 00:00:00"),
        ("Fri 2026-03-06 16:00:00", Limit("days", -1), "Thu 2026-03-05 17:30:00"),
        ("Fri 2026-03-06 16:00:00", Limit("days", 0), "Fri 2026-03-06 16:00:00"),
    ],
)
def test_natural_limits_run_through_holidays(start: str, limit: Limit, end: str) -> None:
    assert ends(CN, start, limit) == end


# -- hours round the clock, and past midnight --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "start", "limit", "end"),
    [
        (AROUND_THE_CLOCK, "Mon 2026-03-02 10:00:00", days(1), "Wed 2026-03-04 00:00:00"),
        (AROUND_THE_CLOCK, "Fri 2026-03-06 10:00:00", days(1), "Tue 2026-03-10 00:00:00"),
        (AROUND_THE_CLOCK, "Wed 2026-03-04 00:00:00", days(-1), "Tue 2026-03-03 00:00:00"),
        (AROUND_THE_CLOCK, "Fri 2026-03-06 23:00:00", hours(1), "Sat 2026-03-07 00:00:00"),
        (AROUND_THE_CLOCK, "Fri 2026-03-06 23:00:00", hours(2), "Mon 2026-03-09 01:00:00"),
        (NIGHTS, "Mon 2026-03-02 21:00:00", days(1), "Wed 2026-03-04 06:00:00"),
        (NIGHTS, "Tue 2026-03-03 03:00:00", days(1), "Wed 2026-03-04 06:00:00"),  # Monday's night
        (NIGHTS, "Tue 2026-03-03 06:00:00", days(1), "Thu 2026-03-05 06:00:00"),  # its end is Tuesday's morning
        (NIGHTS, "Sat 2026-03-07 03:00:00", days(1), "Tue 2026-03-10 06:00:00"),  # Friday's night
        (NIGHTS, "Sat 2026-03-07 05:00:00", hours(1), "Sat 2026-03-07 06:00:00"),
        (NIGHTS, "Sat 2026-03-07 05:00:00", hours(2), "Mon 2026-03-09 23:00:00"),
        (NIGHTS, "Tue 2026-03-03 03:00:00", days(1, "same_time"), "Wed 2026-03-04 03:00:00"),
        (NIGHTS, "Sat 2026-03-07 03:00:00", days(1, "same_time"), "Tue 2026-03-10 03:00:00"),
        (NIGHTS, "Wed 2026-03-04 06:00:00", days(-1), "Tue 2026-03-03 06:00:00"),
    ],
)
def test_a_night_belongs_to_the_day_it_starts_on(calendar: WorkCalendar, start: str, limit: Limit, end: str) -> None:
    assert ends(calendar, start, limit) == end


# -- daylight saving ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "start", "limit", "end"),
    [
        # New York springs forward on Sunday 8 March 2026 at 02:00, and falls back on Sunday 1 November at 02:00
        (NEW_YORK, "Sun 2026-03-08 00:00:00", hours(23), "Mon 2026-03-09 00:00:00"),
        (NEW_YORK, "Sun 2026-03-08 01:59:59", hours(Fraction(1, 3600)), "Sun 2026-03-08 03:00:00"),
        (NEW_YORK, "Sun 2026-11-01 00:00:00", hours(25), "Mon 2026-11-02 00:00:00"),
        (NEW_YORK, "Sun 2026-11-01 00:30:00", hours(2), "Sun 2026-11-01 01:30:00"),
        (NEW_YORK, "Sat 2026-03-07 02:30:00", days(1, "same_time"), "Sun 2026-03-08 03:00:00"),  # never shown
        (NEW_YORK, "Sat 2026-03-07 03:00:00", days(1, "same_time"), "Sun 2026-03-08 03:00:00"),
        (NEW_YORK, "Sat 2026-03-07 01:59:59", days(1, "same_time"), "Sun 2026-03-08 01:59:59"),
        (NEW_YORK, "Sun 2026-03-08 03:30:00", days(-1, "same_time"), "Sat 2026-03-07 03:30:00"),
        (NEW_YORK, "Sat 2026-03-07 12:00:00", Limit("hours", 24), "Sun 2026-03-08 13:00:00"),
        (NEW_YORK, "Sat 2026-03-07 12:00:00", Limit("days", 1, "same_time"), "Sun 2026-03-08 12:00:00"),
        (NY_NIGHTS, "Sat 2026-03-07 22:00:00", hours(7), "Sun 2026-03-08 06:00:00"),
        (NY_NIGHTS, "Sat 2026-10-31 22:00:00", hours(9), "Sun 2026-11-01 06:00:00"),
        # Lord Howe moves by half an hour: forward on Sunday 4 October 2026 at 02:00, back on Sunday 5 April
        (LORD_HOWE, "Sun 2026-10-04 01:00:00", hours(2.5), "Sun 2026-10-04 04:00:00"),
        (LORD_HOWE, "Sun 2026-10-04 01:00:00", hours(1), "Sun 2026-10-04 02:30:00"),
        (LORD_HOWE, "Sun 2026-04-05 01:00:00", hours(3.5), "Sun 2026-04-05 04:00:00"),
        (LORD_HOWE, "Sat 2026-10-03 02:15:00", days(1, "same_time"), "Sun 2026-10-04 02:30:00"),
    ],
)
def test_across_a_clock_change_real_time_is_counted(calendar: WorkCalendar, start: str, limit: Limit, end: str) -> None:
    assert ends(calendar, start, limit) == end


def test_a_repeated_clock_reading_means_its_first_showing() -> None:
    # 01:30 of Sunday 1 November 2026 is shown twice in New York
    answer = due(NEW_YORK, on(NEW_YORK, "Sat 2026-10-31 01:30:00"), days(1, "same_time")).due_at
    assert answer == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    second = on(NEW_YORK, "Sun 2026-11-01 01:30:00").replace(fold=1)
    assert second.astimezone(UTC) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert due(NEW_YORK, second, hours(0.5)).due_at == datetime(2026, 11, 1, 7, 0, tzinfo=UTC)


def test_hours_that_begin_inside_a_gap_begin_with_the_change() -> None:
    calendar = read_calendar(
        {"time_zone": "America/New_York", "week": {"sun": [["02:15", "02:45"], ["02:45", "04:00"]]}}
    )
    assert ends(calendar, "Sun 2026-03-08 00:00:00", hours(1)) == "Sun 2026-03-08 04:00:00"
    assert elapsed(calendar, on(calendar, "Sun 2026-03-08 00:00:00"), on(calendar, "Mon 2026-03-09 00:00:00")) == (
        Elapsed(3600, 0)
    )


# -- suspensions and extensions ----------------------------------------------------------------------------------------


def spans(calendar: WorkCalendar, *pairs: tuple[str, str | None]) -> list[tuple[datetime, datetime | None]]:
    return [(on(calendar, a), None if b is None else on(calendar, b)) for a, b in pairs]


MON = "Mon 2026-03-02 10:00:00"
"""Five working days from here end on Monday 9 March at 17:30."""


@pytest.mark.parametrize(
    ("limit", "pairs", "end"),
    [
        (days(5), [], "Mon 2026-03-09 17:30:00"),
        (days(5), [("Wed 2026-03-04 10:00:00", "Thu 2026-03-05 10:00:00")], "Tue 2026-03-10 17:30:00"),
        (days(5), [("Wed 2026-03-04 10:00:00", "Wed 2026-03-04 10:00:00")], "Mon 2026-03-09 17:30:00"),
        (days(5), [("Wed 2026-03-04 10:00:00", "Wed 2026-03-04 10:00:01")], "Tue 2026-03-10 09:00:01"),
        (days(5), [("Wed 2026-03-04 12:00:00", "Wed 2026-03-04 13:30:00")], "Mon 2026-03-09 17:30:00"),
        # over a weekend: nothing but the working time on its edges
        (days(5), [("Fri 2026-03-06 17:30:00", "Mon 2026-03-09 09:00:00")], "Mon 2026-03-09 17:30:00"),
        (days(5), [("Fri 2026-03-06 17:29:59", "Mon 2026-03-09 09:00:00")], "Tue 2026-03-10 09:00:01"),
        (days(5), [("Fri 2026-03-06 17:30:00", "Mon 2026-03-09 09:00:01")], "Tue 2026-03-10 09:00:01"),
        # several short ones add up to a day, and the close stays a close
        (
            days(5),
            [
                ("Tue 2026-03-03 09:00:00", "Tue 2026-03-03 12:00:00"),
                ("Thu 2026-03-05 13:30:00", "Thu 2026-03-05 17:30:00"),
            ],
            "Tue 2026-03-10 17:30:00",
        ),
        # overlapping ones count once
        (
            days(5),
            [
                ("Wed 2026-03-04 10:00:00", "Thu 2026-03-05 10:00:00"),
                ("Wed 2026-03-04 09:30:00", "Wed 2026-03-04 16:00:00"),
                ("Thu 2026-03-05 10:00:00", "Thu 2026-03-05 10:00:00"),
            ],
            "Wed 2026-03-11 09:30:00",
        ),
        # the part before the start does not count
        (days(5), [("Fri 2026-02-27 09:00:00", MON)], "Mon 2026-03-09 17:30:00"),
        (days(5), [("Fri 2026-02-27 09:00:00", "Mon 2026-03-02 10:00:01")], "Tue 2026-03-10 09:00:01"),
        # one that begins when the deadline has passed gives nothing; a second before, everything
        (days(5), [("Mon 2026-03-09 17:30:00", "Thu 2026-03-12 17:30:00")], "Mon 2026-03-09 17:30:00"),
        (days(5), [("Mon 2026-03-09 17:30:01", "Thu 2026-03-12 17:30:00")], "Mon 2026-03-09 17:30:00"),
        (days(5), [("Mon 2026-03-09 17:29:59", "Tue 2026-03-10 17:30:00")], "Wed 2026-03-11 09:00:01"),
        # unless an earlier one had moved it
        (
            days(5),
            [
                ("Wed 2026-03-04 10:00:00", "Thu 2026-03-05 10:00:00"),
                ("Tue 2026-03-10 09:00:00", "Wed 2026-03-11 09:00:00"),
            ],
            "Wed 2026-03-11 17:30:00",
        ),
        # a 24:00 stays a 24:00, a clock time stays a clock time, as long as whole days are given back
        (days(5, "midnight"), [("Wed 2026-03-04 10:00:00", "Thu 2026-03-05 10:00:00")], "Wed 2026-03-11 00:00:00"),
        (days(5, "midnight"), [("Fri 2026-03-06 10:00:00", "Mon 2026-03-09 10:00:00")], "Wed 2026-03-11 00:00:00"),
        (days(5, "midnight"), [("Wed 2026-03-04 10:00:00", "Wed 2026-03-04 11:00:00")], "Tue 2026-03-10 10:00:00"),
        (days(5, "same_time"), [("Wed 2026-03-04 14:00:00", "Thu 2026-03-05 14:00:00")], "Tue 2026-03-10 10:00:00"),
        (days(5, "same_time"), [("Wed 2026-03-04 14:00:00", "Wed 2026-03-04 15:00:00")], "Mon 2026-03-09 11:00:00"),
        # working hours
        (hours(7), [("Mon 2026-03-02 10:00:00", "Mon 2026-03-02 12:00:00")], "Tue 2026-03-03 12:00:00"),
        (hours(6), [("Mon 2026-03-02 11:00:00", "Tue 2026-03-03 10:00:00")], "Tue 2026-03-03 16:30:00"),
        (hours(6), [("Sat 2026-03-07 00:00:00", "Mon 2026-03-09 09:00:00")], "Mon 2026-03-02 17:30:00"),
        # natural limits get real time back, weekends and all
        (
            Limit("hours", 120),
            [("Fri 2026-03-06 17:30:00", "Mon 2026-03-09 09:00:00")],
            "Tue 2026-03-10 01:30:00",
        ),
        (
            Limit("days", 7),
            [("Fri 2026-03-06 12:00:00", "Sun 2026-03-08 12:00:00")],
            "Wed 2026-03-11 17:30:00",
        ),
    ],
)
def test_suspended_time_is_given_back(limit: Limit, pairs: list[tuple[str, str | None]], end: str) -> None:
    assert ends(PLAIN, MON, limit, suspensions=spans(PLAIN, *pairs)) == end


def test_a_time_outside_hours_survives_a_returned_whole_day() -> None:
    day = spans(PLAIN, ("Wed 2026-03-04 10:00:00", "Thu 2026-03-05 10:00:00"))
    for clock in ("07:15:00", "12:30:00", "20:00:00"):
        late = days(5, "same_time")
        assert ends(PLAIN, f"Mon 2026-03-02 {clock}", late, suspensions=day) == f"Tue 2026-03-10 {clock}"
    weekend = spans(PLAIN, ("Wed 2026-03-04 10:00:00", "Thu 2026-03-05 10:00:00"))
    four = days(4, "same_time")
    assert ends(PLAIN, "Mon 2026-03-02 07:15:00", four, suspensions=weekend) == "Mon 2026-03-09 07:15:00"
    assert ends(PLAIN, "Mon 2026-03-02 20:00:00", four, suspensions=weekend) == "Mon 2026-03-09 20:00:00"


def test_a_half_day_gives_back_its_own_hours() -> None:
    half = spans(HALF_DAYS, ("Sat 2026-03-07 09:00:00", "Sat 2026-03-07 12:00:00"))
    assert ends(HALF_DAYS, MON, days(6)) == "Mon 2026-03-09 17:30:00"
    assert ends(HALF_DAYS, MON, days(6), suspensions=half) == "Tue 2026-03-10 12:00:00"


def test_an_open_suspension_stops_the_clock() -> None:
    start, held = on(PLAIN, MON), spans(PLAIN, ("Wed 2026-03-04 10:00:00", None))
    base = on(PLAIN, "Mon 2026-03-09 17:30:00").astimezone(UTC)
    assert due(PLAIN, start, days(5), suspensions=held) == Due(base, False, stopped=True)
    later = on(PLAIN, "Thu 2026-03-05 10:00:00")
    moved = due(PLAIN, start, days(5), suspensions=held, as_of=later)
    assert moved == Due(on(PLAIN, "Tue 2026-03-10 17:30:00").astimezone(UTC), False, stopped=True)
    closed = due(PLAIN, start, days(5), suspensions=[(held[0][0], later)])
    assert (closed.due_at, closed.stopped) == (moved.due_at, False)


def test_an_open_suspension_after_the_deadline_stops_nothing() -> None:
    held = spans(PLAIN, ("Mon 2026-03-09 17:30:00", None))
    assert not due(PLAIN, on(PLAIN, MON), days(5), suspensions=held).stopped


@pytest.mark.parametrize(
    ("limit", "extensions", "end"),
    [
        (days(5), [days(10)], "Mon 2026-03-23 17:30:00"),
        (days(5), [days(2), days(3)], "Mon 2026-03-16 17:30:00"),
        (days(5, "midnight"), [days(1)], "Wed 2026-03-11 00:00:00"),
        (days(5, "same_time"), [days(1)], "Tue 2026-03-10 10:00:00"),
        (hours(6), [days(1)], "Tue 2026-03-03 17:30:00"),
        (hours(5.5), [days(1)], "Tue 2026-03-03 17:00:00"),
        (days(5), [hours(2)], "Tue 2026-03-10 11:00:00"),
        (days(5), [Limit("hours", 2)], "Mon 2026-03-09 19:30:00"),
        (Limit("hours", 2), [days(1)], "Tue 2026-03-03 12:00:00"),
        (Limit("days", 5, "midnight"), [days(1)], "Tue 2026-03-10 00:00:00"),  # Saturday's 24:00 → Monday's
        (Limit("days", 5), [Limit("days", 2)], "Mon 2026-03-09 17:30:00"),
    ],
)
def test_an_extension_ends_on_the_nth_working_day_after_the_due(
    limit: Limit, extensions: list[Limit], end: str
) -> None:
    assert ends(PLAIN, MON, limit, extensions=extensions) == end


def test_an_extension_and_a_suspension_add_up_in_any_order() -> None:
    held = spans(PLAIN, ("Tue 2026-03-10 09:00:00", "Tue 2026-03-10 11:00:00"))
    assert ends(PLAIN, MON, days(5), suspensions=held) == "Mon 2026-03-09 17:30:00"
    assert ends(PLAIN, MON, days(5), suspensions=held, extensions=[days(3)]) == "Fri 2026-03-13 11:00:00"


# -- published years ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "limit", "provisional"),
    [
        ("Wed 2026-12-30 10:00:00", days(1), False),
        ("Wed 2026-12-30 10:00:00", days(1, "midnight"), False),  # 24:00 of 31 December is still of 2026
        ("Wed 2026-12-30 10:00:00", days(2), True),
        ("Thu 2026-12-31 16:30:00", hours(1), False),
        ("Thu 2026-12-31 16:30:01", hours(1), True),
        ("Thu 2026-12-31 17:00:00", Limit("hours", 24), False),  # no calendar is asked
        ("Thu 2026-12-31 17:00:00", Limit("days", 1), True),  # the close of 1 January is
        ("Thu 2026-12-31 17:00:00", Limit("days", 1, "midnight"), False),
        ("Mon 2027-01-04 10:00:00", days(1), True),
        ("Fri 2027-01-01 00:00:00", days(-1), False),
        ("Fri 2027-01-01 09:00:00", hours(-1), True),
        ("Tue 2025-01-07 10:00:00", days(-5), True),  # 31 December 2024: before the first published year
    ],
)
def test_a_deadline_is_provisional_iff_it_uses_unpublished_years(start: str, limit: Limit, provisional: bool) -> None:
    assert due(CN, on(CN, start), limit).provisional is provisional
    everything = read_calendar({**CN.to_spec(), "published": None})
    assert due(everything, on(CN, start), limit).provisional is False


def test_a_suspension_into_an_unpublished_year_is_provisional() -> None:
    held = spans(CN, ("Thu 2026-12-31 09:00:00", "Thu 2026-12-31 09:00:01"))
    start = on(CN, "Wed 2026-12-30 10:00:00")
    assert not due(CN, start, days(1)).provisional
    assert due(CN, start, days(1), suspensions=held).provisional


# -- measuring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "seconds", "count"),
    [
        ("Mon 2026-03-02 10:00:00", "Mon 2026-03-02 10:00:01", 1, 0),
        ("Mon 2026-03-02 12:00:00", "Mon 2026-03-02 13:30:00", 0, 0),
        ("Mon 2026-03-02 10:00:00", "Tue 2026-03-03 00:00:00", 6 * 3600, 0),  # 24:00 of Monday
        ("Mon 2026-03-02 10:00:00", "Tue 2026-03-03 00:00:01", 6 * 3600, 1),
        ("Mon 2026-03-02 00:00:00", "Tue 2026-03-03 00:00:00", 7 * 3600, 1),  # from midnight to midnight
        ("Fri 2026-03-06 17:30:00", "Mon 2026-03-09 09:00:00", 0, 1),
        ("Fri 2026-03-06 17:30:00", "Sun 2026-03-08 23:59:59", 0, 0),
        ("Sat 2026-02-14 09:00:00", "Tue 2026-02-24 09:00:00", 7 * 3600, 1),
        ("Mon 2026-03-09 17:30:00", "Fri 2026-03-06 17:30:00", -7 * 3600, -1),
        ("Sat 2026-03-07 10:00:00", "Fri 2026-03-06 17:30:00", 0, -1),
        ("Mon 2026-03-02 10:00:01", "Mon 2026-03-02 10:00:00", -1, 0),
    ],
)
def test_the_working_time_between_two_moments(start: str, end: str, seconds: int, count: int) -> None:
    assert elapsed(CN, on(CN, start), on(CN, end)) == Elapsed(seconds, count)


def test_parts_of_a_second_are_dropped_towards_zero() -> None:
    start = on(CN, "Mon 2026-03-02 10:00:00")
    assert elapsed(CN, start, start + timedelta(seconds=1.9)) == Elapsed(1, 0)
    assert elapsed(CN, start + timedelta(seconds=1.9), start) == Elapsed(-1, 0)


# -- shifting a deadline -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "at", "limit", "moved"),
    [
        (CN, "Mon 2026-03-09 17:30:00", days(-1, "same_time"), "Fri 2026-03-06 17:30:00"),
        (CN, "Mon 2026-03-09 17:30:00", days(-2, "same_time"), "Thu 2026-03-05 17:30:00"),
        (CN, "Tue 2026-02-24 17:30:00", days(-1, "same_time"), "Sat 2026-02-14 17:30:00"),
        (CN, "Sat 2026-03-07 00:00:00", days(-1, "same_time"), "Fri 2026-03-06 00:00:00"),  # Friday's 24:00
        (CN, "Sat 2026-03-07 00:00:00", days(1, "same_time"), "Tue 2026-03-10 00:00:00"),  # Monday's 24:00
        (CN, "Mon 2026-03-09 17:30:00", days(1, "close"), "Tue 2026-03-10 17:30:00"),
        (CN, "Mon 2026-03-09 17:30:00", days(0, "same_time"), "Mon 2026-03-09 17:30:00"),
        (CN, "Mon 2026-03-09 17:30:00", hours(-7), "Mon 2026-03-09 09:00:00"),
        (CN, "Mon 2026-03-09 17:30:00", Limit("hours", -24), "Sun 2026-03-08 17:30:00"),
        (CN, "Sun 2026-03-08 10:00:00", days(-1, "same_time"), "Fri 2026-03-06 10:00:00"),
        (AROUND_THE_CLOCK, "Tue 2026-03-10 00:00:00", days(-1, "same_time"), "Sat 2026-03-07 00:00:00"),
        (NIGHTS, "Tue 2026-03-10 06:00:00", days(-1, "same_time"), "Sat 2026-03-07 06:00:00"),
    ],
)
def test_a_rung_stands_whole_working_days_from_its_deadline(
    calendar: WorkCalendar, at: str, limit: Limit, moved: str
) -> None:
    assert shown(calendar, shift(calendar, on(calendar, at), limit)) == moved


# -- what is refused, and how soon -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "pointers"),
    [
        ({"unit": "weeks", "amount": 1}, ["/unit"]),
        ({"unit": "working_days", "amount": 10**9}, ["/amount"]),
        ({"unit": "working_days", "amount": -(10**400)}, ["/amount"]),
        ({"unit": "working_days", "amount": 1.5}, ["/amount"]),
        ({"unit": "hours", "amount": float("nan")}, ["/amount"]),
        ({"unit": "hours", "amount": float("inf")}, ["/amount"]),
        ({"unit": "hours", "amount": Decimal("NaN")}, ["/amount"]),
        ({"unit": "hours", "amount": True}, ["/amount"]),
        ({"unit": "hours", "amount": "2"}, ["/amount"]),
        ({"unit": "days", "amount": 1, "ends": "noon"}, ["/ends"]),
        ({"unit": "days", "amount": 1, "count_first_day": 1}, ["/count_first_day"]),
        ({"unit": "days", "amount": 1, "colour": "red"}, ["/colour"]),
        ({}, ["/unit", "/amount"]),
        ({"unit": ["days"], "amount": {}}, ["/unit", "/amount"]),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_with_its_place(spec: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        read_limit(spec)
    assert [problem.pointer for problem in refused.value.problems] == pointers


def test_a_policy_takes_no_limit_of_zero_or_less() -> None:
    spec = {"unit": "working_days", "amount": -1}
    assert read_limit(spec).amount == -1
    for amount in (-1, 0):
        with pytest.raises(Invalid, match="/limits/complete/amount"):
            read_policy({"code": "x", "limits": {"complete": {**spec, "amount": amount}}})


def test_a_limit_is_written_as_it_is_read() -> None:
    for limit in (days(5), days(-2, "same_time", True), hours(0.5), Limit("hours", 2), Limit("days", 3, "midnight")):
        assert read_limit(limit.to_spec()) == limit
    assert Limit("working_days", 2.0) == days(2)


ONCE = read_calendar({"days": {"2026-03-03": [["09:00", "10:00"]]}})
A_MINUTE_A_WEEK = read_calendar({"week": {"mon": [["09:00", "09:01"]]}})
NAIVE = datetime.fromisoformat("2026-03-02")
LONG = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("calendar", "start", "limit", "pointer"),
    [
        (CN, datetime(9999, 12, 31, tzinfo=UTC), days(1), "/start"),
        (CN, datetime(1, 1, 1, tzinfo=UTC), days(-1), "/start"),
        (CN, NAIVE, days(1), "/start"),
        (CN, datetime(2999, 12, 31, 12, tzinfo=UTC), Limit("hours", 24), "/limit/amount"),
        (CN, datetime(2999, 12, 30, tzinfo=UTC), days(500), "/limit/amount"),
        (CN, datetime(1900, 1, 3, tzinfo=UTC), days(-500), "/limit/amount"),
        (ONCE, LONG, days(2), "/limit/amount"),
        (ONCE, LONG, hours(1.01), "/limit/amount"),
        (ONCE, LONG, hours(-1), "/limit/amount"),
        (A_MINUTE_A_WEEK, LONG, hours(200_000), "/limit/amount"),
        (A_MINUTE_A_WEEK, LONG, days(20_000), "/limit/amount"),
    ],
)
def test_what_never_ends_is_refused_at_once(
    calendar: WorkCalendar, start: datetime, limit: Limit, pointer: str
) -> None:
    begun = time.process_time()
    with pytest.raises(Invalid) as refused:
        due(calendar, start, limit)
    assert time.process_time() - begun < 1
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_sparse_years_are_searched_only_up_to_their_working_hour() -> None:
    assert ends(ONCE, "Mon 2026-03-02 10:00:00", hours(0.5)) == "Tue 2026-03-03 09:30:00"
    assert ends(ONCE, "Wed 2026-03-04 10:00:00", hours(-1)) == "Tue 2026-03-03 09:00:00"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"suspensions": [(LONG, LONG - timedelta(seconds=1))]}, "/suspensions/0"),
        ({"suspensions": [(LONG, LONG), (NAIVE, LONG)]}, "/suspensions/1/0"),
        ({"suspensions": [(LONG, datetime(9999, 1, 1, tzinfo=UTC))]}, "/suspensions/0/1"),
        ({"extensions": [days(1), days(0)]}, "/extensions/1/amount"),
        ({"extensions": [days(-1)]}, "/extensions/0/amount"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_with_its_place(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        due(CN, LONG, days(1), **changes)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_a_limit_counted_back_ignores_suspension_and_extension() -> None:
    with pytest.raises(Invalid, match="/limit/amount"):
        due(CN, LONG, days(-1), extensions=[days(1)])


def test_moments_too_far_apart_are_not_measured() -> None:
    with pytest.raises(Invalid):
        elapsed(CN, datetime(1901, 1, 1, tzinfo=UTC), datetime(2901, 1, 1, tzinfo=UTC))
