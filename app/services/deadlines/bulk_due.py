"""Vectorized ``app.domain.time.due.due``: the due times for an array of starts, in millions.

Two methods give results equal to the second. ``_exact`` runs the scalar searches with numpy. For many starts, ``_tabled``
uses that between two adjacent edges of working time a deadline is either constant or moves with its start: it calls
``_exact`` at the edges of a grid that contains all working hours, and looks up the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from app.domain.time.deadline_run import check_us, moment_us, unrolled
from app.domain.time.limit import Limit
from app.domain.time.timeline import DAY, SECOND, OffTimeline, Timeline, from_us
from app.domain.time.workcalendar import WorkCalendar

Moments = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Answer = tuple[Moments, Flags]

_CHUNK = 1 << 15
"""Starts per chunk: small enough for the intermediate arrays to stay in the processor's cache."""
_MANY = 5_000
_FINEST = 60 * SECOND
_COARSEST = 3600 * SECOND


def due_many(calendar: WorkCalendar, starts: npt.ArrayLike, limit: Limit, *, unit: Literal["s", "us"] = "s") -> Answer:
    """When ``limit`` is due for each of ``starts``: (due, provisional), equal to ``due`` to the second.

    ``starts`` and the answer are int64 seconds (``unit`` "us": microseconds) since 1970 UTC. Seconds are rounded down
    where a limit ends within one. Raises ``Invalid`` where one of the starts or ends cannot be taken.
    """
    given = np.ascontiguousarray(starts, dtype=np.int64)
    if given.size == 0:
        return given.copy(), np.zeros(given.shape, bool)
    flat = given.reshape(-1)
    scale = 1 if unit == "us" else SECOND
    low, high = int(flat.min()) * scale, int(flat.max()) * scale
    for us in (low, high):
        check_us(us)
        moment_us(from_us(us), "/starts")
    if limit.unit == "hours":
        check_us(low + limit.micros)
        check_us(high + limit.micros)
        ends = (flat * scale + limit.micros) // scale
        return ends.reshape(given.shape), np.zeros(given.shape, bool)

    def work(line: Timeline) -> Answer:
        table = _table(line, limit, low, high, flat.size) if limit.amount > 0 else None
        if table is not None:
            return _tabled(table, flat, scale)
        return _searched(_arrays(line), limit, flat, scale)

    due, provisional = unrolled(calendar, low, high, work, limit.amount >= 0)
    return due.reshape(given.shape), provisional.reshape(given.shape)


def working_many(calendar: WorkCalendar, starts: npt.ArrayLike, ends: npt.ArrayLike) -> Moments:
    """Working time in µs between each of ``starts`` and its end (int64 µs since 1970 UTC), as ``limits.elapsed`` says;
    negative where the end is before the start. Raises ``Invalid`` where one of the moments cannot be taken."""
    a, b = (np.ascontiguousarray(each, dtype=np.int64) for each in (starts, ends))
    if a.size == 0:
        return a.copy()
    low, high = min(int(a.min()), int(b.min())), max(int(a.max()), int(b.max()))
    for us in (low, high):
        check_us(us)

    def work(line: Timeline) -> Moments:
        arrays = _arrays(line)
        return _done(arrays, b) - _done(arrays, a)

    return unrolled(calendar, low, high, work)


def _done(a: _Arrays, t: Moments) -> Moments:
    """Working time from the timeline's beginning to each of ``t``."""
    if a.opens.size == 0:
        raise OffTimeline
    _dates(a, t)
    k = a.search("opens", t, "right") - 1
    found: Moments = np.where(k >= 0, a.before[k] + np.minimum(t, a.closes[k]) - a.opens[k], 0)
    return found


# -- the exact way -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Arrays:
    """A timeline's lists as arrays."""

    line: Timeline
    day_start: Moments
    span_at: Moments
    opens: Moments
    closes: Moments
    before: Moments
    span_day: Moments
    workdays: Moments
    worked: Moments
    assumed: Moments
    close: Moments
    """The close of business of each day."""
    grid: int
    """The longest step on which all edges of working time and all midnights lie, from the first midnight on."""
    counts: dict[str, Moments]
    """For each list asked for: how many of its edges lie on or before each step of the grid."""

    def search(
        self, name: Literal["opens", "before", "day_start"], t: Moments, side: Literal["left", "right"]
    ) -> Moments:
        """``numpy.searchsorted`` in one of the lists; many are looked up, since every edge lies on the grid."""
        edges: Moments = getattr(self, name)
        if t.size < _MANY or self.grid < _FINEST or edges.size == 0:
            return np.searchsorted(edges, t, side).astype(np.int64, copy=False)
        origin = 0 if name == "before" else int(self.day_start[0])
        if name not in self.counts:
            steps = (int(edges[-1]) - origin) // self.grid + 2
            self.counts[name] = np.searchsorted(edges, origin + np.arange(steps) * self.grid, "right")
        cell = t - (origin + (side == "left"))
        cell //= self.grid
        found = self.counts[name].take(cell, mode="clip")
        found[cell < 0] = 0
        return found


