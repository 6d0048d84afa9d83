"""Periods: the day, week, month or range that a report is about, half-open in local time.

| kind                   | key                      | covers                                          |
|------------------------|--------------------------|-------------------------------------------------|
| ``daily``              | ``2024-03-15``           | one local day                                   |
| ``weekly``             | ``2024-W11``             | an ISO week, Monday first                       |
| ``monthly``            | ``2024-03``              | a month                                         |
| ``clear-out``          | ``2024-03``              | a month; the list of what was open at its end   |
| ``range``              | ``2024-03-01..2024-03-15`` | the days named, both included                 |

A period is a pair of dates and a zone. Its moments are worked out from the dates, so a day on which the clocks change
has 23, 24.5 or 25 hours, and comparisons are made in UTC: Python compares two times of one zone by their wall clocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.errors import Invalid

KINDS = ("daily", "weekly", "monthly", "clear-out", "range")
SERIES_LENGTH = {"daily": 31, "weekly": 12, "monthly": 13, "clear-out": 13, "range": 31}
"""How many periods a series holds, the last one included; a range is followed day by day (metrics.md)."""

_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_EXAMPLE = {
    "daily": "2024-03-15",
    "weekly": "2024-W11",
    "monthly": "2024-03",
    "clear-out": "2024-03",
    "range": "2024-03-01..2024-03-15",
}
_SHAPE = {
    "daily": re.compile(r"(\d{4}-\d{2}-\d{2})", re.ASCII),
    "weekly": re.compile(r"(\d{4})-W(\d{2})", re.ASCII),
    "monthly": re.compile(r"(\d{4})-(\d{2})", re.ASCII),
    "clear-out": re.compile(r"(\d{4})-(\d{2})", re.ASCII),
    "range": re.compile(r"(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})", re.ASCII),
}


@dataclass(frozen=True, slots=True)
class Period:
    """One period: local dates ``first`` (included) to ``until`` (not included), in the zone named ``zone``."""

    kind: str
    key: str
    first: date
    until: date
    zone: str

    @property
    def start(self) -> datetime:
        """The first moment, in its own zone."""
        return _day_begins(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after it, in its own zone."""
        return _day_begins(self.until, self.zone)

    @property
    def days(self) -> int:
        """The number of local days."""
        return (self.until - self.first).days

    def previous(self) -> Period:
        """The period of the same kind just before (环比); for a range, as many days, ending where this one begins."""
        if self.kind == "range":
            return _range(self.first - timedelta(days=self.days), self.first, self.zone)
        return _holding(self.kind, self.first - timedelta(days=1), self.zone)

    def last_year(self) -> Period:
        """The same period one year before (同比).

        29 February corresponds to 28 February, and week 53 to the last week of a year with only 52.
        """
        if self.kind == "daily":
            return _holding("daily", _year_before(self.first), self.zone)
        if self.kind == "weekly":
            year, week, _ = self.first.isocalendar()
            return _week(year - 1, min(week, _weeks_in(year - 1)), self.zone)
        if self.kind == "range":
            last = _year_before(self.until - timedelta(days=1))
            return _range(_year_before(self.first), last + timedelta(days=1), self.zone)
        return _month(self.kind, self.first.year - 1, self.first.month, self.zone)

    def series(self) -> list[Period]:
        """The periods of a series, oldest first, ending with this one (for a range: with its last day)."""
        here = _holding("daily", self.until - timedelta(days=1), self.zone) if self.kind == "range" else self
        found = [here]
        while len(found) < SERIES_LENGTH[self.kind]:
            found.append(found[-1].previous())
        return found[::-1]


