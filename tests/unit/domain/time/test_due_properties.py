"""What holds of every limit: held against a count by hand, and against the laws that adding and measuring obey."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from app.domain.time.due import Ends, Limit, due, elapsed, shift
from app.domain.time.receipt import receipt
from app.domain.time.workcalendar import WEEKDAYS, WorkCalendar
from app.schemas.calendar_document import read_calendar


def examples(n: int) -> settings:
    """``n`` examples in a usual run; ``THOROUGH=100 pytest …`` takes a hundred times as many."""
    return settings(max_examples=n * int(os.environ.get("THOROUGH", "1")), deadline=None)


TICK = timedelta(minutes=5)
FIRST, LAST = datetime(2026, 1, 20, tzinfo=UTC), datetime(2026, 5, 10, tzinfo=UTC)
"""Starts; clocks change in New York on 8 March and on Lord Howe on 5 April."""

DAY_SHAPES: list[list[list[str]]] = [
    [["09:00", "12:00"], ["13:30", "17:30"]],
    [["08:30", "11:45"]],
    [["00:00", "24:00"]],
    [["10:00", "10:05"], ["16:00", "24:00"]],
    [],
]
NIGHT_SHAPES: list[list[list[str]]] = [[["22:00", "06:00"]], [["08:00", "09:00"], ["21:30", "04:30"]], []]


@st.composite
def calendars(draw: st.DrawFn, shapes: list[list[list[str]]] | None = None) -> WorkCalendar:
    """A calendar of one family of hours, in one of four zones, with some dated days off and make-up days."""
    family = shapes or draw(st.sampled_from([DAY_SHAPES, NIGHT_SHAPES]))
    week = {name: draw(st.sampled_from(family)) for name in WEEKDAYS}
    week[draw(st.sampled_from(WEEKDAYS))] = family[0]
    dated = draw(st.dictionaries(st.dates(date(2026, 1, 25), date(2026, 5, 20)), st.sampled_from(family), max_size=12))
    zone = draw(st.sampled_from(["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "UTC"]))
    return read_calendar(
        {"time_zone": zone, "week": week, "days": {day.isoformat(): hours for day, hours in dated.items()}}
    )


OFFICE = read_calendar(
    {
        "week": dict.fromkeys(WEEKDAYS[:5], DAY_SHAPES[0]),
        "days": {f"2026-02-{day}": [] for day in range(15, 24)}
        | {"2026-02-14": DAY_SHAPES[0], "2026-02-28": [["09:00", "12:00"]]},
    }
)
ENDS: list[Ends] = ["close", "midnight", "same_time"]

seconds = st.integers(0, int((LAST - FIRST).total_seconds()))
starts = seconds.map(lambda n: FIRST + timedelta(seconds=n))
ticks = st.integers(0, int((LAST - FIRST) / TICK)).map(lambda n: FIRST + n * TICK)
hour_seconds = st.integers(1, 60 * 3600)
day_counts = st.integers(1, 15)


def in_hours(n: int, unit: Any = "working_hours") -> Limit:
    """A limit of ``n`` seconds."""
    from_hours = n / 3600
    limit = Limit(unit, from_hours)
    assert limit.micros == n * 1_000_000
    return limit


# -- counted by hand ---------------------------------------------------------------------------------------------------


@cache
def working_tick(calendar: WorkCalendar, tick: datetime) -> bool:
    """Whether the five minutes from ``tick`` are working time, by reading the clock and the calendar's hours."""
    local = tick.astimezone(calendar.zone)
    second = local.hour * 3600 + local.minute * 60
    today, before = calendar.hours(local.date()), calendar.hours(local.date() - timedelta(days=1))
    return any(a <= second < b for a, b in today) or any(a <= second + 86_400 < b for a, b in before)


