"""The bulk path says what the scalar path says, to the second."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from app.domain.time.due import Limit, due
from app.domain.time.timeline import to_us
from app.domain.time.workcalendar import WEEKDAYS, WorkCalendar
from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from app.services.deadlines.bulk_due import due_many
from app.services.rules.china_calendar import china_spec

FIVE = WEEKDAYS[:5]
CALENDARS = {
    "cn": read_calendar(china_spec(), code="cn"),
    "new_york": read_calendar(
        {"time_zone": "America/New_York", "week": {key: [["09:00", "17:00"]] for key in FIVE}, "published": [2026]}
    ),
    "round_the_clock": read_calendar(
        {"time_zone": "Australia/Lord_Howe", "week": {key: [["00:00", "24:00"]] for key in WEEKDAYS}}
    ),
    "nights": read_calendar(
        {"time_zone": "America/New_York", "week": {key: [["07:00", "08:15"], ["21:45", "05:30"]] for key in FIVE}}
    ),
    "uneven": read_calendar({"week": {"tue": [["09:00:07", "12:00"]], "sat": [["10:00", "11:11"]]}}),
}
LIMITS = [
    Limit("working_hours", 8),
    Limit("working_hours", 0.5),
    Limit("working_hours", 1.23),
    Limit("working_hours", 0),
    Limit("working_hours", -9),
    Limit("working_days", 5),
    Limit("working_days", 5, "midnight"),
    Limit("working_days", 5, "same_time"),
    Limit("working_days", 1, "close", count_first_day=True),
    Limit("working_days", 2, "same_time", count_first_day=True),
    Limit("working_days", 0),
    Limit("working_days", -3),
    Limit("working_days", -2, "same_time", count_first_day=True),
    Limit("days", 3),
    Limit("days", 3, "midnight", count_first_day=True),
    Limit("days", 30, "same_time"),
    Limit("days", -3),
    Limit("hours", 2),
]
FIRST, LAST = (int(datetime(2026, month, day, tzinfo=UTC).timestamp()) for month, day in ((2, 25), (4, 10)))


def edges(calendar: WorkCalendar, count: int) -> list[int]:
    """Starts on, just before and just after the edges of working time and the midnights, and at random."""
    line = calendar.timeline(2025, 2027)
    found = [us // 1_000_000 for us in (*line.opens, *line.closes, *line.day_start)]
    near = sorted({t + n for t in found for n in (-1, 0, 1) if FIRST <= t < LAST})
    choose = random.Random(7)
    return choose.sample(near, min(count, len(near))) + [choose.randrange(FIRST, LAST) for _ in range(count)]


def alone(calendar: WorkCalendar, start: int, limit: Limit) -> tuple[int, bool]:
    answer = due(calendar, datetime.fromtimestamp(start, UTC), limit)
    return to_us(answer.due_at) // 1_000_000, answer.provisional


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.unit} {float(limit.amount):g} {limit.ends}")
@pytest.mark.parametrize("name", CALENDARS)
def test_many_at_once_are_as_each_alone(name: str, limit: Limit) -> None:
    calendar = CALENDARS[name]
    starts = edges(calendar, 60)
    expected = [alone(calendar, start, limit) for start in starts]
    # a few are searched one by one, many are read off a table: both must agree
    for repeat in (1, 400):
        ends, provisional = due_many(calendar, np.tile(np.array(starts), repeat), limit)
        assert ends.dtype == np.int64
        assert list(zip(ends[: len(starts)].tolist(), provisional[: len(starts)].tolist(), strict=True)) == expected
        assert np.array_equal(ends, np.tile(ends[: len(starts)], repeat))


def test_microseconds_are_kept_when_asked_for() -> None:
    start = datetime(2026, 3, 2, 2, 0, 0, 123_456, tzinfo=UTC)
    limit = Limit("working_hours", 1)
    for repeat in (1, 100_000):
        ends, _ = due_many(CALENDARS["cn"], np.full(repeat, to_us(start)), limit, unit="us")
        assert set(ends.tolist()) == {to_us(start + timedelta(hours=1))}


def test_deadlines_beyond_the_published_years_are_provisional() -> None:
    starts = [int(datetime(2026, 12, day, 3, tzinfo=UTC).timestamp()) for day in (1, 30, 31)]
    _, provisional = due_many(CALENDARS["cn"], starts, Limit("working_days", 1))
    assert provisional.tolist() == [False, False, True]
    _, provisional = due_many(CALENDARS["cn"], np.repeat(starts, 50_000), Limit("working_days", 1))
    assert np.array_equal(provisional, np.repeat([False, False, True], 50_000))


def test_the_shape_of_the_starts_is_kept() -> None:
    empty, flags = due_many(CALENDARS["cn"], [], Limit("working_days", 1))
    assert (empty.size, flags.size) == (0, 0)
    square = np.full((2, 3), FIRST)
    ends, flags = due_many(CALENDARS["cn"], square, Limit("hours", 1))
    assert ends.shape == flags.shape == (2, 3)
    assert ends[0, 0] == FIRST + 3600


@pytest.mark.parametrize(
    ("starts", "limit"),
    [
        ([FIRST, 253_402_300_799], Limit("working_days", 1)),
        ([-5_000_000_000], Limit("hours", 1)),
        ([32_503_679_000], Limit("hours", 100)),
        ([FIRST], Limit("working_hours", 200_000)),
        ([-2_000_000_000, 30_000_000_000], Limit("working_days", 1)),
    ],
)
def test_what_cannot_be_computed_is_refused(starts: Any, limit: Limit) -> None:
    with pytest.raises(Invalid):
        due_many(CALENDARS["uneven"], starts, limit)
