"""A calendar unrolled over some years: its working time as sorted integers for binary search.

Moments are microseconds of UTC since 1970, days are indexes from the first day of the first year. The clock reading
*r* of a day means **the first moment at which the local clock shows r or later**: a reading skipped by a spring change is
the moment of the change, one repeated by an autumn change is its first occurrence. So each moment of a day belongs to at
most one span, spans never overlap, later readings are never earlier moments, and the difference of two moments is real
elapsed time, an hour more or less on the days of a change.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

Spans = tuple[tuple[int, int], ...]
"""Working hours of one day: (from, to) in seconds after its midnight; ``to`` may lie in the next day (≤ 48 h)."""

SECOND = 1_000_000
DAY = 86_400 * SECOND
FIRST_YEAR, LAST_YEAR = 1900, 2999
"""The supported years; a start or an end outside them is rejected."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class OffTimeline(Exception):
    """The result lies outside the unrolled years: unroll more of them and retry."""


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 UTC of an aware ``moment``."""
    delta = moment - _EPOCH
    return delta.days * DAY + delta.seconds * SECOND + delta.microseconds


def from_us(us: int) -> datetime:
    """The moment ``us`` microseconds after 1970, aware, in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def _offset_us(zone: tzinfo, naive: datetime) -> int:
    offset = naive.replace(tzinfo=zone).utcoffset() or timedelta()
    return (offset.days * 86_400 + offset.seconds) * SECOND + offset.microseconds


def _naive_us(naive: datetime) -> int:
    return to_us(naive.replace(tzinfo=UTC))


def reading_to_us(zone: tzinfo, ordinal: int, reading: int) -> int:
    """The first moment at which the clock of ``zone`` shows ``reading`` (µs after midnight) of a day, or later."""
    wall = (ordinal - _EPOCH_ORDINAL) * DAY + reading
    naive = from_us(wall).replace(tzinfo=None)
    early = wall - _offset_us(zone, naive)
    if _naive_us(from_us(early).astimezone(zone).replace(tzinfo=None)) == wall:
        return early
    # The clock never shows it. The change lies between the two interpretations: find it, to the second.
    new_offset = _offset_us(zone, naive.replace(fold=1))
    old_side, new_side = (wall - new_offset) // SECOND, -(-early // SECOND)
    while new_side - old_side > 1:
        middle = (old_side + new_side) // 2
        if _offset_of(zone, middle * SECOND) == new_offset:
            new_side = middle
        else:
            old_side = middle
    return new_side * SECOND


def _offset_of(zone: tzinfo, us: int) -> int:
    return _naive_us(from_us(us).astimezone(zone).replace(tzinfo=None)) - us


@dataclass(frozen=True, slots=True)
class YearPart:
    """One year of a calendar, unrolled: the midnight each day begins with, and its spans; moments in UTC."""

    starts: list[int]
    span_at: list[int]
    opens: list[int]
    closes: list[int]
    before: list[int]
    """Working time of this year before each span."""
    span_day: list[int]
    workdays: list[int]
    worked: list[int]
    total: int


def unroll_year(zone: tzinfo, year: int, week: Sequence[Spans], dated: Mapping[int, Spans]) -> YearPart:
    """The days of ``year``, each with the hours of ``dated`` (by ordinal), else of its weekday. Under a millisecond."""
    first = date(year, 1, 1).toordinal()
    count = date(year + 1, 1, 1).toordinal() - first
    starts = _midnights(zone, first, count + 2)
    part = YearPart(starts[:count], [], [], [], [], [], [], [], 0)
    total = 0
    for i in range(count):
        hours = dated.get(first + i)
        if hours is None:
            hours = week[(first + i + 6) % 7]
        part.span_at.append(len(part.opens))
        part.worked.append(len(part.workdays))
        if not hours:
            continue
        part.workdays.append(i)
        start = starts[i]
        regular = starts[i + 2] - start == 2 * DAY
        for a, b in hours:
            if regular:
                opening, closing = start + a * SECOND, start + b * SECOND
            else:
                opening, closing = (reading_to_us(zone, first + i, edge * SECOND) for edge in (a, b))
            part.opens.append(opening)
            part.closes.append(closing)
            part.before.append(total)
            part.span_day.append(i)
            total += closing - opening
    return replace(part, total=total)


