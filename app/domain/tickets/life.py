"""A ticket's state derived from its event log, as of any moment.

``TicketLife`` applies events one by one in log order; the ticket row holds the current state only. Reports use it for
tickets that changed after their ``as_of``, the verifier for all tickets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from app.domain.tickets.lifecycle import COMPLETED, OPEN

State = Literal["absent", "open", "completed", "void"]
Event = tuple[str, datetime, Mapping[str, Any]]
"""Type, moment and data of one event of the log."""

_MOVES: Mapping[str, str] = {
    "received": "received",
    "dispatched": "dispatched",
    "reassigned": "dispatched",
    "return_refused": "dispatched",
    "accepted": "accepted",
    "returned": "returned",
    "suspended": "suspended",
    "resumed": "accepted",
    "completed": "completed",
    "closed": "closed",
    "reopened": "reopened",
    "voided": "void",
}
"""The state that an event leads to; other events leave the state unchanged."""
STEPS = tuple(sorted({*_MOVES, "contacted", "called_back"} - {"received", "dispatched"}))
"""Events that later recorded steps must not precede. Receipt and dispatch are excluded: a correction may move them, and
the ticket row has their corrected moments."""
STATE_STEPS = tuple(sorted({*_MOVES} - {"received", "dispatched"}))
"""Those that change the state: a suspension may be recorded as begun before a contact with the citizen."""


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _known(at: datetime, data: Mapping[str, Any]) -> datetime | None:
    return None if data.get("moment") == "unknown" else at


@dataclass(slots=True)
class HoldPeriod:
    """A period in which a unit held the ticket, from ``since`` to ``until`` (none: it still does)."""

    unit: str
    since: datetime
    until: datetime | None = None


@dataclass
class TicketLife:
    """The state after the events applied so far. Moments are aware; ``due`` maps each target to its deadline in force. A step
    of imported history with an unknown moment (``"moment": "unknown"``) changes the state and leaves its moment empty.
    """

    status: str = ""
    kind: str | None = None
    category: str | None = None
    priority: str = "normal"
    severity: str | None = None
    unit: str | None = None
    first_unit: str | None = None
    grid: str | None = None
    stage: str = "assigned"
    source_verdict: str | None = None
    received_at: datetime | None = None
    dispatched_at: datetime | None = None
    accepted_at: datetime | None = None
    contacted_at: datetime | None = None
    completed_at: datetime | None = None
    first_completed_at: datetime | None = None
    closed_at: datetime | None = None
    voided_at: datetime | None = None
    suspended_at: datetime | None = None
    due: dict[str, datetime] = field(default_factory=dict)
    suspensions: list[tuple[datetime, datetime]] = field(default_factory=list)
    spells: list[HoldPeriod] = field(default_factory=list)
    began_at: datetime | None = None
    """When the unit clock last began: dispatch, reassignment, reopening."""
    attempts: int = 0
    reached: bool = False
    satisfaction: str | None = None
    resolved: bool | None = None
    speed: int | None = None
    attitude: int | None = None
    result_score: int | None = None
    supervised: bool = False
    reopens: int = 0
    returns: int = 0
    extensions: int = 0
    was_suspended: bool = False

    @property
    def state(self) -> State:
        """Absent before the first event; else open, completed or void."""
        if not self.status:
            return "absent"
        if self.status in OPEN:
            return "open"
        return "completed" if self.status in COMPLETED else "void"

    def take(self, event_type: str, at: datetime, data: Mapping[str, Any]) -> None:
        """Apply one event. Types without effect on the ticket's state or deadlines are ignored."""
        self.status = _MOVES.get(event_type, self.status)
        for target, move in (data.get("deadlines") or {}).items():
            to = _moment(move.get("to"))
            if to is None:
                self.due.pop(target, None)
            else:
                self.due[target] = to
        handler = _HANDLERS.get(event_type)
        if handler is not None:
            handler(self, at, data)

    def suspended_spans(self, until: datetime) -> list[tuple[datetime, datetime]]:
        """The suspensions in order; an open one ends at ``until``."""
        still_open = [] if self.suspended_at is None else [(self.suspended_at, max(until, self.suspended_at))]
        return [*self.suspensions, *still_open]

    def _release(self, at: datetime) -> None:
        if self.spells and self.spells[-1].until is None:
            self.spells[-1].until = at

    def _hold(self, unit: str | None, at: datetime) -> None:
        self._release(at)
        self.unit = unit
        self.began_at = at
        if unit is not None:
            self.first_unit = self.first_unit or unit
            self.spells.append(HoldPeriod(unit, at))

    def _received(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.received_at = at
        for name in ("kind", "category", "severity", "grid", "source_verdict"):
            setattr(self, name, data.get(name))
        self.priority = data.get("priority") or "normal"

    def _dispatched(self, at: datetime, data: Mapping[str, Any]) -> None:
        self._hold(data.get("unit"), at)
        self.dispatched_at = _known(at, data)
        self.accepted_at = self.contacted_at = None

    def _accepted(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.accepted_at = _known(at, data)

    def _contacted(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.contacted_at = self.contacted_at or at

    def _returned(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.returns += 1
        self._release(at)

    def _return_refused(self, at: datetime, data: Mapping[str, Any]) -> None:
        """Reopen the hold period: the unit held the ticket throughout, and its clock was not stopped."""
        if self.spells:
            self.spells[-1].until = None

    def _suspended(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.suspended_at = at
        self.was_suspended = True

    def _resumed(self, at: datetime, data: Mapping[str, Any]) -> None:
        if self.suspended_at is not None:
            self.suspensions.append((self.suspended_at, at))
        self.suspended_at = None

    def _completed(self, at: datetime, data: Mapping[str, Any]) -> None:
        self._release(at)
        self.completed_at = _known(at, data)
        self.first_completed_at = self.first_completed_at or self.completed_at
        self.source_verdict = data.get("source_verdict", self.source_verdict)

    def _closed(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.closed_at = _known(at, data)

    def _reopened(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.reopens += 1
        self._hold(self.unit, at)
        self.completed_at = self.closed_at = self.contacted_at = None

    def _voided(self, at: datetime, data: Mapping[str, Any]) -> None:
        self._resumed(at, data)
        self._release(at)
        self.voided_at = at

    def _called_back(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.attempts += 1
        if data.get("outcome") != "reached":
            return
        self.reached = True
        for name in ("satisfaction", "resolved", "speed", "attitude", "result_score"):
            setattr(self, name, data.get(name))

    def _extended(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.extensions += 1

    def _ordered(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.supervised = True

    def _raised(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.stage = data.get("to", self.stage)

    def _corrected(self, at: datetime, data: Mapping[str, Any]) -> None:
        moved = _moment(data.get("received_at"))
        if moved is not None:
            before, self.received_at = self.received_at, moved
            if self.spells and self.spells[0].since == before:  # dispatched by the source itself
                self.spells[0].since = moved
            self.dispatched_at = moved if self.dispatched_at == before else self.dispatched_at
            self.began_at = moved if self.began_at == before else self.began_at
        for name, change in (data.get("changes") or {}).items():
            if name in ("kind", "category", "priority", "severity", "grid") and isinstance(change, Mapping):
                setattr(self, name, change.get("to") or ("normal" if name == "priority" else None))


_HANDLERS = {
    "received": TicketLife._received,
    "dispatched": TicketLife._dispatched,
    "reassigned": TicketLife._dispatched,
    "accepted": TicketLife._accepted,
    "contacted": TicketLife._contacted,
    "returned": TicketLife._returned,
    "return_refused": TicketLife._return_refused,
    "suspended": TicketLife._suspended,
    "resumed": TicketLife._resumed,
    "completed": TicketLife._completed,
    "closed": TicketLife._closed,
    "reopened": TicketLife._reopened,
    "voided": TicketLife._voided,
    "called_back": TicketLife._called_back,
    "extension_approved": TicketLife._extended,
    "supervision_order_issued": TicketLife._ordered,
    "stage_raised": TicketLife._raised,
    "corrected": TicketLife._corrected,
}


def life_until(events: Iterable[Event], until: datetime, *, included: bool) -> TicketLife:
    """Return the life as of ``until``: the events before it, and those at that exact moment if ``included``.

    Events are in log order; one recorded late counts by when it happened.
    """
    life = TicketLife()
    for event_type, at, data in events:
        if at < until or (included and at == until):
            life.take(event_type, at, data)
    return life


def as_known(events: Iterable[Event], life: TicketLife) -> list[Event]:
    """Return the events with the corrected receipt of ``life``, applied also to a dispatch at the same moment.

    Events before the corrected receipt count from it: a ticket received in March was not open in February, though it had
    been dispatched then."""
    listed = list(events)
    logged = next((at for event_type, at, _ in listed if event_type == "received"), None)
    if logged is None or life.received_at is None or logged == life.received_at:
        return listed
    known = life.received_at
    return [
        (event_type, known if at == logged and event_type in ("received", "dispatched") else max(at, known), data)
        for event_type, at, data in listed
    ]
