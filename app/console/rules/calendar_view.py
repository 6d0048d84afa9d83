"""A calendar's year as twelve small months, and the parsing and formatting of a day's hours."""

from __future__ import annotations

import calendar as months
import re
from dataclasses import dataclass
from datetime import date

from app.domain.time.timeline import Spans
from app.domain.time.workcalendar import WorkCalendar, clock_text
from app.errors import Invalid
from app.schemas.calendar_document import read_spans

_SPAN = re.compile(r"(\d{1,2}:\d{2})\s*(?:-|–|—|~|至)\s*(\d{1,2}:\d{2})")
_BETWEEN = " \t,;，；、"


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """One day of the page. ``kind``: workday, weekend, holiday, makeup, half (fewer hours than its weekday's) or special."""

    date: date
    kind: str
    name: str
    hours: str
    today: bool


@dataclass(frozen=True, slots=True)
class CalendarMonth:
    """One month: its weeks from Monday, None for days of another month, and its number of working days."""

    number: int
    weeks: tuple[tuple[CalendarDay | None, ...], ...]
    working: int


def year_of(found: WorkCalendar, year: int, today: date) -> list[CalendarMonth]:
    """Return the twelve months of ``year``."""
    views = []
    for number in range(1, 13):
        weeks = tuple(
            tuple(_day(found, day, today) if day.month == number else None for day in week)
            for week in months.Calendar().monthdatescalendar(year, number)
        )
        working = sum(found.is_working_day(day.date) for week in weeks for day in week if day)
        views.append(CalendarMonth(number, weeks, working))
    return views


def _day(found: WorkCalendar, day: date, today: date) -> CalendarDay:
    kind, name = found.kind_of_day(day)
    shown: str = kind
    if kind == "special" and _length(found.hours(day)) < _length(found.week[day.weekday()]):
        shown = "half"
    return CalendarDay(day, shown, name, hours_text(found.hours(day)), day == today)


def _length(spans: Spans) -> int:
    return sum(b - a for a, b in spans)


def hours_text(spans: Spans) -> str:
    """Format hours as ``09:00–12:00 13:30–17:30``."""
    return " ".join(f"{clock_text(a)}–{clock_text(b)}" for a, b in spans)


def read_hours(text: str) -> Spans:
    """Parse hours such as ``9:00-12:00 13:30-17:30``. Raises Invalid."""
    pairs = [[one.rjust(5, "0") for one in pair] for pair in _SPAN.findall(text)]
    if not pairs or _SPAN.sub("", text).strip(_BETWEEN):
        raise Invalid.at("/hours", "工时写作 09:00-12:00 13:30-17:30", "hours are written 09:00-12:00 13:30-17:30")
    return read_spans(pairs)