def _midnights(zone: tzinfo, first: int, count: int) -> list[int]:
    """The moments at which ``count`` days begin; a constant offset is simply subtracted."""
    midnight = datetime.combine(date.fromordinal(first), time(tzinfo=zone))
    offsets = [(midnight + timedelta(days=i)).utcoffset() for i in range(-1, count + 1)]
    wall = (first - _EPOCH_ORDINAL) * DAY
    found = []
    for i in range(count):
        here = offsets[i + 1]
        if here is not None and here == offsets[i] == offsets[i + 2]:
            found.append(wall + i * DAY - (here.days * 86_400 + here.seconds) * SECOND - here.microseconds)
        else:
            found.append(reading_to_us(zone, first + i, 0))
    return found


@dataclass(slots=True, eq=False, weakref_slot=True)
class Timeline:
    """Consecutive unrolled years in one piece. All lists are sorted; none may be changed."""

    zone: tzinfo
    first: int
    """The ordinal (``date.toordinal``) of day 0."""
    day_start: list[int] = field(default_factory=list)
    """The midnight each day begins with."""
    span_at: list[int] = field(default_factory=list)
    """The first span of each day; one more at the end."""
    opens: list[int] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    """Working time before each span."""
    span_day: list[int] = field(default_factory=list)
    workdays: list[int] = field(default_factory=list)
    worked: list[int] = field(default_factory=list)
    """The number of working days before each day; one more at the end."""
    assumed: list[int] = field(default_factory=list)
    """The number of days of unpublished years before each day; one more at the end."""
    total: int = 0

    @classmethod
    def join(cls, zone: tzinfo, years: Sequence[int], parts: Iterable[YearPart], published: Iterable[bool]) -> Timeline:
        """One timeline of ``years`` (consecutive), from their parts."""
        line = cls(zone, date(years[0], 1, 1).toordinal())
        unseen = 0
        for part, known in zip(parts, published, strict=True):
            days, spans, works, total = len(line.day_start), len(line.opens), len(line.workdays), line.total
            line.day_start += part.starts
            line.span_at += [spans + n for n in part.span_at]
            line.opens += part.opens
            line.closes += part.closes
            line.before += [total + w for w in part.before]
            line.span_day += [days + i for i in part.span_day]
            line.workdays += [days + i for i in part.workdays]
            line.worked += [works + n for n in part.worked]
            count = len(part.starts)
            line.assumed += [unseen] * count if known else range(unseen, unseen + count)
            unseen += 0 if known else count
            line.total += part.total
        line.span_at.append(len(line.opens))
        line.worked.append(len(line.workdays))
        line.assumed.append(unseen)
        return line

    # -- working time ------------------------------------------------------------------------------------------------

    def done(self, t: int) -> int:
        """Working time from the beginning of the timeline until ``t``."""
        k = bisect_right(self.opens, t) - 1
        if k < 0:
            return 0
        return self.before[k] + min(t, self.closes[k]) - self.opens[k]

    def forward(self, t: int, working: int) -> tuple[int, int, int]:
        """The first moment by which ``working`` (above 0) has passed since ``t``, and the days it began and ended in.

        Equals ``done``, ``earliest``, ``day_from`` and ``day_until`` combined, with half the searches.
        """
        k = bisect_right(self.opens, t) - 1
        if k >= 0 and t < self.closes[k]:
            first, wanted = self.span_day[k], self.before[k] + t - self.opens[k] + working
        else:
            first, wanted = (
                self.date_of(t),
                (self.before[k] + self.closes[k] - self.opens[k] if k >= 0 else 0) + working,
            )
        if wanted > self.total:
            raise OffTimeline
        k = bisect_left(self.before, wanted, max(k, 0)) - 1
        return self.opens[k] + wanted - self.before[k], first, self.span_day[k]

    def earliest(self, w: int) -> int:
        """The first moment by which ``w`` of working time is done: at the end of a span, not at the next opening."""
        k = bisect_left(self.before, w) - 1
        if k < 0 or w > self.total:
            raise OffTimeline
        return self.opens[k] + w - self.before[k]

    def latest(self, w: int) -> int:
        """The last moment at which no more than ``w`` is done: at an opening, not at the close before it."""
        if w < 0 or w >= self.total:
            raise OffTimeline
        k = bisect_right(self.before, w) - 1
        return self.opens[k] + w - self.before[k]

    def opening(self, t: int) -> int:
        """``t`` where it is a working moment (both edges of a span are), else the next opening."""
        k = bisect_right(self.opens, t) - 1
        if k >= 0 and t <= self.closes[k]:
            return t
        if k + 1 >= len(self.opens):
            raise OffTimeline
        return self.opens[k + 1]

    # -- days --------------------------------------------------------------------------------------------------------

    def date_of(self, t: int) -> int:
        """The index of the local date of ``t``."""
        i = bisect_right(self.day_start, t) - 1
        if i < 2 or i > len(self.day_start) - 4:
            raise OffTimeline
        return i

    def day_from(self, t: int) -> int:
        """The day that ``t`` begins in: that of the span it is in (a night shift's morning belongs to the evening
        before; the opening counts, the close does not), else its date."""
        k = bisect_right(self.opens, t) - 1
        day = self.date_of(t)
        return self.span_day[k] if k >= 0 and t < self.closes[k] else day

    def day_until(self, t: int) -> int:
        """The day that ``t`` ends in: that of the span it is in (the close counts, the opening does not), else its
        date."""
        k = bisect_left(self.opens, t) - 1
        day = self.date_of(t)
        return self.span_day[k] if k >= 0 and t <= self.closes[k] else day

    def reading(self, day: int, t: int) -> int:
        """The clock reading at ``t``, counted from the midnight of ``day`` (24 h and more: the day after)."""
        start = self.day_start[day]
        if self.day_start[day + 2] - start == 2 * DAY:
            return t - start
        wall = t + _offset_of(self.zone, t)
        return wall - (self.first + day - _EPOCH_ORDINAL) * DAY

    def at(self, day: int, reading: int) -> int:
        """The moment at which the clock first shows ``reading`` of ``day``, or later."""
        self._inside(day)
        start = self.day_start[day]
        if self.day_start[day + 2] - start == 2 * DAY:
            return start + reading
        return reading_to_us(self.zone, self.first + day, reading)

    def midnight(self, day: int) -> int:
        """24:00 of ``day``."""
        self._inside(day)
        return self.day_start[day + 1]

    def close(self, day: int) -> int:
        """The close of business of ``day``; 24:00 where it has no hours."""
        self._inside(day)
        end = self.span_at[day + 1]
        return self.closes[end - 1] if end > self.span_at[day] else self.day_start[day + 1]

    def is_working(self, day: int) -> bool:
        """Whether ``day`` has working hours."""
        return self.span_at[day + 1] > self.span_at[day]

    def nth_workday(self, k: int) -> int:
        """The day that is the ``k``-th working day of the timeline, from 0."""
        if k < 0 or k >= len(self.workdays):
            raise OffTimeline
        return self.workdays[k]

    def date(self, day: int) -> date:
        """The date of a day."""
        return date.fromordinal(self.first + day)

    def saw_assumed(self, low: int, high: int) -> bool:
        """Whether a day from ``low`` to ``high``, both included, is of an unpublished year."""
        return self.assumed[high + 1] > self.assumed[low] if high >= low else False

    def _inside(self, day: int) -> None:
        if day < 2 or day > len(self.day_start) - 4:
            raise OffTimeline