_ARRAYS: WeakKeyDictionary[Timeline, _Arrays] = WeakKeyDictionary()


def _arrays(line: Timeline) -> _Arrays:
    found = _ARRAYS.get(line)
    if found is None:
        names = ("day_start", "span_at", "opens", "closes", "before", "span_day", "workdays", "worked", "assumed")
        made = {name: np.array(getattr(line, name), dtype=np.int64) for name in names}
        start, at = made["day_start"], made["span_at"]
        close = np.append(start[1:], start[-1] + DAY)
        working = at[1:] > at[:-1]
        close[working] = made["closes"][at[1:][working] - 1]
        edges = np.concatenate([start, made["opens"], made["closes"]]) - start[0]
        found = _Arrays(line, **made, close=close, grid=int(np.gcd.reduce(edges)), counts={})
        _ARRAYS[line] = found
    return found


def _within(index: Moments, size: int) -> Moments:
    """Return ``index``; raises ``OffTimeline`` if an element lies outside the unrolled years."""
    if index.size and (int(index.min()) < 0 or int(index.max()) >= size):
        raise OffTimeline
    return index


def _searched(a: _Arrays, limit: Limit, starts: Moments, scale: int) -> Answer:
    """The deadlines of ``starts`` by search, a part at a time."""
    due, provisional = np.empty_like(starts), np.empty(starts.shape, bool)
    for begin in range(0, starts.size, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        ends, provisional[part] = _exact(a, limit, starts[part] * scale)
        np.floor_divide(ends, scale, out=due[part])
    return due, provisional


def _exact(a: _Arrays, limit: Limit, starts: Moments) -> Answer:
    """The deadlines of ``starts`` (µs) by search."""
    if limit.unit == "working_hours":
        due, low, high = _hours(a, limit.micros, starts)
    elif limit.amount == 0:
        return starts.copy(), np.zeros(starts.shape, bool)
    else:
        due, low, high = _days(a, limit, starts)
    return due, a.assumed[np.maximum(high + 1, low)] > a.assumed[low]


def _dates(a: _Arrays, t: Moments) -> Moments:
    days = a.search("day_start", t, "right") - 1
    _within(days - 2, a.day_start.size - 5)
    return days


def _day_from(a: _Arrays, t: Moments) -> Moments:
    k = a.search("opens", t, "right") - 1
    days = _dates(a, t)
    inside = (k >= 0) & (t < a.closes[k])
    return np.where(inside, a.span_day[k], days)


def _day_until(a: _Arrays, t: Moments) -> Moments:
    k = a.search("opens", t, "left") - 1
    days = _dates(a, t)
    inside = (k >= 0) & (t <= a.closes[k])
    return np.where(inside, a.span_day[k], days)


def _hours(a: _Arrays, micros: int, starts: Moments) -> tuple[Moments, Moments, Moments]:
    if a.opens.size == 0:
        raise OffTimeline
    k = a.search("opens", starts, "right") - 1
    if micros == 0:
        working = (k >= 0) & (starts <= a.closes[k])
        due = np.where(working, starts, a.opens[_within(np.where(working, k, k + 1), a.opens.size)])
        first = _day_until(a, starts)
        return due, first, np.where(due == starts, first, _day_from(a, due))
    done = np.where(k >= 0, a.before[k] + np.minimum(starts, a.closes[k]) - a.opens[k], 0) + micros
    if micros > 0:
        if int(done.max()) > a.line.total:
            raise OffTimeline
        k = a.search("before", done, "left") - 1
        due = a.opens[k] + done - a.before[k]
        return due, _day_from(a, starts), a.span_day[k]
    if int(done.min()) < 0 or int(done.max()) >= a.line.total:
        raise OffTimeline
    k = a.search("before", done, "right") - 1
    due = a.opens[k] + done - a.before[k]
    return due, _day_from(a, due), _day_until(a, starts)


def _days(a: _Arrays, limit: Limit, starts: Moments) -> tuple[Moments, Moments, Moments]:
    count, working = int(limit.amount), limit.unit == "working_days"
    back = count < 0
    days = (_day_until if back else _day_from)(a, starts) if working else _dates(a, starts)
    first = np.zeros(days.shape, np.int64)
    if limit.count_first_day:
        counts = a.span_at[days + 1] > a.span_at[days] if working else np.ones(days.shape, bool)
        if limit.ends != "same_time":
            end = _ends(a, limit, days, days, starts)
            counts &= end < starts if back else end > starts
        first = counts.astype(np.int64)
    if not working:
        target = days + count + (first if back else -first)
    elif back:
        target = a.workdays[_within(a.worked[days + first] + count, a.workdays.size)]
    else:
        target = a.workdays[_within(a.worked[days + 1 - first] + count - 1, a.workdays.size)]
    _within(target - 2, a.day_start.size - 5)
    due = _ends(a, limit, target, days, starts)
    if not working:
        return (due, target, target) if limit.ends == "close" else (due, target, target - 1)
    return (due, target, days - 1 + first) if back else (due, days + 1 - first, target)


def _ends(a: _Arrays, limit: Limit, target: Moments, days: Moments, starts: Moments) -> Moments:
    """The moment at which the day ``target`` ends the limit that began at ``starts`` on ``days``."""
    if limit.ends == "close":
        return a.close[target]
    if limit.ends == "midnight":
        return a.day_start[target + 1]
    reading = starts - a.day_start[days]
    odd = np.flatnonzero(a.day_start[days + 2] - a.day_start[days] != 2 * DAY)
    for n in odd:  # days on which the clock changes: few
        reading[n] = a.line.reading(int(days[n]), int(starts[n]))
    due = a.day_start[target] + reading
    for n in np.flatnonzero(a.day_start[target + 2] - a.day_start[target] != 2 * DAY):
        due[n] = a.line.at(int(target[n]), int(reading[n]))
    return due


# -- the fast way ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Deadlines on a grid: a start ``t`` in cell ``c`` is due at ``add[c] + (t & keep[c])``."""

    origin: int
    step: int
    keep: Moments
    """-1 where the deadline moves with its start, 0 where it is constant."""
    add: Moments
    provisional: Flags
    left_open: bool


_TABLES: WeakKeyDictionary[Timeline, dict[tuple[Limit, int, int], _Table | None]] = WeakKeyDictionary()


def _table(line: Timeline, limit: Limit, low: int, high: int, size: int) -> _Table | None:
    """The table for starts from ``low`` to ``high``; None if it would cost more than it saves."""
    a = _arrays(line)
    step = int(np.gcd(a.grid, limit.micros)) if limit.micros else a.grid
    step = int(np.gcd(step, _COARSEST))
    if step < _FINEST:
        return None
    # Whole years, so that the next array of starts reuses this table.
    begin, end = (_year_start(line, line.date_of(us), add) for us, add in ((low - SECOND, 0), (high, 1)))
    first, cells = (begin - line.day_start[0]) // step, (end - begin) // step + 1
    known = _TABLES.setdefault(line, {})
    key = (limit, first, cells)
    if key not in known:
        if size < cells // 4:
            return None
        if len(known) >= 16:
            known.clear()
        known[key] = _make_table(a, limit, line.day_start[0] + first * step, step, cells)
    return known[key]


def _year_start(line: Timeline, day: int, add: int) -> int:
    year = date(line.date(day).year + add, 1, 1).toordinal() - line.first
    if year + 3 >= len(line.day_start):
        raise OffTimeline
    return line.day_start[max(year, 2)]


def _make_table(a: _Arrays, limit: Limit, origin: int, step: int, cells: int) -> _Table | None:
    edges = origin + np.arange(cells, dtype=np.int64) * step
    near, provisional = _exact(a, limit, edges + 1)
    far, _ = _exact(a, limit, edges + step - 1)
    moves = far - near == step - 2
    if not np.all(moves | (far == near)):
        return None
    keep = np.where(moves, np.int64(-1), np.int64(0))
    # Working time is used up at the end of a span, a day begins with its midnight: so an edge itself belongs to the
    # cell before it under hours, to the cell after it under days.
    return _Table(origin, step, keep, near - ((edges + 1) & keep), provisional, limit.unit == "working_hours")


def _tabled(table: _Table, starts: Moments, scale: int) -> Answer:
    due = np.empty_like(starts)
    flagged = bool(table.provisional.any())
    provisional = np.zeros(starts.shape, bool)
    origin = table.origin // scale + table.left_open
    step, add = table.step // scale, table.add // scale
    moving = bool(table.keep.any())
    for begin in range(0, starts.size, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        t = starts[part]
        cell = t - origin
        cell //= step
        out = due[part]
        np.take(add, cell, out=out, mode="clip")
        if moving:
            out += t & table.keep.take(cell, mode="clip")
        if flagged:
            np.take(table.provisional, cell, out=provisional[part], mode="clip")
    return due, provisional