@examples(15)
@given(calendars(), ticks, st.integers(1, 300))
def test_working_hours_are_those_that_a_clock_watcher_counts(calendar: WorkCalendar, start: datetime, n: int) -> None:
    now, left = start, n
    while left:
        left -= working_tick(calendar, now)
        now += TICK
        assume(now < start + timedelta(days=60))
    assert due(calendar, start, in_hours(n * 300)).due_at == now


@examples(15)
@given(calendars(), ticks, st.integers(1, 300))
def test_working_hours_counted_back_match_a_naive_count(calendar: WorkCalendar, start: datetime, n: int) -> None:
    now, left = start, n
    while left:
        now -= TICK
        left -= working_tick(calendar, now)
        assume(now > start - timedelta(days=60))
    assert due(calendar, start, in_hours(-n * 300)).due_at == now


@examples(25)
@given(calendars(DAY_SHAPES), starts, day_counts)
def test_working_days_are_those_that_a_wall_calendar_counts(calendar: WorkCalendar, start: datetime, n: int) -> None:
    day = start.astimezone(calendar.zone).date()
    for _ in range(n):
        day += timedelta(days=1)
        while not calendar.hours(day):
            day += timedelta(days=1)
    minutes, wall = calendar.hours(day)[-1][1] // 60, datetime(day.year, day.month, day.day, tzinfo=calendar.zone)
    close = (wall + timedelta(minutes=minutes)).astimezone(UTC)
    assert due(calendar, start, Limit("working_days", n)).due_at == close
    midnight = (wall + timedelta(days=1)).astimezone(UTC)
    assert due(calendar, start, Limit("working_days", n, "midnight")).due_at == midnight


# -- adding and measuring ----------------------------------------------------------------------------------------------


@examples(37)
@given(calendars(), starts, hour_seconds, st.sampled_from([1, -1]))
def test_measuring_undoes_adding_of_hours(calendar: WorkCalendar, start: datetime, n: int, sign: int) -> None:
    end = due(calendar, start, in_hours(sign * n)).due_at
    assert elapsed(calendar, start, end).working_seconds == sign * n


@examples(37)
@given(calendars(), starts, day_counts, st.sampled_from([1, -1]))
@example(OFFICE, datetime(2026, 2, 7, 16, tzinfo=UTC), 3, -1)
def test_measuring_undoes_adding_of_days(calendar: WorkCalendar, start: datetime, n: int, sign: int) -> None:
    end = due(calendar, start, Limit("working_days", sign * n)).due_at
    assert elapsed(calendar, start, end).working_days == sign * n


@examples(25)
@given(calendars(DAY_SHAPES[:2]), starts, day_counts, st.sampled_from(["midnight", "same_time"]))
def test_measuring_undoes_adding_whatever_the_form_of_the_end(
    calendar: WorkCalendar, start: datetime, n: int, ends: Ends
) -> None:
    # A start at 00:00 and an end at 24:00 look like whole days from midnight to midnight: told in docs/deadlines.md.
    local = start.astimezone(calendar.zone)
    assume(ends == "same_time" or (local.hour, local.minute, local.second) != (0, 0, 0))
    end = due(calendar, start, Limit("working_days", n, ends)).due_at
    assert elapsed(calendar, start, end).working_days == n


@examples(25)
@given(calendars(), starts, starts, starts)
def test_working_seconds_add_up_over_any_three_moments(
    calendar: WorkCalendar, a: datetime, b: datetime, c: datetime
) -> None:
    def between(x: datetime, y: datetime) -> int:
        return elapsed(calendar, x, y).working_seconds

    assert between(a, b) + between(b, c) == between(a, c)
    assert between(a, b) == -between(b, a)


@examples(25)
@given(calendars(), starts, st.integers(0, 40 * 3600), st.integers(0, 40 * 3600))
def test_hours_added_in_two_parts_are_the_whole(calendar: WorkCalendar, start: datetime, a: int, b: int) -> None:
    whole = due(calendar, start, in_hours(a + b)).due_at
    assert due(calendar, due(calendar, start, in_hours(a)).due_at, in_hours(b)).due_at == whole
    back = due(calendar, start, in_hours(-a - b)).due_at
    if a and b:
        assert due(calendar, due(calendar, start, in_hours(-a)).due_at, in_hours(-b)).due_at == back


