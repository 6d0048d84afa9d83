"""When a limit ends: forward and backward, with suspensions and extensions; and the working time between two moments.

The semantics stand, as tables, in ``docs/deadlines.md``. In one paragraph: a limit in working days does not count the
day of receipt and ends at the close of business of the n-th working day (Civil Code, articles 201 and 203); a limit in
working hours ends at the first moment by which they are used up; natural days and hours pass on every day. Extensions
are laid on first, in the same form of end. Then the working time suspended (the real time, for natural limits) is given
back to the microsecond. Everything is a search in sorted integers, bounded by ``MAX_SPAN_YEARS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any, Final, Literal, TypeVar, cast

from app.domain.errors import FieldProblem, Invalid
from app.domain.timeline import FIRST_YEAR, LAST_YEAR, SECOND, OffTimeline, Timeline, from_us, to_us
from app.domain.workcalendar import WorkCalendar

LimitUnit = Literal["working_days", "working_hours", "days", "hours"]
Ends = Literal["close", "midnight", "same_time"]
Number = int | float | Decimal | Fraction
Suspensions = Sequence[tuple[datetime, datetime | None]]

UNITS: Final[tuple[LimitUnit, ...]] = ("working_days", "working_hours", "days", "hours")
ENDS: Final[tuple[Ends, ...]] = ("close", "midnight", "same_time")
MAX_DAYS = 36_500
MAX_HOURS = 876_000
"""A hundred years: what is longer is a slip of the pen."""
MAX_SPAN_YEARS = 120
_WIDENING = (1, 3, 8, 30, MAX_SPAN_YEARS)
_HOUR = 3600 * SECOND
_KEYS = frozenset({"unit", "amount", "ends", "count_first_day"})

T = TypeVar("T")


@dataclass(frozen=True)
class Limit:
    """How long something may take. ``ends`` and ``count_first_day`` matter to days only. A negative amount counts back.

    ``amount``: whole for days (within ±36,500), fractions allowed for hours (within ±876,000); kept as int or Fraction.
    Raises ``Invalid`` for anything else.
    """

    unit: LimitUnit
    amount: int | Fraction
    ends: Ends = "close"
    count_first_day: bool = False
    micros: int = field(init=False, repr=False, compare=False, default=0)
    """The amount of a limit in hours, in microseconds."""

    def __init__(self, unit: LimitUnit, amount: Number, ends: Ends = "close", count_first_day: bool = False) -> None:
        problems = list(_limit_problems(unit, amount, ends, count_first_day))
        if problems:
            raise Invalid(problems)
        exact = Fraction(str(amount)) if isinstance(amount, float | Decimal) else Fraction(amount)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "amount", int(exact) if exact.denominator == 1 else exact)
        object.__setattr__(self, "ends", ends)
        object.__setattr__(self, "count_first_day", count_first_day)
        object.__setattr__(self, "micros", round(exact * _HOUR) if unit in ("hours", "working_hours") else 0)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], *, pointer: str = "", positive: bool = False) -> Limit:
        """A limit from the contract's object. ``positive``: refuse zero and less, as a policy must.

        Raises ``Invalid`` with pointers under ``pointer``.
        """
        if not isinstance(spec, Mapping):
            raise Invalid.at(pointer, "时限应为对象", 'a limit is an object, {"unit": "working_days", "amount": 5}')
        problems = [
            FieldProblem(f"{pointer}/{key}", "没有这个字段", "no such field; there are " + ", ".join(sorted(_KEYS)))
            for key in sorted(str(k) for k in spec if k not in _KEYS)
        ]
        problems += [
            FieldProblem(f"{pointer}/{key}", "缺少必填字段", "is required")
            for key in ("unit", "amount")
            if key not in spec
        ]
        values = (spec.get("unit"), spec.get("amount"), spec.get("ends", "close"), spec.get("count_first_day", False))
        if not problems:
            problems += [
                FieldProblem(pointer + p.pointer, p.zh, p.en) for p in _limit_problems(*values, positive=positive)
            ]
        if problems:
            raise Invalid(problems)
        return cls(*cast("tuple[LimitUnit, Number, Ends, bool]", values))

    def to_spec(self) -> dict[str, Any]:
        """The limit as the contract's object; ``from_spec`` of it means the same."""
        amount = self.amount if isinstance(self.amount, int) else float(self.amount)
        return {"unit": self.unit, "amount": amount, "ends": self.ends, "count_first_day": self.count_first_day}

    @property
    def in_days(self) -> bool:
        """Whether days are counted, not hours."""
        return self.unit in ("working_days", "days")

    @property
    def working(self) -> bool:
        """Whether it runs in working time only."""
        return self.unit in ("working_days", "working_hours")


