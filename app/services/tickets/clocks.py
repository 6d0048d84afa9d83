"""Both clocks and the hold times of a ticket, derived from its event log."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from sqlmodel import Session

from app.domain.tickets.clocks import Clock, Clocks, clocks
from app.domain.tickets.life import TicketLife
from app.domain.time.workcalendar import WorkCalendar
from app.models import TicketEvent
from app.services.core.reference import Reference
from app.services.core.views import moment
from app.store import tickets as store


def clocks_of(ref: Reference, events: list[TicketEvent], now: datetime) -> Clocks:
    """The clocks of the ticket with the complete log ``events``, each unit's by the calendar in force for it."""
    life = TicketLife()
    for event in events:
        life.take(event.type, event.at, event.data)

    def calendar_of(code: str | None) -> WorkCalendar:
        unit = ref.unit_by_code(code) if code is not None else None
        return ref.calendar_for(unit.id if unit else None)[1]

    return clocks(life, calendar_of, now)


def clocks_view(session: Session, ref: Reference, ticket_id: int, now: datetime, zone: tzinfo) -> dict[str, Any]:
    """The clocks of a ticket for a response."""
    result = clocks_of(ref, store.events_of(session, ticket_id), now)

    def one(clock: Clock | None) -> dict[str, Any] | None:
        if clock is None:
            return None
        state = "ended" if clock.until is not None else "standing" if clock.paused else "running"
        return {
            "since": moment(clock.since, zone), "until": moment(clock.until, zone), "seconds": clock.seconds,
            "state": state,
        }  # fmt: skip

    unit = one(result.unit)
    if unit is not None and result.unit is not None:
        unit["suspended_seconds"] = result.unit.suspended_seconds
    held = []
    for each in result.held:
        node = ref.unit_by_code(each.unit)
        held.append(
            {
                "unit": each.unit, "unit_name": node.name if node else each.unit, "spells": each.spells,
                "natural_seconds": each.natural_seconds, "working_seconds": each.working_seconds, "now": each.now,
            }
        )  # fmt: skip
    return {"as_of": moment(now, zone), "unit_clock": unit, "citizen_clock": one(result.citizen), "held": held}