@examples(25)
@given(calendars(DAY_SHAPES[:2]), starts, st.integers(0, 8), st.integers(0, 8), st.sampled_from(["close", "same_time"]))
def test_days_added_in_two_parts_are_the_whole(
    calendar: WorkCalendar, start: datetime, a: int, b: int, ends: Ends
) -> None:
    assume(ends == "close" or start.astimezone(calendar.zone).hour > 3)  # not within a change of clocks
    whole = due(calendar, start, Limit("working_days", a + b, ends)).due_at
    part = due(calendar, start, Limit("working_days", a, ends)).due_at
    assert due(calendar, part, Limit("working_days", b, ends)).due_at == whole


@examples(25)
@given(calendars(), starts, day_counts, day_counts, st.sampled_from(ENDS))
def test_an_extension_is_as_if_the_limit_had_been_longer(
    calendar: WorkCalendar, start: datetime, a: int, b: int, ends: Ends
) -> None:
    whole = due(calendar, start, Limit("working_days", a + b, ends)).due_at
    assert due(calendar, start, Limit("working_days", a, ends), extensions=[Limit("working_days", b)]).due_at == whole


@examples(25)
@given(calendars(), starts, day_counts, st.integers(1, 5))
def test_a_rung_and_its_deadline_are_whole_days_apart(calendar: WorkCalendar, start: datetime, n: int, m: int) -> None:
    at = due(calendar, start, Limit("working_days", n + m)).due_at
    assert shift(calendar, at, Limit("working_days", -m)) == due(calendar, start, Limit("working_days", n)).due_at


# -- monotone ----------------------------------------------------------------------------------------------------------

limits = st.one_of(
    st.builds(in_hours, hour_seconds),
    st.builds(in_hours, hour_seconds.map(lambda n: -n)),
    st.builds(in_hours, hour_seconds, st.just("hours")),
    st.builds(Limit, st.just("working_days"), st.integers(-9, 9), st.sampled_from(ENDS), st.booleans()),
    st.builds(Limit, st.just("days"), st.integers(-9, 9), st.sampled_from(ENDS), st.booleans()),
)


@examples(75)
@given(calendars(), limits, starts, st.integers(0, 200_000))
def test_who_begins_later_is_never_due_earlier(
    calendar: WorkCalendar, limit: Limit, start: datetime, later: int
) -> None:
    after = start + timedelta(seconds=later)
    if limit.in_days and limit.ends == "same_time":
        # On days off the clock time is kept too: Saturday 20:00 is due Monday 20:00, Sunday 08:00 Monday 08:00.
        dates = [calendar.local(moment).date() for moment in (start, after)]
        assume(limit.unit == "days" or all(calendar.is_working_day(day) for day in dates))
    assert due(calendar, start, limit).due_at <= due(calendar, after, limit).due_at


@examples(37)
@given(calendars(), starts, st.integers(1, 9), st.sampled_from(ENDS), st.booleans())
def test_a_longer_limit_is_due_later(calendar: WorkCalendar, start: datetime, n: int, ends: Ends, first: bool) -> None:
    shorter = due(calendar, start, Limit("working_days", n, ends, first)).due_at
    assert shorter < due(calendar, start, Limit("working_days", n + 1, ends, first)).due_at
    assert shorter >= start


# -- suspensions -------------------------------------------------------------------------------------------------------

holds = st.lists(st.tuples(starts, st.integers(0, 5 * 86_400)), max_size=4).map(
    lambda pairs: [(a, a + timedelta(seconds=n)) for a, n in pairs]
)
forward = limits.filter(lambda limit: limit.amount > 0)