def _limit_problems(
    unit: object, amount: object, ends: object, count_first_day: object, *, positive: bool = False
) -> list[FieldProblem]:
    problems = []
    if unit not in UNITS:
        problems.append(FieldProblem("/unit", f"应为 {'、'.join(UNITS)} 之一", f"must be one of {', '.join(UNITS)}"))
    if ends not in ENDS:
        problems.append(FieldProblem("/ends", f"应为 {'、'.join(ENDS)} 之一", f"must be one of {', '.join(ENDS)}"))
    if not isinstance(count_first_day, bool):
        problems.append(FieldProblem("/count_first_day", "应为 true 或 false", "must be true or false"))
    in_days = unit in ("working_days", "days")
    most = MAX_DAYS if in_days else MAX_HOURS
    if isinstance(amount, bool) or not isinstance(amount, int | float | Decimal | Fraction) or not _finite(amount):
        problems.append(FieldProblem("/amount", "应为数字", "must be a number"))
    elif not -most <= amount <= most:
        problems.append(
            FieldProblem(
                "/amount",
                f"至多 {most:,}（约一百年），现为 {_short(amount)}",
                f"must be within ±{most:,} (a hundred years), not {_short(amount)}",
            )
        )
    elif in_days and amount != int(amount):
        problems.append(FieldProblem("/amount", "天数应为整数；零头请用小时", "days are whole; use hours for parts"))
    elif positive and amount <= 0:
        problems.append(FieldProblem("/amount", f"应大于 0，现为 {_short(amount)}", f"must be above 0, not {amount}"))
    return problems


def _finite(amount: Number) -> bool:
    return amount.is_finite() if isinstance(amount, Decimal) else not isinstance(amount, float) or isfinite(amount)


def _short(amount: Number) -> str:
    try:
        return f"{float(amount):g}"
    except OverflowError:
        return "∞"


@dataclass(frozen=True, slots=True)
class Due:
    """When a limit ends. ``provisional``: a day of an unpublished year was looked at. ``stopped``: an open suspension
    holds the clock, and ``due_at`` is where it would be due were the suspension to end now (see ``due``)."""

    due_at: datetime
    provisional: bool
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Working time between two moments; negative where the second is the earlier."""

    working_seconds: int
    working_days: int


@dataclass(slots=True)
class Course:
    """How a limit came to its end, in microseconds and days of ``line``: what ``due`` returns and a receipt tells.

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
    """The first and last day looked at."""
    base_end: int = 0
    """The end before extensions and suspensions."""
    extended_end: int = 0
    """The end before suspensions."""
    suspended: list[tuple[int, int]] = field(default_factory=list)
    """The suspensions that count, merged, from the start on."""
    given_back: int = 0
    stopped: bool = False

    def look(self, low: int, high: int) -> None:
        """Remember that the days from ``low`` to ``high`` were looked at."""
        if high >= low:
            self.low, self.high = (low, high) if self.high < self.low else (min(low, self.low), max(high, self.high))


def due(
    calendar: WorkCalendar,
    start: datetime,
    limit: Limit,
    *,
    suspensions: Suspensions = (),
    extensions: Sequence[Limit] = (),
    as_of: datetime | None = None,
) -> Due:
    """When ``limit``, begun at ``start`` (aware), is due, in UTC.

    ``suspensions`` are (from, to); one with ``to`` None is open: it counts up to ``as_of`` where that is given, else as
    nothing yet, and the answer is marked ``stopped``. Raises ``Invalid`` (pointers ``/start``, ``/limit/…``,
    ``/suspensions/n``, ``/extensions/n``) for what cannot be computed, in milliseconds.
    """
    run = course(calendar, start, limit, suspensions=suspensions, extensions=extensions, as_of=as_of)
    provisional = run.line is not None and run.line.saw_assumed(run.low, run.high)
    return Due(from_us(run.end), provisional, run.stopped)


def course(
    calendar: WorkCalendar,
    start: datetime,
    limit: Limit,
    *,
    suspensions: Suspensions = (),
    extensions: Sequence[Limit] = (),
    as_of: datetime | None = None,
) -> Course:
    """The course of a limit from start to end: the one computation behind ``due`` and the receipt."""
    begin = moment_us(start, "/start")
    if not suspensions and not extensions:
        if limit.unit == "hours":
            end = begin + limit.micros
            check_us(end)
            return Course(None, limit, begin, end, base_end=end, extended_end=end)
        return _unrolled(calendar, begin, begin, lambda line: _base(line, begin, limit))
    holds, opened = _holds(suspensions, as_of)
    if limit.amount < 0:
        raise Invalid.at("/limit/amount", "倒数时限不能挂起或延期", "a limit counted back takes no such changes")
    for n, more in enumerate(extensions):
        if more.amount <= 0:
            raise Invalid.at(f"/extensions/{n}/amount", "延期应大于 0", "an extension must be above 0")
    last = max([begin, *(b for _, b in holds)])
    return _unrolled(calendar, begin, last, lambda line: _full(line, begin, limit, holds, opened, extensions))


