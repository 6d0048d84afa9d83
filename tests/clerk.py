"""A clerk with a wall calendar, a clock and all the time in the world: deadlines counted out day by day and moment by
moment, by the tables of ``docs/deadlines.md`` and by nothing of ``app.domain.time.timeline`` or ``app.domain.time.deadline_run``.

Slow and plain on purpose: it lists the working spans of each day, walks through them, and looks at the clock. What it
shares with the code under test is the calendar as data (``WorkCalendar.hours``) and the limit (``Limit``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.domain.time.limit import Limit
from app.domain.time.workcalendar import WorkCalendar

Span = tuple[datetime, datetime]
DAY = timedelta(days=1)
ZERO = timedelta()
MINUTE = timedelta(minutes=1)


class Clerk:
    """Counts by one calendar. Every moment given and returned is aware and in UTC."""

    def __init__(self, calendar: WorkCalendar) -> None:
        self.calendar = calendar
        self._firsts: dict[tuple[date, timedelta], datetime] = {}

    # -- reading the clock ---------------------------------------------------------------------------------------------

    def wall(self, moment: datetime) -> datetime:
        """What the clock on the wall shows, without its offset."""
        return moment.astimezone(self.calendar.zone).replace(tzinfo=None)

    def first(self, day: date, reading: timedelta) -> datetime:
        """The first moment at which the clock shows ``reading`` of ``day``, or a later one."""
        key = (day, reading)
        if key not in self._firsts:
            self._firsts[key] = _first_showing(self.calendar.zone, _naive(day) + reading)
        return self._firsts[key]

    def midnight(self, day: date) -> datetime:
        """00:00 of a day."""
        return self.first(day, ZERO)

    # -- working time --------------------------------------------------------------------------------------------------

    def spans(self, day: date) -> list[Span]:
        """The working spans that belong to a day."""
        return [
            (self.first(day, timedelta(seconds=a)), self.first(day, timedelta(seconds=b)))
            for a, b in self.calendar.hours(day)
        ]

    def works(self, day: date) -> bool:
        """Whether anybody works on it."""
        return bool(self.calendar.hours(day))

    def forth(self, moment: datetime) -> Iterator[Span]:
        """All spans from the one that ``moment`` is in, or the next, on and on."""
        day = self.wall(moment).date() - 2 * DAY
        while True:
            yield from (span for span in self.spans(day) if span[1] > moment)
            day += DAY

    def back(self, moment: datetime) -> Iterator[Span]:
        """All spans from the one that ``moment`` is in, or the one before, back and back."""
        day = self.wall(moment).date() + 2 * DAY
        while True:
            yield from (span for span in reversed(self.spans(day)) if span[0] < moment)
            day -= DAY

    def worked(self, a: datetime, b: datetime) -> timedelta:
        """The working time from ``a`` to ``b``, ``a`` not being the later."""
        total, day = ZERO, self.wall(a).date() - 2 * DAY
        while day <= self.wall(b).date() + DAY:
            total += sum((max(ZERO, min(b, close) - max(a, opening)) for opening, close in self.spans(day)), ZERO)
            day += DAY
        return total

    def day_begun_in(self, moment: datetime) -> date:
        """The day that what begins at ``moment`` begins in: that of its span (its close is no part of it), else its date."""
        return self._owner(moment, lambda span: span[0] <= moment < span[1])

    def day_ended_in(self, moment: datetime) -> date:
        """The day that what ends at ``moment`` ends in: that of its span (its opening is no part of it), else its date."""
        return self._owner(moment, lambda span: span[0] < moment <= span[1])

    def _owner(self, moment: datetime, holds: object) -> date:
        today = self.wall(moment).date()
        for day in (today - 2 * DAY, today - DAY, today):
            if any(holds(span) for span in self.spans(day)):  # type: ignore[operator]
                return day
        return today

    def close(self, day: date) -> datetime:
        """The close of business; 24:00 where there is none."""
        return self.spans(day)[-1][1] if self.works(day) else self.midnight(day + DAY)

    def run(self, start: datetime, length: timedelta, held: Sequence[Span] = ()) -> datetime:
        """The moment by which ``length`` (above zero) of working time has passed since ``start``, that in ``held`` left out."""
        for opening, close in self.forth(start):
            for a, b in _without(held, max(opening, start), close):
                if length <= b - a:
                    return a + length
                length -= b - a
        raise AssertionError("unreachable")

    # -- the rules -----------------------------------------------------------------------------------------------------

    def end_of(self, day: date, ends: str, reading: timedelta) -> datetime:
        """When ``day`` ends a limit."""
        if ends == "close":
            return self.close(day)
        return self.midnight(day + DAY) if ends == "midnight" else self.first(day, reading)

    def step(self, day: date, count: int, working: bool) -> date:
        """The ``count``-th day (or working day) after ``day``; before it, where negative."""
        while count:
            day += DAY if count > 0 else -DAY
            if not working or self.works(day):
                count -= 1 if count > 0 else -1
        return day

    def due(
        self, start: datetime, limit: Limit, held: Sequence[Span] = (), extensions: Sequence[Limit] = ()
    ) -> datetime:
        """When the limit ends, its extensions laid on, and what was suspended given back."""
        end, form, day, reading = self._base(start, limit)
        for more in extensions:
            if not more.in_days:
                end = self.run(end, _length(more)) if more.working else end + _length(more)
                form = None
                continue
            if form is None:
                form, day = "same_time", self._ending_day(end)
                reading = self.wall(end) - _naive(day)
            day = self.step(day, int(more.amount), more.working)
            end = self.end_of(day, form, reading)
        return self._suspended(start, end, limit, form, reading, merged(held))

    def _base(self, start: datetime, limit: Limit) -> tuple[datetime, str | None, date, timedelta]:
        amount, today = int(limit.amount), self.wall(start).date()
        if limit.unit == "hours":
            return start + _length(limit), None, today, ZERO
        if limit.unit == "working_hours":
            return self._hours(start, _length(limit)), None, today, ZERO
        if amount == 0:
            day = self.day_begun_in(start) if limit.working else today
            return start, "same_time", day, self.wall(start) - _naive(day)
        day = today if not limit.working else self.day_begun_in(start) if amount > 0 else self.day_ended_in(start)
        reading = self.wall(start) - _naive(day)
        if limit.count_first_day and (not limit.working or self.works(day)):
            end = self.end_of(day, limit.ends, reading)
            if limit.ends == "same_time" or (end > start if amount > 0 else end < start):
                amount -= 1 if amount > 0 else -1
        day = self.step(day, amount, limit.working)
        return self.end_of(day, limit.ends, reading), limit.ends, day, reading

    def _hours(self, start: datetime, length: timedelta) -> datetime:
        if length > ZERO:
            return self.run(start, length)
        if length == ZERO:
            if any(a <= start <= b for a, b in [next(self.back(start)), next(self.forth(start))]):
                return start
            return next(self.forth(start))[0]
        length = -length
        for opening, close in self.back(start):
            there = min(close, start) - opening
            if length <= there:
                return min(close, start) - length
            length -= there
        raise AssertionError("unreachable")

    def _ending_day(self, end: datetime) -> date:
        day = self.day_ended_in(end)
        return day - DAY if self.midnight(day) == end else day

    def _suspended(
        self, start: datetime, end: datetime, limit: Limit, form: str | None, reading: timedelta, held: Sequence[Span]
    ) -> datetime:
        base = end
        given = ZERO
        for a, b in held:
            if a >= end:
                break
            if b <= start:
                continue
            a = max(a, start)
            given += self.worked(a, b) if limit.working else b - a
            end = base + given if not limit.working else self._give_back(base, given, form, reading)
        return end

    def _give_back(self, base: datetime, given: timedelta, form: str | None, reading: timedelta) -> datetime:
        """The first moment that is ``given`` of working time after ``base``, unless until the next opening there is one in
        the limit's own form."""
        if given == ZERO:
            return base
        end = self.run(base, given)
        day = self.day_ended_in(end)
        if form == "midnight":
            candidates = [self.midnight(day + DAY)]
        elif form == "same_time":
            candidates = [self.first(one, reading) for one in (day, self.step(day, 1, True))]
        else:
            candidates = []
        for moment in candidates:
            if moment >= end and self.worked(end, moment) == ZERO:
                return moment
        return end

    # -- measuring -----------------------------------------------------------------------------------------------------

    def elapsed(self, a: datetime, b: datetime) -> tuple[int, int]:
        """Working seconds and working days from ``a`` to ``b``; negative where ``b`` is the earlier."""
        sign = 1 if b >= a else -1
        seconds = sign * (self.worked(min(a, b), max(a, b)) // timedelta(seconds=1))
        midnights = [self.midnight(self.wall(moment).date()) == moment for moment in (a, b)]
        first = self.day_begun_in(a) if sign > 0 else self.day_ended_in(a)
        last = self.day_ended_in(b)
        if midnights[1] and not midnights[0] and self.midnight(last) == b:
            last -= DAY
        days, day = 0, first
        if sign > 0:
            while day < last:
                day += DAY
                days += self.works(day)
        else:
            while day > last:
                day -= DAY
                days -= self.works(day)
        return seconds, days


def _naive(day: date) -> datetime:
    return datetime.combine(day, time())


def _length(limit: Limit) -> timedelta:
    return timedelta(microseconds=limit.micros)


def _first_showing(zone: ZoneInfo, wall: datetime) -> datetime:
    """By looking at the clock, minute by minute; it leaps at whole minutes only. Not where nobody touches it for days."""

    def shows(moment: datetime) -> datetime:
        return moment.astimezone(zone).replace(tzinfo=None)

    around = {(wall + timedelta(hours=n)).replace(tzinfo=UTC).astimezone(zone).utcoffset() for n in range(-30, 31, 3)}
    (offset, *others) = around
    if not others and offset is not None:
        return (wall - offset).replace(tzinfo=UTC)
    moment = (wall - timedelta(hours=40)).replace(tzinfo=UTC, second=0, microsecond=0)
    while shows(moment) < wall - timedelta(hours=5):
        moment += timedelta(hours=1)
    while shows(moment) < wall:
        rest = wall - shows(moment)
        if rest < MINUTE and shows(moment + rest) == wall:
            return moment + rest
        moment += MINUTE
    return moment


def merged(held: Sequence[Span]) -> list[Span]:
    """The spans in order, those that touch or overlap put into one, empty ones left out."""
    found: list[Span] = []
    for a, b in sorted(span for span in held if span[1] > span[0]):
        if found and a <= found[-1][1]:
            found[-1] = (found[-1][0], max(b, found[-1][1]))
        else:
            found.append((a, b))
    return found


def _without(held: Sequence[Span], a: datetime, b: datetime) -> Iterator[Span]:
    """What is left of ``a`` … ``b`` outside ``held``."""
    for c, d in merged(held):
        if c > a:
            yield a, min(b, c)
        a = max(a, d)
        if a >= b:
            return
    if a < b:
        yield a, b
