"""Two clocks of a ticket, and how long each unit had it (首问负责).

* The **unit clock** (working time on the unit's calendar) begins at the dispatch, and anew at a reassignment and a
  reopening; it stands still while the ticket is suspended, and ends with the completion. A return does not stop it: until
  the office has sent the ticket to another unit, the one that had it is answerable.
* The **citizen clock** (natural time) runs from the first report to the true end, the last completion, and nothing sets
  it back: a ticket that is reopened was never done.
* **Hold-time**: the spells in which each unit had the ticket, from dispatch to return, reassignment, completion or void.
  A return that the office refused does not end one. Time suspended counts as held, and not as working time.

Sources: ``domain.md``, "Life of a ticket"; the office's rule of first asking (首问负责制).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.tickets.life import TicketLife
from app.domain.time.due import elapsed
from app.domain.time.workcalendar import WorkCalendar

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Clock:
    """One clock: since when, until when (none: it is running), and the seconds on it."""

    since: datetime
    until: datetime | None
    seconds: int
    suspended_seconds: int = 0
    """Working seconds suspended, which are not in ``seconds``."""
    standing: bool = False
    """Whether it stands still now, because the ticket is suspended."""


@dataclass(frozen=True, slots=True)
class UnitHold:
    """How long one unit had the ticket: in how many spells, natural and working seconds, and whether it has it now."""

    unit: str
    spells: int
    natural_seconds: int
    working_seconds: int
    now: bool


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks and the hold-times, in the order in which the units first had the ticket. A ticket that was never
    dispatched has no unit clock, and one that ended at a moment nobody knows has neither."""

    unit: Clock | None
    citizen: Clock | None
    held: tuple[UnitHold, ...]


def clocks(life: TicketLife, calendar_of: Callable[[str | None], WorkCalendar], now: datetime) -> Clocks:
    """The clocks of a life as of ``now``. ``calendar_of``: the calendar of the unit with this code."""
    return Clocks(unit_clock(life, calendar_of, now), citizen_clock(life, now), hold_times(life, calendar_of, now))


def unit_clock(life: TicketLife, calendar_of: Callable[[str | None], WorkCalendar], now: datetime) -> Clock | None:
    """The unit clock: working seconds since it last began, the suspended ones taken off."""
    if life.began_at is None or _end_unknown(life):
        return None
    ended = _end(life)
    until = now if ended is None else ended
    calendar = calendar_of(life.unit)
    suspended = _working(calendar, _within(life.suspended_spans(until), life.began_at, until))
    total = _working(calendar, [(life.began_at, max(until, life.began_at))])
    return Clock(life.began_at, ended, total - suspended, suspended, life.suspended_at is not None)


def citizen_clock(life: TicketLife, now: datetime) -> Clock | None:
    """The citizen clock: natural seconds since the first report."""
    if life.received_at is None or _end_unknown(life):
        return None
    ended = _end(life)
    return Clock(life.received_at, ended, _natural(life.received_at, now if ended is None else ended))


def hold_times(
    life: TicketLife, calendar_of: Callable[[str | None], WorkCalendar], now: datetime
) -> tuple[UnitHold, ...]:
    """For every unit that had the ticket, how long; each by its own calendar."""
    spells: dict[str, list[Span]] = {}
    holder: str | None = None
    for spell in life.spells:
        spells.setdefault(spell.unit, []).append((spell.since, now if spell.until is None else spell.until))
        holder = spell.unit if spell.until is None else None
    suspended = life.suspended_spans(now)
    found = []
    for unit, spans in spells.items():
        calendar = calendar_of(unit)
        off = sum(_working(calendar, _within(suspended, a, b)) for a, b in spans)
        natural = sum(_natural(a, b) for a, b in spans)
        found.append(UnitHold(unit, len(spans), natural, _working(calendar, spans) - off, unit == holder))
    return tuple(found)


def _end(life: TicketLife) -> datetime | None:
    return life.completed_at if life.state == "completed" else life.voided_at


def _end_unknown(life: TicketLife) -> bool:
    """Whether a source says that it was completed, and not when."""
    return life.state == "completed" and life.completed_at is None


def _within(spans: Iterable[Span], since: datetime, until: datetime) -> list[Span]:
    return [(max(a, since), min(b, until)) for a, b in spans if b > since and a < until]


def _working(calendar: WorkCalendar, spans: Iterable[Span]) -> int:
    return sum(max(0, elapsed(calendar, a, b).working_seconds) for a, b in spans)


def _natural(since: datetime, until: datetime) -> int:
    """Whole seconds; none where the end was told to lie before the beginning, as imported history may have it."""
    return max(0, (until - since) // timedelta(seconds=1))
