"""The two clocks of a ticket, and how long each unit held it (首问负责).

* The **unit clock** (working time on the unit's calendar) starts at the dispatch and restarts at a reassignment and a
  reopening; it is paused while the ticket is suspended, and ends with the completion. A return does not stop it: the unit
  remains responsible until the office reassigns the ticket.
* The **citizen clock** (natural time) runs from the first report to the last completion and is never reset: a ticket
  that is reopened was never done.
* **Hold time**: the periods in which each unit held the ticket, from dispatch to return, reassignment, completion or void.
  A refused return does not end one. Suspended time counts as held, but not as working time.

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
    """One clock: its start, its end (none: it is running), and the seconds counted."""

    since: datetime
    until: datetime | None
    seconds: int
    suspended_seconds: int = 0
    """Suspended working seconds, not included in ``seconds``."""
    paused: bool = False
    """Whether it is paused now because the ticket is suspended."""


@dataclass(frozen=True, slots=True)
class UnitHold:
    """How long one unit held the ticket: number of periods, natural and working seconds, and whether it holds it now."""

    unit: str
    spells: int
    natural_seconds: int
    working_seconds: int
    now: bool


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks and the hold times, in the order in which the units first held the ticket. A ticket that was never
    dispatched has no unit clock; one that ended at an unknown moment has neither."""

    unit: Clock | None
    citizen: Clock | None
    held: tuple[UnitHold, ...]


def clocks(life: TicketLife, calendar_of: Callable[[str | None], WorkCalendar], now: datetime) -> Clocks:
    """Compute the clocks of a life as of ``now``. ``calendar_of`` returns the calendar of a unit code."""
    return Clocks(unit_clock(life, calendar_of, now), citizen_clock(life, now), hold_times(life, calendar_of, now))


def unit_clock(life: TicketLife, calendar_of: Callable[[str | None], WorkCalendar], now: datetime) -> Clock | None:
    """The unit clock: working seconds since it last started, less the suspended ones."""
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
    """The hold time of every unit that held the ticket, each by its own calendar."""
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
    """Whether the source reports a completion without its moment."""
    return life.state == "completed" and life.completed_at is None


def _within(spans: Iterable[Span], since: datetime, until: datetime) -> list[Span]:
    return [(max(a, since), min(b, until)) for a, b in spans if b > since and a < until]


def _working(calendar: WorkCalendar, spans: Iterable[Span]) -> int:
    return sum(max(0, elapsed(calendar, a, b).working_seconds) for a, b in spans)


def _natural(since: datetime, until: datetime) -> int:
    """Whole seconds; 0 if the recorded end precedes the start, as imported history may have it."""
    return max(0, (until - since) // timedelta(seconds=1))