@examples(37)
@given(calendars(), starts, forward, starts)
def test_a_suspension_of_length_zero_changes_nothing(
    calendar: WorkCalendar, start: datetime, limit: Limit, at: datetime
) -> None:
    assert due(calendar, start, limit, suspensions=[(at, at)]) == due(calendar, start, limit)


@examples(50)
@given(calendars(), starts, forward, holds)
def test_what_was_suspended_is_given_back_to_the_second(
    calendar: WorkCalendar, start: datetime, limit: Limit, held: list[tuple[datetime, datetime]]
) -> None:
    base = due(calendar, start, limit).due_at
    moved = due(calendar, start, limit, suspensions=held).due_at
    told = receipt(calendar, start, limit, suspensions=held)
    if limit.working:
        assert elapsed(calendar, base, moved).working_seconds == told.body["suspended_seconds"]
        effective = [(datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in told.body["suspensions"]]
        assert sum(elapsed(calendar, a, b).working_seconds for a, b in effective) == told.body["suspended_seconds"]
    else:
        assert (moved - base).total_seconds() == told.body["suspended_seconds"]


@examples(37)
@given(calendars(), starts, forward, starts, st.integers(1, 400_000), st.integers(1, 400_000))
def test_a_suspension_cut_in_two_is_the_same_suspension(
    calendar: WorkCalendar, start: datetime, limit: Limit, a: datetime, n: int, m: int
) -> None:
    b, c = a + timedelta(seconds=n), a + timedelta(seconds=n + m)
    whole = due(calendar, start, limit, suspensions=[(a, c)])
    assert due(calendar, start, limit, suspensions=[(b, c), (a, b)]) == whole
    assert due(calendar, start, limit, suspensions=[(a, c), (a, b)]) == whole


@examples(37)
@given(calendars(), starts, forward, holds, starts, st.integers(0, 200_000))
def test_more_suspension_never_makes_a_deadline_earlier(
    calendar: WorkCalendar,
    start: datetime,
    limit: Limit,
    held: list[tuple[datetime, datetime]],
    at: datetime,
    n: int,
) -> None:
    more = [*held, (at, at + timedelta(seconds=n))]
    without = due(calendar, start, limit, suspensions=held).due_at
    assert due(calendar, start, limit, suspensions=more).due_at >= without


# -- receipts ----------------------------------------------------------------------------------------------------------


@examples(75)
@given(calendars(), starts, limits, holds, st.lists(st.integers(1, 5), max_size=2))
def test_a_receipt_adds_up_to_the_deadline(
    calendar: WorkCalendar,
    start: datetime,
    limit: Limit,
    held: list[tuple[datetime, datetime]],
    more: list[int],
) -> None:
    changes: dict[str, Any] = {}
    if limit.amount > 0:
        changes = {"suspensions": held, "extensions": [Limit("working_days", n) for n in more]}
    told = receipt(calendar, start, limit, **changes)
    answer = due(calendar, start, limit, **changes)
    assert (told.due_at, told.provisional) == (answer.due_at, answer.provisional)
    assert datetime.fromisoformat(told.lines[-1]["at"]) == answer.due_at
    assert [line["verdict"] for line in told.lines].count("started") == 1
    assert told.lines[-1]["verdict"] == "due"
    numbers = [line["count"] for line in told.lines if line["count"] is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    if limit.unit == "working_days":
        assert len(numbers) == abs(int(limit.amount)) + (sum(more) if changes else 0)
        suspended = sum(line["suspended_seconds"] for line in told.lines)
        assert suspended == sum(line["returned_seconds"] for line in told.lines) == told.body["suspended_seconds"]
    elif not limit.in_days and not more:
        assert sum(line["counted_seconds"] for line in told.lines) == limit.micros / 1_000_000
        assert sum(line["suspended_seconds"] for line in told.lines) == told.body["suspended_seconds"]
    for line in told.lines:
        if limit.working and line["verdict"] == "skipped":
            assert not calendar.is_working_day(date.fromisoformat(line["date"]))