def elapsed(calendar: WorkCalendar, start: datetime, end: datetime) -> Elapsed:
    """The working time from ``start`` to ``end``: seconds (whole ones, towards zero), and working days.

    Working days are those after the one ``start`` belongs to, up to and including the one ``end`` belongs to, in the
    direction of travel, so that measuring undoes adding.
    """
    a, b = moment_us(start, "/start"), moment_us(end, "/end")
    return _unrolled(calendar, min(a, b), max(a, b), lambda line: _measure(line, a, b))


def shift(calendar: WorkCalendar, at: datetime, limit: Limit) -> datetime:
    """``at``, the end of a deadline, moved by ``limit`` (negative: earlier), in UTC.

    The day counted from is the one that ``at`` ends: 00:00 is 24:00 of the day before. With ``same_time`` the clock
    reading is kept, so that one working day before the close of a day is the close of the working day before.
    """
    t = moment_us(at, "/at")
    if limit.unit == "hours":
        check_us(t + limit.micros)
        return from_us(t + limit.micros)
    return from_us(_unrolled(calendar, t, t, lambda line: _shifted(line, t, limit)))


# -- the pieces, on an unrolled calendar -------------------------------------------------------------------------------


def moment_us(moment: datetime, pointer: str) -> int:
    """``moment`` in microseconds of UTC. Raises ``Invalid`` where it is naive or its year is out of range."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise Invalid.at(pointer, "时间缺少时区偏移，如 +08:00", "the time has no offset, such as +08:00")
    us = to_us(moment)
    if not _FIRST <= us < _LAST:
        raise Invalid.at(
            pointer,
            f"年份应在 {FIRST_YEAR}–{LAST_YEAR}，现为 {moment.year}",
            f"the year must be within {FIRST_YEAR}–{LAST_YEAR}, not {moment.year}",
        )
    return us


_YEAR_US = 31_556_952 * SECOND
_FIRST = to_us(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
_LAST = to_us(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC))


def check_us(us: int) -> None:
    """Raises ``Invalid`` where an end lies outside the years that are taken."""
    if not _FIRST <= us < _LAST:
        raise _never()


def _never() -> Invalid:
    return Invalid.at(
        "/limit/amount",
        f"时限在 {MAX_SPAN_YEARS} 年内或 {FIRST_YEAR}–{LAST_YEAR} 年间不会到期",
        f"the limit does not end within {MAX_SPAN_YEARS} years, or not within {FIRST_YEAR}–{LAST_YEAR}",
    )


def _unrolled(calendar: WorkCalendar, first: int, last: int, work: Callable[[Timeline], T]) -> T:
    """``work`` on as few years of ``calendar`` around ``first`` … ``last`` as it needs."""
    low, high = (1970 + us // _YEAR_US for us in (first, last))
    if high - low > MAX_SPAN_YEARS:
        raise _never()
    bounds = calendar.time_runs_out
    for more in _WIDENING:
        begin, end = max(FIRST_YEAR - 1, low - more), min(LAST_YEAR + 1, high + more)
        try:
            return work(calendar.timeline(begin, end))
        except OffTimeline:
            ended = begin < FIRST_YEAR and end > LAST_YEAR
            if ended or (bounds is not None and begin < bounds[0] and end > bounds[1]):
                break
    raise _never()


def _base(line: Timeline, start: int, limit: Limit) -> Course:
    """The course of a limit that nothing has changed."""
    run = Course(line, limit, start)
    if limit.unit == "hours":
        run.end = start + limit.micros
    elif limit.unit == "working_hours":
        _run_hours(line, run, limit.micros)
    elif limit.amount == 0:
        run.end = start
        run.form = "same_time"
        run.day = line.date_of(start)
        run.reading = line.reading(run.day, start)
    else:
        _count_days(line, run)
    run.base_end = run.extended_end = run.end
    return run


def _run_hours(line: Timeline, run: Course, micros: int) -> None:
    if micros > 0:
        run.end = line.earliest(line.done(run.start) + micros)
        run.look(line.day_from(run.start), line.day_until(run.end))
    elif micros < 0:
        run.end = line.latest(line.done(run.start) + micros)
        run.look(line.day_from(run.end), line.day_until(run.start))
    else:
        run.end = line.opening(run.start)
        run.look(line.day_until(run.start), line.day_until(run.end))


def _count_days(line: Timeline, run: Course) -> None:
    """The n-th day after (or before) the one of the start. A first day counts only where its end is still to come."""
    limit, start, count = run.limit, run.start, int(run.limit.amount)
    back = count < 0
    working = limit.unit == "working_days"
    day = (line.day_until if back else line.day_from)(start) if working else line.date_of(start)
    reading = line.reading(day, start)
    first = False
    if limit.count_first_day and (not working or line.is_working(day)):
        end = _end_of(line, day, limit.ends, reading)
        first = limit.ends == "same_time" or (end < start if back else end > start)
    target = _nth_day(line, day, count, working, first)
    run.form, run.day, run.reading = limit.ends, target, reading
    run.end = _end_of(line, target, limit.ends, reading)
    if working:
        run.look(target, day - (not first)) if back else run.look(day + (not first), target)
    elif limit.ends == "close":
        run.look(target, target)


def _nth_day(line: Timeline, day: int, count: int, working: bool, first: bool = False) -> int:
    """The ``count``-th day (or working day) from ``day``, which itself counts where ``first``."""
    if not working:
        return day + count - (first if count > 0 else -first)
    if count > 0:
        return line.nth_workday(line.worked[day if first else day + 1] + count - 1)
    return line.nth_workday(line.worked[day + 1 if first else day] + count)


def _end_of(line: Timeline, day: int, ends: Ends, reading: int) -> int:
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
) -> Course:
    """The course of a limit with its extensions, then its suspensions."""
    run = _base(line, start, limit)
    for more in extensions:
        _extend(line, run, more)
    run.extended_end = run.end
    for a, b in holds:
        if a >= run.end:
            break
        if b > start:
            run.suspended.append((max(a, start), b))
            low, high = max(a, start), b
            run.given_back += line.done(high) - line.done(low) if limit.working else high - low
            _give_back(line, run)
    run.stopped = opened is not None and opened < run.end
    return run


def _extend(line: Timeline, run: Course, more: Limit) -> None:
    """An extension in days goes to the n-th day after the end, in the same form of end; one in hours runs on."""
    if not more.in_days:
        if more.unit == "hours":
            run.end += more.micros
        else:
            before = run.end
            run.end = line.earliest(line.done(before) + more.micros)
            run.look(line.day_until(before), line.day_until(run.end))
        run.form = None
        return
    if run.form is None:
        run.form, run.day = "same_time", _ending_day(line, run.end)
        run.reading = line.reading(run.day, run.end)
    working = more.unit == "working_days"
    target = _nth_day(line, run.day, int(more.amount), working)
    run.look(run.day + 1 if working else target, target)
    run.day, run.end = target, _end_of(line, target, run.form, run.reading)


def _give_back(line: Timeline, run: Course) -> None:
    """Move the end by all that was suspended so far."""
    if not run.limit.working:
        run.end = run.extended_end + run.given_back
        return
    if run.given_back == 0:
        return
    owed = line.done(run.extended_end) + run.given_back
    end = line.earliest(owed)
    day = line.day_until(end)
    # Between a close and the next opening no working time passes: of all those moments, the one in the limit's form.
    if run.form == "midnight" and line.midnight(day) >= end and line.done(line.midnight(day)) == owed:
        end = line.midnight(day)
    elif run.form == "same_time":
        for candidate in (day, line.nth_workday(line.worked[day + 1])):
            moment = line.at(candidate, run.reading)
            if moment >= end and line.done(moment) == owed:
                end = moment
                break
    run.end = end
    run.look(line.day_until(run.extended_end), day)


def _ending_day(line: Timeline, end: int) -> int:
    """The day that ``end`` ends: that of its span, at 00:00 the day before, else its date."""
    day = line.day_until(end)
    return day - 1 if line.day_start[day] == end else day


def _shifted(line: Timeline, t: int, limit: Limit) -> int:
    if limit.unit == "working_hours":
        run = Course(line, limit, t)
        _run_hours(line, run, limit.micros)
        return run.end
    if limit.amount == 0:
        return t
    day = _ending_day(line, t)
    target = _nth_day(line, day, int(limit.amount), limit.unit == "working_days")
    return _end_of(line, target, limit.ends, line.reading(day, t))


def _measure(line: Timeline, a: int, b: int) -> Elapsed:
    micros = line.done(b) - line.done(a)
    seconds = micros // SECOND if micros >= 0 else -(-micros // SECOND)
    if b >= a:
        first, last = line.day_from(a), _measured_day(line, a, b)
        return Elapsed(seconds, max(0, line.worked[last + 1] - line.worked[first + 1]))
    first, last = line.day_until(a), _measured_day(line, a, b)
    return Elapsed(seconds, min(0, line.worked[last] - line.worked[first]))


def _measured_day(line: Timeline, a: int, b: int) -> int:
    """The day that ``b`` ends. 00:00 is 24:00 of the day before, unless ``a`` stands at 00:00 too: then whole days are
    measured, from midnight to midnight."""
    day = line.day_until(b)
    if line.day_start[day] != b:
        return day
    return day if line.day_start[line.date_of(a)] == a else day - 1


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
