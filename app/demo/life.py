"""What a story is made of: a pushed ticket, and the timed steps of its life."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

from app.demo.matters import Incident, Matter
from app.demo.people import Citizen
from app.demo.places import Location
from app.domain.tickets.fields import CONTENT
from app.domain.tickets.policies import Policy, Subject, choose
from app.domain.time.due import Limit, due, elapsed
from app.domain.time.workcalendar import WorkCalendar


@dataclass(frozen=True, slots=True)
class Pushed:
    """A ticket as its source pushes it: an ``Incoming`` of ``services.intake``."""

    title: str
    content: str | None
    kind: str
    category: str
    priority: str
    severity: str | None
    received_at: datetime
    reporter: Citizen | None
    address: str | None
    grid: str | None
    unit: str | None
    attributes: dict[str, Any] | None = None
    external_id: str = ""
    parent_external_id: str | None = None
    source_due_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None

    def fingerprint(self) -> str:
        """A digest of the pushed content, which distinguishes a retry from a change."""
        text = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


for _field in CONTENT:
    if not hasattr(Pushed, _field.member):
        setattr(Pushed, _field.member, None)  # a field that no story uses


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One thing that happens to a ticket: an action of ``app.services.tickets.actions``, or one of those that ``playback`` knows
    besides (callback, rule, ack, order, reply, accept_reply, refuse_reply). ``by``: the role of who does it."""

    at: datetime
    action: str
    by: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Story:
    """One ticket, from its receipt through its steps in order."""

    source: str
    pushed: Pushed
    matter: Matter
    place: Location
    person: Citizen
    parent: Story | None
    case: Incident
    steps: list[StoryStep] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoryWorld:
    """The shared context of all lives: random source, working days, rules, and the clock at which the story ends."""

    rng: Random
    calendar: WorkCalendar
    policies: Sequence[Policy]
    now: datetime

    def policy(self, life: Story) -> Policy:
        """The policy that judges this life."""
        pushed = life.pushed
        subject = Subject(source=life.source, kind=pushed.kind, category_path=(life.matter.parent, life.matter.code),
                          priority=pushed.priority, severity=pushed.severity, unit_path=(), at=pushed.received_at)  # fmt: skip
        return choose(self.policies, subject)

    def due(
        self, start: datetime, limit: Limit, days: int = 0, spans: Sequence[tuple[datetime, datetime]] = ()
    ) -> datetime:
        """The deadline of ``limit`` from ``start``, extended by ``days`` working days, ``spans`` suspended."""
        extensions = [Limit("working_days", days)] if days else []
        return due(self.calendar, start, limit, suspensions=spans, extensions=extensions).due_at

    def after(self, start: datetime, least: float, most: float) -> datetime:
        """A moment so many working hours after ``start``, some minutes more or less; in working time but for that."""
        minutes = max(1, round(self.rng.uniform(least, most) * 60))
        end = due(self.calendar, start, Limit("working_hours", Fraction(minutes, 60))).due_at
        return end - timedelta(seconds=self.rng.randrange(55))

    def between(self, start: datetime, end: datetime, share: float) -> datetime:
        """The moment at which ``share`` of the working time from ``start`` to ``end`` has passed."""
        hours = elapsed(self.calendar, start, end).working_seconds / 3600
        if hours <= 0.05:
            return start + (end - start) * share
        return self.after(start, hours * share, hours * share)

    def soon(self, start: datetime, least: float, most: float) -> datetime:
        """So many minutes after ``start``; what falls into the night waits for the morning."""
        moment = start + timedelta(minutes=self.rng.uniform(least, most))
        local = moment.astimezone(self.calendar.zone)
        if 7 <= local.hour < 22:
            return moment
        morning = local.replace(hour=7, minute=30 + self.rng.randrange(28), second=self.rng.randrange(60))
        return morning + timedelta(days=1) if local.hour >= 22 else morning