def parse_period(kind: str, text: str, zone: str) -> Period:
    """Parse ``text`` as the period of a report of ``kind``, in the IANA zone ``zone``.

    Raises Invalid at ``/kind``, ``/period`` or ``/zone`` with an example of a valid value.
    """
    if kind not in KINDS:
        raise Invalid.at(
            "/kind",
            f"没有“{kind}”这种报表；可用：{'、'.join(KINDS)}",
            f"no report kind {kind!r}; use one of {', '.join(KINDS)}",
        )
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid.at(
            "/zone",
            f"没有“{zone}”这个时区，应如 Asia/Shanghai",
            f"unknown time zone {zone!r}; use a name like Asia/Shanghai",
        ) from None
    match = _SHAPE[kind].fullmatch(text)
    if match is None:
        raise _bad(kind, text, "", "")
    try:
        if kind == "weekly":
            period = _week(int(match[1]), int(match[2]), zone)
        elif kind == "range":
            period = _range(date.fromisoformat(match[1]), date.fromisoformat(match[2]) + timedelta(days=1), zone)
        elif kind == "daily":
            period = _holding("daily", date.fromisoformat(text), zone)
        else:
            period = _month(kind, int(match[1]), int(match[2]), zone)
    except (ValueError, OverflowError):
        raise _bad(kind, text, "，日历上没有这一期", ", and the calendar has no such period") from None
    if period.days < 1:
        raise _bad(kind, text, "，止日在起日之前", ", and it ends before it begins")
    if not _FIRST_YEAR <= period.first.year <= period.until.year <= _LAST_YEAR:
        years = f"{_FIRST_YEAR}–{_LAST_YEAR}"
        raise _bad(kind, text, f"，年份应在 {years} 之内", f", and years go from {years}")
    return period


def last_ended(kind: str, now: datetime, zone: str) -> Period:
    """Return the latest period of ``kind`` (not ``range``) that has ended at ``now``: the one a scheduled report covers."""
    if kind not in KINDS or kind == "range":
        raise Invalid.at("/kind", f"“{kind}”不能定期生成", f"a {kind!r} report cannot be scheduled")
    return _holding(kind, now.astimezone(ZoneInfo(zone)).date(), zone).previous()


def moment_at_same_age(other: Period, this: Period, as_of: datetime) -> datetime:
    """Return the moment at which ``other`` was as old as ``this`` is at ``as_of``, in UTC.

    The report of a month made a minute after its end is compared with the previous month as known a minute after *its*
    end, which is also what that month's own report stated; otherwise the older period, having had more time to complete
    its tickets, would always look better. While ``this`` is still running, ``other`` is cut at the same elapsed time.
    """
    at, start, end = (moment.astimezone(UTC) for moment in (as_of, this.start, this.end))
    if at >= end:
        return other.end.astimezone(UTC) + (at - end)
    return min(other.start.astimezone(UTC) + (at - start), other.end.astimezone(UTC))


def _bad(kind: str, text: str, zh: str, en: str) -> Invalid:
    example = _EXAMPLE[kind]
    return Invalid.at(
        "/period",
        f"“{text}”不是 {kind} 报表的期间{zh}；应如 {example}",
        f"{text!r} is not a period of a {kind} report{en}; use e.g. {example}",
    )


def _holding(kind: str, day: date, zone: str) -> Period:
    """Return the period of ``kind`` that contains ``day``."""
    if kind == "daily":
        return Period(kind, day.isoformat(), day, day + timedelta(days=1), zone)
    if kind == "weekly":
        year, week, _ = day.isocalendar()
        return _week(year, week, zone)
    return _month(kind, day.year, day.month, zone)


def _week(year: int, week: int, zone: str) -> Period:
    monday = date.fromisocalendar(year, week, 1)
    return Period("weekly", f"{year:04d}-W{week:02d}", monday, monday + timedelta(days=7), zone)


def _month(kind: str, year: int, month: int, zone: str) -> Period:
    first = date(year, month, 1)
    until = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
    return Period(kind, f"{year:04d}-{month:02d}", first, until, zone)


def _range(first: date, until: date, zone: str) -> Period:
    return Period("range", f"{first.isoformat()}..{(until - timedelta(days=1)).isoformat()}", first, until, zone)


def _weeks_in(year: int) -> int:
    """Return 52 or 53: 28 December is always in a year's last ISO week."""
    return date(year, 12, 28).isocalendar().week


def _year_before(day: date) -> date:
    leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - 1, day=28 if leap_day else day.day)


def _day_begins(day: date, zone: str) -> datetime:
    """Return the first moment of a local day, also where clocks go forward at midnight and 00:00 does not exist."""
    tz = ZoneInfo(zone)
    return datetime.combine(day, time.min, tzinfo=tz).astimezone(UTC).astimezone(tz)
