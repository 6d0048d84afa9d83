"""The longest limit that is certain to end: the working time of a calendar within a hundred years.

A limit that does not end within ``MAX_SPAN_YEARS`` fails when it is computed (``app.domain.time.deadline_run``), and the
ticket with it, although its sender cannot change that. So it is rejected here, when a policy, a ladder or a calendar is
written; the rest of the span is room for suspensions, extensions and a ladder's rungs.

The result is the minimum over any hundred years: every dated day counts as if it were within them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.domain.time.limit import Limit
from app.domain.time.timeline import Spans
from app.domain.time.workcalendar import WorkCalendar

YEARS: Final = 100
_WEEKS: Final = 5_217
"""Whole weeks in ``YEARS``."""
_WORDS: Final = {"working_days": ("个工作日", "working days"), "working_hours": ("个工作小时", "working hours")}


@dataclass(frozen=True, slots=True)
class Reach:
    """The minimum of working days and hours of a calendar in any hundred years."""

    working_days: int
    working_hours: int

    def holds(self, limit: Limit) -> bool:
        """Whether ``limit``, forward or backward, is certain to end; one in natural time always is, by its bounds."""
        return not limit.working or -self.of(limit) <= limit.amount <= self.of(limit)

    def of(self, limit: Limit) -> int:
        """The amount available, in the unit of a limit in working time."""
        return self.working_days if limit.in_days else self.working_hours

    def words(self, limit: Limit) -> tuple[str, str]:
        """The amount available, in words: zh, en."""
        zh, en = _WORDS[limit.unit]
        return f"{self.of(limit):,} {zh}", f"{self.of(limit):,} {en}"


def reach(calendar: WorkCalendar) -> Reach:
    """Compute the reach of ``calendar``."""
    weekly = [_seconds(spans) for spans in calendar.week]
    days, seconds = _WEEKS * sum(map(bool, weekly)), _WEEKS * sum(weekly)
    lost_days = lost_seconds = 0
    for day, spans in calendar.days.items():
        usual, dated = weekly[day.weekday()], _seconds(spans)
        lost_days += bool(usual) and not dated
        lost_seconds += max(0, usual - dated)
    return Reach(max(0, days - lost_days), max(0, seconds - lost_seconds) // 3600)


def _seconds(spans: Spans) -> int:
    return sum(end - start for start, end in spans)
