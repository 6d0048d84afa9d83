"""When a limit ends: forward and backward, with suspensions and extensions; and the working time between two moments.

``docs/deadlines.md`` defines the semantics in tables. In one paragraph: a limit in working days does not count the day of
receipt and ends at the close of business of the n-th working day (Civil Code, articles 201 and 203); a limit in working
hours ends at the first moment by which they are used up; natural days and hours pass on every day. Extensions are applied
first, with the same form of end. Then the suspended working time (real time, for natural limits) is given back to the
microsecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.time.deadline_run import (
    DeadlineRun,
    Suspensions,
    check_us,
    course,
    end_of,
    ending_day,
    moment_us,
    nth_day,
    run_hours,
    unrolled,
)
from app.domain.time.limit import ENDS, UNITS, Ends, Limit, LimitUnit
from app.domain.time.timeline import SECOND, Timeline, from_us
from app.domain.time.workcalendar import WorkCalendar

__all__ = ["ENDS", "UNITS", "Due", "Elapsed", "Ends", "Limit", "LimitUnit", "Suspensions", "due", "elapsed", "shift"]


@dataclass(frozen=True, slots=True)
class Due:
    """When a limit ends. ``provisional``: it depends on a day of an unpublished year. ``stopped``: an open suspension
    stops the clock, and ``due_at`` assumes that the suspension ends now (see ``due``)."""

    due_at: datetime
    provisional: bool
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Working time between two moments; negative where the second is the earlier."""

    working_seconds: int
    working_days: int


def due(
    calendar: WorkCalendar,
    start: datetime,
    limit: Limit,
    *,
    suspensions: Suspensions = (),
    extensions: Sequence[Limit] = (),
    as_of: datetime | None = None,
) -> Due:
    """Compute when ``limit``, begun at ``start`` (aware), is due, in UTC.

    ``suspensions`` are (from, to); one with ``to`` None is open: it counts up to ``as_of`` if given, else not at all,
    and the result is marked ``stopped``. Raises ``Invalid`` (pointers ``/start``, ``/limit/…``, ``/suspensions/n``,
    ``/extensions/n``) within milliseconds for input without a result.
    """
    if limit.micros > 0 and limit.unit == "working_hours" and not suspensions and not extensions:
        # shortcut for the most frequent case, at half the cost
        return _hours_due(calendar, moment_us(start, "/start"), limit.micros)
    run = course(calendar, start, limit, suspensions=suspensions, extensions=extensions, as_of=as_of)
    provisional = run.line is not None and run.line.saw_assumed(run.low, run.high)
    return Due(from_us(run.end), provisional, run.stopped)


def elapsed(calendar: WorkCalendar, start: datetime, end: datetime) -> Elapsed:
    """The working time from ``start`` to ``end``: seconds (whole ones, towards zero), and working days.

    Working days are those after the one ``start`` belongs to, up to and including the one ``end`` belongs to, in the
    direction of travel, so that measuring undoes adding.
    """
    a, b = moment_us(start, "/start"), moment_us(end, "/end")
    return unrolled(calendar, min(a, b), max(a, b), lambda line: _measure(line, a, b))


def shift(calendar: WorkCalendar, at: datetime, limit: Limit) -> datetime:
    """Move ``at``, the end of a deadline, by ``limit`` (negative: earlier), in UTC.

    Counting starts from the day that ``at`` ends: 00:00 is 24:00 of the day before. With ``same_time`` the clock
    reading is preserved, so one working day before the close of a day is the close of the working day before.
    """
    t = moment_us(at, "/at")
    if limit.unit == "hours":
        check_us(t + limit.micros)
        return from_us(t + limit.micros)
    return from_us(unrolled(calendar, t, t, lambda line: _shifted(line, t, limit), limit.amount >= 0))


def _hours_due(calendar: WorkCalendar, start: int, micros: int) -> Due:
    def work(line: Timeline) -> Due:
        end, first, last = line.forward(start, micros)
        return Due(from_us(end), line.assumed[last + 1] > line.assumed[first])

    return unrolled(calendar, start, start, work, True)


def _shifted(line: Timeline, t: int, limit: Limit) -> int:
    if limit.unit == "working_hours":
        run = DeadlineRun(line, limit, t)
        run_hours(line, run, limit.micros)
        return run.end
    if limit.amount == 0:
        return t
    day = ending_day(line, t)
    target = nth_day(line, day, int(limit.amount), limit.unit == "working_days")
    return end_of(line, target, limit.ends, line.reading(day, t))


def _measure(line: Timeline, a: int, b: int) -> Elapsed:
    micros = line.done(b) - line.done(a)
    seconds = micros // SECOND if micros >= 0 else -(-micros // SECOND)
    if b >= a:
        first, last = line.day_from(a), _measured_day(line, a, b)
        return Elapsed(seconds, max(0, line.worked[last + 1] - line.worked[first + 1]))
    first, last = line.day_until(a), _measured_day(line, a, b)
    return Elapsed(seconds, min(0, line.worked[last] - line.worked[first]))


def _measured_day(line: Timeline, a: int, b: int) -> int:
    """The day that ``b`` ends. 00:00 is 24:00 of the day before, unless ``a`` is at 00:00 too: then whole days are
    measured, from midnight to midnight."""
    day = line.day_until(b)
    if line.day_start[day] != b:
        return day
    return day if line.day_start[line.date_of(a)] == a else day - 1
