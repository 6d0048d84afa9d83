"""Rebuild the deadlines of a ticket from its event log alone: the independent computation behind
``duban deadlines verify``.

An event names the deadlines it opened, moved or ended, with the versions of policy and calendar. These, with the logged
suspensions, extensions and corrections, give each deadline's start, limit, calendar, extension and suspended time; ``due``
computes the rest. Due times in the log are not trusted, except a limit set by the source, which is given and not computed.
``take`` defines the effect of each event; ``docs/deadlines.md`` has the same as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from app.domain.tickets.life import Event
from app.domain.time.due import Due, Limit, due
from app.domain.time.workcalendar import WorkCalendar

UNIT_CLOCK: Final = ("accept", "contact", "complete")
"""Targets that are paused while the ticket is suspended."""
_BEGIN: Final = frozenset({"received", "dispatched", "reassigned", "return_refused", "completed", "reopened"})
"""Events that begin the deadlines they name; others that name one have moved it."""
_MOVE_MET: Final = frozenset({"contacted", "suspended", "resumed"})
"""Events that may move a deadline already met: a contact made while the clock was paused, or after the start of a
suspension that was recorded later."""
_MEET: Final = {
    "accepted": "accept",
    "contacted": "contact",
    "completed": "complete",
    "called_back": "callback",
    "supervision_order_replied": "supervise",
}
_ORDER_ENDS: Final = frozenset({"supervision_order_closed", "supervision_order_cancelled"})
_ORDER_BEGINS: Final = frozenset(
    {"supervision_order_issued", "supervision_order_advanced", "supervision_order_refused"}
)

LimitOf = Callable[[int, str], Limit | None]
"""The limit that a version of a policy sets for a target."""
CalendarOf = Callable[[int], WorkCalendar]
"""The calendar of a version."""


@dataclass(slots=True)
class RebuiltDeadline:
    """One deadline rebuilt from the event log. ``policy_id`` none: a limit set by the source, due at ``logged_due_at``."""

    target: str
    start: datetime
    logged_due_at: datetime
    """The latest due time in the log."""
    policy_id: int | None
    calendar_id: int | None
    extended_days: int = 0
    met_at: datetime | None = None
    cancelled_at: datetime | None = None
    suspensions: tuple[tuple[datetime, datetime], ...] = ()
    """Ended suspensions; those of a deadline that was met are cut at that moment."""

    @property
    def running(self) -> bool:
        """Whether it is neither met nor cancelled."""
        return self.met_at is None and self.cancelled_at is None

    def compute(self, limit_of: LimitOf, calendar_of: CalendarOf) -> Due | None:
        """Compute the due time from start, limit, calendar, extension and suspensions; None if the policy has no such limit.

        Raises the errors of ``due``, and those of ``limit_of`` and ``calendar_of`` for an unknown version.
        """
        if self.policy_id is None or self.calendar_id is None:
            return Due(self.logged_due_at, False)
        limit = limit_of(self.policy_id, self.target)
        if limit is None:
            return None
        extension = [Limit("working_days", self.extended_days)] if self.extended_days else []
        spans = self.suspensions if self.target in UNIT_CLOCK else ()
        return due(calendar_of(self.calendar_id), self.start, limit, suspensions=spans, extensions=extension)


@dataclass
class RebuiltDeadlines:
    """The deadlines of one ticket by target, in the order in which they were opened."""

    deadlines: dict[str, list[RebuiltDeadline]] = field(default_factory=dict)
    suspensions: list[tuple[datetime, datetime]] = field(default_factory=list)
    _suspended_at: datetime | None = None
    _received_at: datetime | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> RebuiltDeadlines:
        """Rebuild the deadlines from ``events``, which are in log order."""
        rebuilt = cls()
        for event_type, at, data in events:
            rebuilt.take(event_type, at, data)
        for deadline in (deadline for listed in rebuilt.deadlines.values() for deadline in listed):
            deadline.suspensions = tuple(rebuilt._until(deadline.met_at))
        return rebuilt

    @property
    def all_suspensions(self) -> list[tuple[datetime, datetime | None]]:
        """The suspensions in order, the one that is open (None) last."""
        return [*self.suspensions, *([] if self._suspended_at is None else [(self._suspended_at, None)])]

    def _until(self, met: datetime | None) -> list[tuple[datetime, datetime]]:
        if met is None:
            return self.suspensions
        return [(a, met if b is None else min(b, met)) for a, b in self.all_suspensions if a < met]

    def running(self, target: str | None = None) -> list[RebuiltDeadline]:
        """The deadlines that are neither met nor cancelled, of one target or of all."""
        wanted = self.deadlines if target is None else {target: self.deadlines.get(target, [])}
        return [deadline for listed in wanted.values() for deadline in listed if deadline.running]

    def in_force(self, target: str) -> RebuiltDeadline | None:
        """The latest deadline of ``target``, met or not, unless it was cancelled."""
        latest = self.deadlines.get(target, [])[-1:]
        return latest[0] if latest and latest[0].cancelled_at is None else None

    def take(self, event_type: str, at: datetime, data: Mapping[str, Any]) -> None:
        """Apply one event. A repair (``deadline_mended``) repeats what earlier events state and is skipped."""
        if event_type == "deadline_mended":
            return
        self._clock(event_type, at)
        self._end(event_type, at, data)
        if event_type in _ORDER_BEGINS and data.get("policy") is not None:
            self._begin("supervise", at, {**data, "to": data["due_at"]})
        elif event_type == "extension_approved":
            for deadline in self.running("complete"):
                deadline.extended_days += int(data["days"])
        elif event_type == "corrected":
            self._judge_again(data)
        for target, entry in (data.get("deadlines") or {}).items():
            self._entry(event_type, target, at, entry)
        for target, calendar_id in (data.get("calendars") or {}).items():
            for deadline in self.running(target):
                deadline.calendar_id = calendar_id

    def _clock(self, event_type: str, at: datetime) -> None:
        """Apply the event to receipt time and suspensions."""
        if event_type == "received":
            self._received_at = at
        elif event_type == "suspended":
            self._suspended_at = at
        elif event_type in ("resumed", "voided") and self._suspended_at is not None:
            self.suspensions.append((self._suspended_at, at))
            self._suspended_at = None

    def _end(self, event_type: str, at: datetime, data: Mapping[str, Any]) -> None:
        """Meet or cancel the deadlines that this event type ends, named in the event or not."""
        if event_type in _MEET and data.get("moment") != "unknown":
            self._meet(_MEET[event_type], at)
        elif event_type == "voided":
            self._cancel(at)
        elif event_type in _ORDER_ENDS:
            self._cancel(at, "supervise")

    def _entry(self, event_type: str, target: str, at: datetime, entry: Mapping[str, Any]) -> None:
        if entry.get("to") is None:
            self._cancel(at, target)
            return
        met = self.in_force(target) if event_type in _MOVE_MET else None
        moved = self.running(target) or ([met] if met is not None else [])
        begins = event_type in _BEGIN and target != "supervise"  # that one begins with its order
        if begins or not moved:
            self._begin(target, _moment(entry["start"]) if "start" in entry else at, entry)
            return
        for deadline in moved:
            deadline.logged_due_at = _moment(entry["to"])
            deadline.policy_id, deadline.calendar_id = entry.get("policy"), entry.get("calendar")

    def _begin(self, target: str, start: datetime, entry: Mapping[str, Any]) -> None:
        """Begin a deadline, replacing the one that still runs."""
        fresh = RebuiltDeadline(target, start, _moment(entry["to"]), entry.get("policy"), entry.get("calendar"))
        listed = self.deadlines.setdefault(target, [])
        if listed and listed[-1].running:
            listed[-1] = fresh
        else:
            listed.append(fresh)

    def _meet(self, target: str, at: datetime) -> None:
        for deadline in self.running(target):
            deadline.met_at = at

    def _cancel(self, at: datetime, target: str | None = None) -> None:
        for deadline in self.running(target):
            deadline.cancelled_at = at

    def _judge_again(self, data: Mapping[str, Any]) -> None:
        """Apply a correction: deadlines begun at the receipt move with it; all running ones get the policy that applies now."""
        moved = _moment(data["received_at"]) if data.get("received_at") else None
        running = [deadline for target in (*UNIT_CLOCK, "callback") for deadline in self.running(target)]
        for deadline in running:
            if moved is not None and deadline.start == self._received_at:
                deadline.start = moved
            if data.get("policy") is not None:
                bound = deadline.target == "complete" and data.get("bound")
                deadline.policy_id = None if bound else data["policy"]
        self._received_at = moved or self._received_at


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
