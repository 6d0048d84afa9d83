"""How long a limit may be at most so that it surely ends: what a calendar holds of working time within a hundred years.

A limit that does not end within ``MAX_SPAN_YEARS`` is refused where it is computed (``app.domain.time.deadline_run``), and
with it the ticket, though its sender can do nothing about it. So it is refused here, where a policy, a ladder or a calendar is
written; and what is left to the span is room for suspensions, extensions, and a ladder's rungs.

What is counted is the least of any hundred years, whenever they begin: every dated day counts as if it lay in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.domain.time.limit import Limit
from app.domain.time.timeline import Spans
from app.domain.time.workcalendar import WorkCalendar

YEARS: Final = 100
_WEEKS: Final = 5_217
"""Whole weeks in so many years."""
_WORDS: Final = {"working_days": ("个工作日", "working days"), "working_hours": ("个工作小时", "working hours")}


@dataclass(frozen=True, slots=True)
class Reach:
    """The working days and hours that a calendar has at least in any hundred years."""

    working_days: int
    working_hours: int

    def holds(self, limit: Limit) -> bool:
        """Whether ``limit``, forward or back, surely ends; one in natural time does by its bounds."""
        return not limit.working or -self.of(limit) <= limit.amount <= self.of(limit)

    def of(self, limit: Limit) -> int:
        """What there is, in the unit of a limit in working time."""
        return self.working_days if limit.in_days else self.working_hours

    def said(self, limit: Limit) -> tuple[str, str]:
        """What there is, in words: zh, en."""
        zh, en = _WORDS[limit.unit]
        return f"{self.of(limit):,} {zh}", f"{self.of(limit):,} {en}"


def reach(calendar: WorkCalendar) -> Reach:
    """What ``calendar`` holds."""
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
