"""The deadlines of a ticket retold from its events alone, and computed again: the second opinion behind
``duban deadlines verify``.

An event says which deadlines it opened, moved or ended, and by which versions of policy and calendar. From that, and from
the suspensions, extensions and corrections it tells of, each deadline's start, limit, calendar, extension and suspended
time follow; ``due`` computes the rest. The due times that the log tells are not believed, but for a limit of the
source's own, which is given and not computed. Which event does what to which deadline, stands in ``take``; the same as
a table in ``docs/deadlines.md``.
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
"""Targets that stand still while the ticket is suspended."""
_BEGIN: Final = frozenset({"received", "dispatched", "reassigned", "return_refused", "completed", "reopened"})
"""Events that begin the deadlines they name; others that name one have moved it."""
_MOVE_MET: Final = frozenset({"contacted", "suspended", "resumed"})
"""Events that may move a deadline that was met: a contact made while the clock stood still, or after a suspension began
that was told of later."""
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
    """One deadline as the events tell it. ``policy_id`` none: the source's own limit, due at ``said``."""

    target: str
    start: datetime
    said: datetime
    """When the log last said it was due."""
    policy_id: int | None
    calendar_id: int | None
    extended_days: int = 0
    met_at: datetime | None = None
    cancelled_at: datetime | None = None
    suspensions: tuple[tuple[datetime, datetime], ...] = ()
    """Those that have ended; where it was met, as far as they lie before that."""

    @property
    def running(self) -> bool:
        """Whether it is neither met nor cancelled."""
        return self.met_at is None and self.cancelled_at is None

    def compute(self, limit_of: LimitOf, calendar_of: CalendarOf) -> Due | None:
        """When it is due by start, limit, calendar, extension and suspensions; None where its policy has no such limit.

        Raises what ``due`` raises, and what ``limit_of`` and ``calendar_of`` raise for an unknown version.
        """
        if self.policy_id is None or self.calendar_id is None:
            return Due(self.said, False)
        limit = limit_of(self.policy_id, self.target)
        if limit is None:
            return None
        extension = [Limit("working_days", self.extended_days)] if self.extended_days else []
        spans = self.suspensions if self.target in UNIT_CLOCK else ()
        return due(calendar_of(self.calendar_id), self.start, limit, suspensions=spans, extensions=extension)


@dataclass
class RebuiltDeadlines:
    """The deadlines of one ticket, of each target in the order in which they were opened."""

    deadlines: dict[str, list[RebuiltDeadline]] = field(default_factory=dict)
    suspensions: list[tuple[datetime, datetime]] = field(default_factory=list)
    _suspended_at: datetime | None = None
    _received_at: datetime | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> RebuiltDeadlines:
        """The deadlines that ``events`` tell, in the order of the log."""
        found = cls()
        for event_type, at, data in events:
            found.take(event_type, at, data)
        for told in (told for listed in found.deadlines.values() for told in listed):
            told.suspensions = tuple(found._until(told.met_at))
        return found

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
        return [told for listed in wanted.values() for told in listed if told.running]

    def in_force(self, target: str) -> RebuiltDeadline | None:
        """The latest deadline of ``target``, met or not, unless it was cancelled."""
        latest = self.deadlines.get(target, [])[-1:]
        return latest[0] if latest and latest[0].cancelled_at is None else None

    def take(self, event_type: str, at: datetime, data: Mapping[str, Any]) -> None:
        """Take one event. A mending says what the events before it say, and nothing new."""
        if event_type == "deadline_mended":
            return
        self._clock(event_type, at)
        self._end(event_type, at, data)
        if event_type in _ORDER_BEGINS and data.get("policy") is not None:
            self._begin("supervise", at, {**data, "to": data["due_at"]})
        elif event_type == "extension_approved":
            for told in self.running("complete"):
                told.extended_days += int(data["days"])
        elif event_type == "corrected":
            self._judge_again(data)
        for target, entry in (data.get("deadlines") or {}).items():
            self._entry(event_type, target, at, entry)
        for target, calendar_id in (data.get("calendars") or {}).items():
            for told in self.running(target):
                told.calendar_id = calendar_id

    def _clock(self, event_type: str, at: datetime) -> None:
        """What the event does to the clock itself."""
        if event_type == "received":
            self._received_at = at
        elif event_type == "suspended":
            self._suspended_at = at
        elif event_type in ("resumed", "voided") and self._suspended_at is not None:
            self.suspensions.append((self._suspended_at, at))
            self._suspended_at = None

    def _end(self, event_type: str, at: datetime, data: Mapping[str, Any]) -> None:
        """What the event ends by its nature, whether it names it or not."""
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
        begins = event_type in _BEGIN and target != "supervise"  # which begins with its order, and follows the unit
        if begins or not moved:
            self._begin(target, _moment(entry["start"]) if "start" in entry else at, entry)
            return
        for told in moved:
            told.said = _moment(entry["to"])
            told.policy_id, told.calendar_id = entry.get("policy"), entry.get("calendar")

    def _begin(self, target: str, start: datetime, entry: Mapping[str, Any]) -> None:
        """Begin a deadline, in the place of the one that still runs."""
        fresh = RebuiltDeadline(target, start, _moment(entry["to"]), entry.get("policy"), entry.get("calendar"))
        listed = self.deadlines.setdefault(target, [])
        if listed and listed[-1].running:
            listed[-1] = fresh
        else:
            listed.append(fresh)

    def _meet(self, target: str, at: datetime) -> None:
        for told in self.running(target):
            told.met_at = at

    def _cancel(self, at: datetime, target: str | None = None) -> None:
        for told in self.running(target):
            told.cancelled_at = at

    def _judge_again(self, data: Mapping[str, Any]) -> None:
        """A correction: what began with the receipt moves with it, and all that run get the policy that applies now."""
        moved = _moment(data["received_at"]) if data.get("received_at") else None
        running = [told for target in (*UNIT_CLOCK, "callback") for told in self.running(target)]
        for told in running:
            if moved is not None and told.start == self._received_at:
                told.start = moved
            if data.get("policy") is not None:
                bound = told.target == "complete" and data.get("bound")
                told.policy_id = None if bound else data["policy"]
        self._received_at = moved or self._received_at


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
