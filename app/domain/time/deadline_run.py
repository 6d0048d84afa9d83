"""The run of a limit from its start through extensions and suspensions to its end: the computation behind every deadline.

Works on an unrolled calendar (``app.domain.time.timeline``), in microseconds and day indexes, by binary search in sorted
integers, bounded by ``MAX_SPAN_YEARS``. ``docs/deadlines.md`` defines the semantics in tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from app.domain.time.limit import Ends, Limit
from app.domain.time.timeline import FIRST_YEAR, LAST_YEAR, SECOND, OffTimeline, Timeline, to_us
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid

Suspensions = Sequence[tuple[datetime, datetime | None]]

MAX_SPAN_YEARS = 120
_WIDENING = (1, 3, 8, 30, MAX_SPAN_YEARS)
_YEAR_US = 31_556_952 * SECOND
_FIRST = to_us(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
_LAST = to_us(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC))

T = TypeVar("T")


@dataclass(slots=True)
class DeadlineRun:
    """The steps from a limit's start to its end, in microseconds and days of ``line``: the basis of ``due`` and the receipt.

    ``day`` is the working day (or date) the end belongs to, ``reading`` its clock reading counted from that midnight.
    """

    line: Timeline | None
    limit: Limit
    start: int
    end: int = 0
    form: Ends | None = None
    day: int = 0
    reading: int = 0
    low: int = 0
    high: int = -1
    """The first and last day examined."""
    first_counted: bool = False
    """Whether the day of the start is one of the days counted."""
    base_end: int = 0
    base_day: int = 0
    """The end, and its day, before extensions and suspensions."""
    extended_end: int = 0
    extended_day: int = 0
    """The same before suspensions."""
    suspended: tuple[tuple[int, int], ...] = ()
    """The suspensions that count, merged and cut at the start."""
    given_back: int = 0
    stopped: bool = False

    def look(self, low: int, high: int) -> None:
        """Record that the days from ``low`` to ``high`` were examined."""
        if high >= low:
            self.low, self.high = (low, high) if self.high < self.low else (min(low, self.low), max(high, self.high))


def course(
    calendar: WorkCalendar,
    start: datetime,
    limit: Limit,
    *,
    suspensions: Suspensions = (),
    extensions: Sequence[Limit] = (),
    as_of: datetime | None = None,
) -> DeadlineRun:
    """Compute the run of a limit from start to end, for ``due`` and the receipt alike. Raises ``Invalid``."""
    begin = moment_us(start, "/start")
    if not suspensions and not extensions:
        if limit.unit == "hours":
            end = begin + limit.micros
            check_us(end)
            return DeadlineRun(None, limit, begin, end, base_end=end, extended_end=end)
        return unrolled(calendar, begin, begin, lambda line: _base(line, begin, limit), limit.amount >= 0)
    holds, opened = _holds(suspensions, as_of)
    if limit.amount < 0:
        raise Invalid.at("/limit/amount", "倒数时限不能挂起或延期", "a limit counted back takes no such changes")
    for n, more in enumerate(extensions):
        if more.amount <= 0:
            raise Invalid.at(f"/extensions/{n}/amount", "延期应大于 0", "an extension must be above 0")
    last = max([begin, *(b for _, b in holds)])
    return unrolled(calendar, begin, last, lambda line: _full(line, begin, limit, holds, opened, extensions), True)


# -- the pieces, on an unrolled calendar -------------------------------------------------------------------------------


def moment_us(moment: datetime, pointer: str) -> int:
    """``moment`` in microseconds of UTC. Raises ``Invalid`` where it is naive or its year is out of range."""
    try:
        us = to_us(moment)
    except TypeError:  # raised for a naive time
        raise Invalid.at(pointer, "时间缺少时区偏移，如 +08:00", "the time has no offset, such as +08:00") from None
    if not _FIRST <= us < _LAST:
        raise Invalid.at(
            pointer,
            f"年份应在 {FIRST_YEAR}–{LAST_YEAR}，现为 {moment.year}",
            f"the year must be within {FIRST_YEAR}–{LAST_YEAR}, not {moment.year}",
        )
    return us


def check_us(us: int) -> None:
    """Raises ``Invalid`` for an end outside the supported years."""
    if not _FIRST <= us < _LAST:
        raise _never()


def _never() -> Invalid:
    return Invalid.at(
        "/limit/amount",
        f"时限在 {MAX_SPAN_YEARS} 年内或 {FIRST_YEAR}–{LAST_YEAR} 年间不会到期",
        f"the limit does not end within {MAX_SPAN_YEARS} years, or not within {FIRST_YEAR}–{LAST_YEAR}",
    )


def unrolled(
    calendar: WorkCalendar, first: int, last: int, work: Callable[[Timeline], T], forward: bool | None = None
) -> T:
    """Run ``work`` on as few years of ``calendar`` around ``first`` … ``last`` as it needs; ``forward`` is the direction
    in which to add years (None: both)."""
    low = high = 1970 + first // _YEAR_US
    if last != first:
        high = 1970 + last // _YEAR_US
        if high - low > MAX_SPAN_YEARS:
            raise _never()
    for more in _WIDENING:
        begin = max(FIRST_YEAR - 1, low - (1 if forward is True else more))
        end = min(LAST_YEAR + 1, high + (1 if forward is False else more))
        try:
            return work(calendar.timeline(begin, end))
        except OffTimeline:
            bounds = calendar.time_runs_out
            ended = (forward is True or begin < FIRST_YEAR) and (forward is False or end > LAST_YEAR)
            if ended or (bounds is not None and (begin < bounds[0] or forward is True) and end > bounds[1]):
                break
    raise _never()


def _base(line: Timeline, start: int, limit: Limit) -> DeadlineRun:
    """The run of a limit without extensions and suspensions."""
    run = DeadlineRun(line, limit, start)
    if limit.unit == "hours":
        run.end = start + limit.micros
        run.day = line.date_of(run.end)
    elif limit.unit == "working_hours":
        run_hours(line, run, limit.micros)
    elif limit.amount == 0:
        run.end = start
        run.form = "same_time"
        run.day = line.day_from(start) if limit.working else line.date_of(start)
        run.reading = line.reading(run.day, start)
    else:
        _count_days(line, run)
    run.base_end = run.extended_end = run.end
    run.base_day = run.extended_day = run.day
    return run


def run_hours(line: Timeline, run: DeadlineRun, micros: int) -> None:
    """Advance ``run`` from its start by ``micros`` of working time (backward if negative) and set its end."""
    if micros > 0:
        run.end, run.low, run.high = line.forward(run.start, micros)
        run.day = run.high
    elif micros < 0:
        run.end = line.latest(line.done(run.start) + micros)
        run.day = line.day_from(run.end)
        run.look(run.day, line.day_until(run.start))
    else:
        run.end = line.opening(run.start)
        run.day = line.day_until(run.end) if run.end == run.start else line.day_from(run.end)
        run.look(line.day_until(run.start), run.day)


def _count_days(line: Timeline, run: DeadlineRun) -> None:
    """Set the end to the n-th day after (or before) the start's day. A first day counts only if its end is still ahead."""
    limit, start, count = run.limit, run.start, int(run.limit.amount)
    back = count < 0
    working = limit.unit == "working_days"
    day = (line.day_until if back else line.day_from)(start) if working else line.date_of(start)
    reading = line.reading(day, start)
    first = False
    if limit.count_first_day and (not working or line.is_working(day)):
        end = end_of(line, day, limit.ends, reading)
        first = limit.ends == "same_time" or (end < start if back else end > start)
    target = nth_day(line, day, count, working, first)
    run.form, run.day, run.reading, run.first_counted = limit.ends, target, reading, first
    run.end = end_of(line, target, limit.ends, reading)
    if working:
        run.low, run.high = (target, day - (not first)) if back else (day + (not first), target)
    elif limit.ends == "close":
        run.look(target, target)


