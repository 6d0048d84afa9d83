"""The differences between two versions of a calendar, and the deadlines they can affect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from app.domain.time.workcalendar import WorkCalendar

MARGIN: Final = timedelta(days=3)
"""Around a changed date: zones, nights that belong to the day before, an end that keeps its form over a day off."""


@dataclass(frozen=True, slots=True)
class CalendarChanges:
    """The differences between two versions of a calendar: dates, years whose publication changed, or everything."""

    dates: tuple[date, ...]
    years: frozenset[int]
    whole: bool

    @property
    def none(self) -> bool:
        """Whether no deadline can be affected."""
        return not (self.dates or self.years or self.whole)

    def window(self) -> tuple[datetime, datetime] | None:
        """The moments between which a deadline must at least partly lie to be affected; None: any may be."""
        if self.whole:
            return None
        ends = [*self.dates, *(date(y, 1, 1) for y in self.years), *(date(y, 12, 31) for y in self.years)]
        low, high = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (min(ends), max(ends)))
        return low - MARGIN, high + MARGIN

    def touch(self, calendar: WorkCalendar, start: datetime, ends: Iterable[datetime]) -> bool:
        """Whether the period counted by a deadline, from its ``start`` to the last of its ``ends`` (its own and those of
        its suspensions), covers a change."""
        if self.whole:
            return True
        first = calendar.local(start).date() - timedelta(days=1)
        last = calendar.local(max(ends)).date() + timedelta(days=1)
        return any(first <= day <= last for day in self.dates) or any(
            first.year <= year <= last.year for year in self.years
        )


def changes_between(old: WorkCalendar, new: WorkCalendar) -> CalendarChanges:
    """Compare two versions of a calendar. A year that becomes published changes all its days."""
    whole = old.week != new.week or old.time_zone != new.time_zone
    dates = tuple(sorted(day for day in {*old.days, *new.days} if old.hours(day) != new.hours(day)))
    if old.published is None and new.published is None:
        return CalendarChanges(dates, frozenset(), whole)
    if old.published is None or new.published is None:
        return CalendarChanges(dates, frozenset(), True)
    return CalendarChanges(dates, old.published ^ new.published, whole)
