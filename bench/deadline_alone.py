"""A single deadline with working hours and holidays, beside businesstimedelta computing the same."""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import businesstimedelta
import pytz

from app.domain.time.due import Limit, due
from app.domain.time.workcalendar import WorkCalendar
from app.schemas.calendar_document import read_calendar
from bench.measure import Row, seconds_in_turn

ZONE = ZoneInfo("Asia/Shanghai")
PYTZ = pytz.timezone(ZONE.key)  # the reference supports no other kind of zone
HOLIDAYS = [
    date(2026, 1, 1),
    *(date(2026, 2, 16) + timedelta(days=n) for n in range(7)),
    date(2026, 5, 1),
    date(2026, 10, 1),
]  # the reference needs a next one
SPANS = [["09:00", "12:00"], ["13:30", "17:30"]]
HOURS = 20


def _calendar() -> WorkCalendar:
    week = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), SPANS) | {"sat": [], "sun": []}
    return read_calendar({"time_zone": ZONE.key, "week": week, "days": {day.isoformat(): [] for day in HOLIDAYS}})


def _reference_rules() -> Any:
    days = [0, 1, 2, 3, 4]
    holidays = dict.fromkeys(HOLIDAYS, "holiday")
    spans = [(time(9), time(12)), (time(13, 30), time(17, 30))]
    rules = [
        businesstimedelta.WorkDayRule(start_time=start, end_time=end, working_days=days, tz=PYTZ)
        for start, end in spans
    ]
    return businesstimedelta.Rules([*rules, businesstimedelta.HolidayRule(holidays, tz=PYTZ)])


def rows(scale: float) -> list[Row]:
    """Measure 20 working hours from random moments of half a year; both must agree on every one."""
    choose = random.Random(1)
    first = datetime(2026, 1, 5, tzinfo=ZONE)
    starts = [first + timedelta(minutes=choose.randrange(170 * 24 * 60)) for _ in range(int(300 * scale))]
    calendar, limit = _calendar(), Limit("working_hours", HOURS)
    span = businesstimedelta.BusinessTimeDelta(_reference_rules(), hours=HOURS)
    ours, theirs = [], []
    for start in starts:
        ours.append(due(calendar, start, limit).due_at)
        theirs.append(start + span)
    if ours != theirs:
        wrong = next((s, a, b) for s, a, b in zip(starts, ours, theirs, strict=True) if a != b)
        raise AssertionError(f"from {wrong[0]}: Duban says {wrong[1]}, businesstimedelta {wrong[2]}")
    many = 50

    def work() -> None:
        for _ in range(many):
            for start in starts:
                due(calendar, start, limit)

    def reference() -> None:
        for start in starts:
            start + span

    fast, slow = seconds_in_turn(work, reference)
    fast /= many
    return [
        Row(
            "a deadline alone, with working hours",
            f"{fast / len(starts) * 1e6:.1f} µs",
            f"businesstimedelta {slow / len(starts) * 1e6:.0f} µs",
            slow / fast,
            "≥ 50",
            "≥ 200",
        )
    ]