def nth_day(line: Timeline, day: int, count: int, working: bool, first: bool = False) -> int:
    """The ``count``-th day (or working day) from ``day``, which itself counts if ``first``."""
    if not working:
        return day + count - (first if count > 0 else -first)
    if count > 0:
        return line.nth_workday(line.worked[day if first else day + 1] + count - 1)
    return line.nth_workday(line.worked[day + 1 if first else day] + count)


def end_of(line: Timeline, day: int, ends: Ends, reading: int) -> int:
    """The moment at which ``day`` ends a limit of the form ``ends``; ``reading`` is the clock time of its start."""
    if ends == "close":
        return line.close(day)
    return line.midnight(day) if ends == "midnight" else line.at(day, reading)


def _full(
    line: Timeline,
    start: int,
    limit: Limit,
    holds: list[tuple[int, int]],
    opened: int | None,
    extensions: Sequence[Limit],
) -> DeadlineRun:
    """The run of a limit with its extensions, then its suspensions."""
    run = _base(line, start, limit)
    for more in extensions:
        _extend(line, run, more)
    run.extended_end, run.extended_day = run.end, run.day
    for a, b in holds:
        if a >= run.end:
            break
        if b > start:
            run.suspended += ((max(a, start), b),)
            low, high = max(a, start), b
            run.given_back += line.done(high) - line.done(low) if limit.working else high - low
            _give_back(line, run)
    run.stopped = opened is not None and opened < run.end
    return run


