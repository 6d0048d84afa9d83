"""Replay the lives through the services in chronological order.

Between two steps, the sweep runs at every moment at which a continuous sweeper would have found a due ticket: each service
sets a ticket's next check, and ``_Watch`` keeps those moments. The steps between two sweeps are one transaction.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from sqlalchemy import select
from sqlmodel import Session, col

from app.config import Settings
from app.db import Database
from app.demo.life import Story, StoryStep
from app.models import Alert, Ticket
from app.security.principal import Principal, RoleName
from app.services.alerts import book as alerts
from app.services.core.reference import Reference, ReferenceCache
from app.services.core.unit_of_work import UnitOfWork, unit_of_work
from app.services.intake import create as intake
from app.services.orders import actions as orders
from app.services.orders import book as order_book
from app.services.supervision.sweep import sweep
from app.services.tickets import actions as lifecycle
from app.services.tickets import callbacks, extensions
from app.store import tickets as store
from app.store.ids import IdBlocks

Progress = Callable[[int, int], None]
"""Called with the number of steps done and the total."""

LAG: Final = timedelta(seconds=1)
"""How long after the moment of a rung the sweeper of those days came round."""
AHEAD: Final = timedelta(days=1)
"""How far ahead of the playback tickets are created, many in one statement."""
PEOPLE: Final[dict[str, tuple[RoleName, str, int]]] = {
    "dispatcher": ("dispatcher", "派单员", 5),
    "supervisor": ("supervisor", "督办员", 3),
    "caller": ("caller", "回访员", 4),
    "leader": ("leader", "分管领导", 1),
}
"""Role, name and number of people."""


class Host(Protocol):
    """What the demo needs of ``app.runtime.Runtime``."""

    settings: Settings
    database: Database
    reference: ReferenceCache
    ids: IdBlocks


class _Watch:
    """The next check of each ticket."""

    def __init__(self) -> None:
        self._queue: list[tuple[datetime, int]] = []
        self._moment: dict[int, datetime] = {}

    def put(self, ticket_id: int, moment: datetime | None) -> None:
        if moment is None:
            self._moment.pop(ticket_id, None)
        elif self._moment.get(ticket_id) != moment:
            self._moment[ticket_id] = moment
            heapq.heappush(self._queue, (moment, ticket_id))

    def first(self) -> datetime | None:
        """The earliest next check."""
        while self._queue and self._moment.get(self._queue[0][1]) != self._queue[0][0]:
            heapq.heappop(self._queue)
        return self._queue[0][0] + LAG if self._queue else None

    def take(self, until: datetime) -> list[int]:
        """The tickets due for a sweep at ``until``."""
        found = []
        while self.first() is not None and self._queue[0][0] <= until:
            ticket_id = heapq.heappop(self._queue)[1]
            del self._moment[ticket_id]
            found.append(ticket_id)
        return found


class Teller:
    """The lives during playback: ticket ids in order of receipt, steps in order of time."""

    def __init__(self, host: Host, lives: Sequence[Story], now: datetime, progress: Progress | None) -> None:
        self.host, self.lives, self.now, self.progress = host, lives, now, progress
        self.ids = host.ids.take(len(lives))  # in a transaction of its own, so before ours
        self.watch = _Watch()
        self.holder: dict[int, int] = {}
        self.received = 0
        steps = [(step.at, n, step) for n, life in enumerate(lives) for step in life.steps]
        self.steps = sorted(steps, key=lambda entry: entry[:2])
        self.done = 0

    def play(self) -> None:
        """Everything, up to the clock; the last sweep is at the clock itself."""
        while True:
            sweep_at = self.watch.first()
            if sweep_at is not None and sweep_at <= min(self._next_at(), self.now):
                self._sweep(sweep_at)
            elif self.done < len(self.steps) or self.received < len(self.lives):
                self._stretch()
            else:
                break
        self._sweep(self.now)

    def _next_at(self) -> datetime:
        """The moment of the next receipt or step."""
        step = self.steps[self.done][0] if self.done < len(self.steps) else self.now
        return min(step, self._receipt_at() or self.now)

    def _receipt_at(self) -> datetime | None:
        return self.lives[self.received].pushed.received_at if self.received < len(self.lives) else None

    def _stretch(self) -> None:
        """One transaction: everything up to the next due sweep."""
        with unit_of_work(self.host.database, self.host.reference, self.now) as uow:
            horizon = self._next_at() + AHEAD
            horizon = min(horizon, self.watch.first() or horizon)
            self._receive(uow.session, uow.ref, horizon)
            while self.done < len(self.steps):
                at, n, step = self.steps[self.done]
                if at >= min(self.watch.first() or horizon, horizon):
                    break
                self._play(uow.at(step.at), n, step)
                self.done += 1
        if self.progress is not None:
            self.progress(self.done, len(self.steps))

    def _receive(self, session: Session, ref: Reference, until: datetime) -> None:
        batch: list[intake.PreparedTicket] = []
        zone = self.host.settings.zone
        while self.received < len(self.lives) and self.lives[self.received].pushed.received_at <= until:
            life = self.lives[self.received]
            source = ref.source_by_code(life.source)
            assert source is not None, f"the source {life.source} was made before"
            at = life.pushed.received_at
            prepared = intake.prepare(
                ref, life.pushed, source, ticket_id=self.ids[self.received], now=at, zone=zone,
                fingerprint=life.pushed.fingerprint(), actor=f"system:{life.source}",
            )  # fmt: skip
            batch.append(prepared)
            self.received += 1
        intake.write(session, batch)
        for prepared in batch:
            row = prepared.ticket
            self.watch.put(row["id"], row["next_check_at"])
            if row["unit_id"] is not None:
                self.holder[row["id"]] = row["unit_id"]

    def _sweep(self, at: datetime) -> None:
        checked = self.watch.take(at)
        sweep(self.host.database, self.host.reference, at, batch=self.host.settings.sweep_batch)
        with self.host.database.read() as session:
            query = select(col(Ticket.id), col(Ticket.next_check_at)).where(col(Ticket.id).in_(checked))
            for ticket_id, moment in session.execute(query):
                self.watch.put(ticket_id, moment)

    def _play(self, uow: UnitOfWork, n: int, step: StoryStep) -> None:
        """One step, through its service."""
        ticket_id, params = self.ids[n], dict(step.params)
        who = self._who(uow.ref, ticket_id, step.by)
        if step.action == "ack":
            _acknowledge(uow, who, ticket_id)
            return
        if step.action == "callback":
            ticket = callbacks.record(uow, who, ticket_id, params, at=None)
        elif step.action == "rule":
            pending = [e for e in store.extensions_of(uow.session, ticket_id) if e.state == "pending"]
            assert pending[0].id is not None, "it was asked for before"
            approve = params.pop("approve")
            _, ticket = extensions.rule(uow, who, pending[0].id, approve=approve, params=params)
        elif step.action in ("order", "reply", "accept_reply", "refuse_reply"):
            ticket = _order(uow, who, ticket_id, step.action, params)
        else:
            ticket = lifecycle.act(uow, who, ticket_id, step.action, params, at=None)
        self.watch.put(ticket_id, ticket.next_check_at)
        if ticket.unit_id is not None:
            self.holder[ticket_id] = ticket.unit_id

    def _who(self, ref: Reference, ticket_id: int, role: str) -> Principal:
        """One of the people of the office, always the same for a ticket; or the unit that has it."""
        if role == "unit":
            unit = ref.units[self.holder[ticket_id]]
            return Principal(f"user:{unit.name}经办人", unit.name, "unit", unit.id, unit.path)
        code, title, count = PEOPLE[role]
        name = f"{title}{ticket_id % count + 1:02d}" if count > 1 else title
        return Principal(f"user:{name}", name, code)


def _acknowledge(uow: UnitOfWork, who: Principal, ticket_id: int) -> None:
    """Acknowledge the open alerts of a ticket."""
    query = select(col(Alert.id)).where(col(Alert.ticket_id) == ticket_id, col(Alert.state) == "open")
    for alert_id in uow.session.execute(query).scalars().all():
        alerts.acknowledge(uow, who, alert_id)


def _order(uow: UnitOfWork, who: Principal, ticket_id: int, action: str, params: dict[str, Any]) -> Ticket:
    """Issue, answer or rule on the supervision order of a ticket."""
    if action == "order":
        orders.issue(uow, who, ticket_id, trigger_code=params["trigger"], demand=params["demand"],
                     signatory=params["signatory"])  # fmt: skip
    else:
        live = order_book.find_live(uow.session, ticket_id)
        assert live is not None, f"ticket {ticket_id} has a live order"
        assert live.id is not None, "it was written before"
        if action == "reply":
            orders.reply(uow, who, live.id, params["text"])
        elif action == "accept_reply":
            orders.accept_reply(uow, who, live.id, params["ruling"])
        else:
            orders.refuse_reply(uow, who, live.id, params["ruling"])
    ticket = uow.session.get(Ticket, ticket_id)
    assert ticket is not None, "it was there before"
    return ticket


def play(host: Host, lives: Sequence[Story], now: datetime, progress: Progress | None = None) -> None:
    """Replay ``lives``, in order of receipt, up to ``now``; ``progress`` is called after each transaction."""
    Teller(host, lives, now, progress).play()