def _extend(line: Timeline, run: DeadlineRun, more: Limit) -> None:
    """Apply an extension: in days, to the n-th day after the end, with the same form of end; in hours, continuing."""
    if more.in_days:
        if run.form is None:
            run.form, run.day = "same_time", ending_day(line, run.end)
            run.reading = line.reading(run.day, run.end)
        working = more.unit == "working_days"
        target = nth_day(line, run.day, int(more.amount), working)
        run.look(run.day + 1 if working else target, target)
        run.day, run.end = target, end_of(line, target, run.form, run.reading)
    elif more.unit == "hours":
        run.end += more.micros
        run.form, run.day = None, line.date_of(run.end)
    else:
        before = run.end
        run.end = line.earliest(line.done(before) + more.micros)
        run.form, run.day = None, line.day_until(run.end)
        run.look(line.day_until(before), run.day)


def _give_back(line: Timeline, run: DeadlineRun) -> None:
    """Move the end by the total time suspended so far."""
    if not run.limit.working:
        run.end = run.extended_end + run.given_back
        run.day = line.date_of(run.end) if run.form in (None, "same_time") else ending_day(line, run.end)
        return
    if run.given_back == 0:
        return
    owed = line.done(run.extended_end) + run.given_back
    end = line.earliest(owed)
    day = line.day_until(end)
    # No working time passes between a close and the next opening: of those moments, choose the one in the limit's form.
    if run.form == "midnight" and line.midnight(day) >= end and line.done(line.midnight(day)) == owed:
        end = line.midnight(day)
    elif run.form == "same_time":
        for candidate in (day, line.nth_workday(line.worked[day + 1])):
            moment = line.at(candidate, run.reading)
            if moment >= end and line.done(moment) == owed:
                end, day = moment, candidate
                break
    run.end, run.day = end, day
    run.look(line.day_until(run.extended_end), day)


def ending_day(line: Timeline, end: int) -> int:
    """The day that ``end`` ends: that of its span, at 00:00 the day before, else its date."""
    day = line.day_until(end)
    return day - 1 if line.day_start[day] == end else day


def _holds(suspensions: Suspensions, as_of: datetime | None) -> tuple[list[tuple[int, int]], int | None]:
    """The suspensions, sorted and merged, and when the open one began."""
    found: list[tuple[int, int]] = []
    opened: int | None = None
    until = None if as_of is None else moment_us(as_of, "/as_of")
    for n, (begun, ended) in enumerate(suspensions):
        a = moment_us(begun, f"/suspensions/{n}/0")
        if ended is None:
            opened = a if opened is None else min(a, opened)
            b = a if until is None else max(a, until)
        else:
            b = moment_us(ended, f"/suspensions/{n}/1")
        if b < a:
            raise Invalid.at(f"/suspensions/{n}", "挂起的结束早于开始", "a suspension ends before it begins")
        if b > a:
            found.append((a, b))
    merged: list[tuple[int, int]] = []
    for a, b in sorted(found):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return merged, opened
