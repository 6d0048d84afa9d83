"""The sweep: takes the tickets whose next check has come, asks the ladder, and writes what it says, once.

Each batch is one transaction: the tickets are claimed (on PostgreSQL row by row, skipping what another sweeper holds; on
SQLite by the writing transaction itself), and their alerts, orders, events and next check are committed together. So any
number of sweepers may run, and be killed at any moment: a batch has happened whole, or is taken again.

A ticket whose rule raises an error is put off by itself and never blocks the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import insert
from sqlmodel import Session

from app.db import Database
from app.domain.supervision.ladder import DeadlineFacts, Decision, Raise, TicketFacts, decide, higher_card
from app.domain.tickets.lifecycle import raised_stage
from app.logging import get_logger
from app.models import Deadline, SupervisionOrder, SweepRun, Ticket, TicketEvent
from app.security.principal import SYSTEM
from app.services.alerts import book as alerts
from app.services.core import events as log
from app.services.core.reference import Reference, ReferenceCache
from app.services.core.unit_of_work import UnitOfWork, unit_of_work
from app.services.orders import book as order_book
from app.services.tickets.actions import resume_by_itself
from app.store import supervision as store
from app.store.ids import take

POSTPONE: Final = timedelta(minutes=5)
"""How long a ticket is put off whose rule raised an error."""
MESSAGE_EXPIRES: Final = timedelta(days=7)
"""How long a message about an alert is worth sending."""
ACTOR: Final = SYSTEM.actor
logger = get_logger("duban.sweep")

Written = dict[tuple[int, store.Key, str], int]


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep did: tickets looked at, alerts raised, orders issued and advanced, tickets put off."""

    checked: int = 0
    alerts: int = 0
    issued: int = 0
    advanced: int = 0
    postponed: int = 0

    def __add__(self, other: SweepResult) -> SweepResult:
        return SweepResult(
            self.checked + other.checked,
            self.alerts + other.alerts,
            self.issued + other.issued,
            self.advanced + other.advanced,
            self.postponed + other.postponed,
        )

    @property
    def orders(self) -> int:
        """Orders issued or advanced."""
        return self.issued + self.advanced

    def to_json(self) -> dict[str, int]:
        """The figures as printed by ``duban sweep --json``."""
        return {
            "checked": self.checked,
            "alerts": self.alerts,
            "orders": self.orders,
            "issued": self.issued,
            "advanced": self.advanced,
            "postponed": self.postponed,
        }


@dataclass(slots=True)
class _ClaimedTicket:
    """One claimed ticket with its facts and the ladder's decision."""

    ticket: Ticket
    rows: list[Deadline]
    order: SupervisionOrder | None
    facts: TicketFacts
    decision: Decision
    limit: DeadlineFacts | None = None
    """Of the order issued in this very sweep."""


@dataclass(slots=True)
class _Pages:
    """Rows of a whole batch, gathered as plain values and written with one statement for each table: the greater part
    of a sweep's time went into making an object of each."""

    events: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    deadlines: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, ticket: Ticket, event_type: str, now: datetime, data: dict[str, Any]) -> None:
        """Add the next event of ``ticket``."""
        self.events.append(log.chained(ticket, event_type, at=now, now=now, actor=ACTOR, data=data))

    def write(self, session: Session) -> None:
        """Write all of it."""
        tables: Any = (TicketEvent, SupervisionOrder, Deadline)
        for model, rows in zip(tables, (self.events, self.orders, self.deadlines), strict=True):
            if rows:
                session.execute(insert(model.__table__), rows)


def sweep(
    database: Database,
    references: ReferenceCache,
    now: datetime,
    batch: int = 500,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> SweepResult:
    """Look at every ticket whose next check has come by ``now``, ``batch`` at a time, one transaction each.

    ``stop`` is asked between batches. Safe to run at once in any number of threads and processes; a second sweep at
    the same ``now`` finds nothing.
    """
    total = SweepResult()
    while not stop():
        with database.read() as session:  # the common case, nothing due, takes no lock at all
            if store.oldest_due(session, now) is None:
                break
        done = _one_batch(database, references, now, batch)
        total += done
        if done.checked == 0:  # what is due is in the hands of another sweeper
            break
    return total


def _one_batch(database: Database, references: ReferenceCache, now: datetime, batch: int) -> SweepResult:
    claimed: list[int] = []
    try:
        with unit_of_work(database, references, now) as uow:
            return _look(uow, store.claim_due(uow.session, now, batch), claimed)
    except Exception:
        if not claimed:  # not a ticket's fault: the database itself
            raise
        logger.exception("sweep batch failed; sweeping its tickets one by one", tickets=len(claimed))
    total = SweepResult()
    for ticket_id in claimed:
        total += _alone(database, references, now, ticket_id)
    return total


def _alone(database: Database, references: ReferenceCache, now: datetime, ticket_id: int) -> SweepResult:
    """One ticket in a transaction of its own; put off where that fails."""
    try:
        with unit_of_work(database, references, now) as uow:
            return _look(uow, store.claim_due(uow.session, now, 1, [ticket_id]), [])
    except Exception:
        logger.exception("sweep failed; retrying", ticket=ticket_id, delay=POSTPONE.total_seconds())
    with database.write() as session:
        for ticket in store.claim_due(session, now, 1, [ticket_id]):
            ticket.next_check_at = now + POSTPONE
            session.add(ticket)
    return SweepResult(checked=1, postponed=1)


def _look(uow: UnitOfWork, tickets: Sequence[Ticket], claimed: list[int]) -> SweepResult:
    """Decide about ``tickets``, which this transaction holds, and write what follows."""
    ids = [ticket.id for ticket in tickets]
    claimed.extend(ids)
    if not ids:
        return SweepResult()
    _resume(uow, tickets)
    cases, postponed = _decide_all(uow, tickets, ids)
    rows = [_alert_row(case.ticket, item, uow.now) for case in cases for item in case.decision.raise_]
    written = store.insert_alerts(uow.session, rows)
    due = [(case, _mine(case, written)) for case in cases]
    alerts.supersede(uow, _above(due, written))
    serials = _serials(uow, due)
    tally = SweepResult(checked=len(ids), alerts=len(written), postponed=postponed)
    pages = _Pages()
    for case, raised in due:
        tally += _carry_out(uow, case, raised, written, serials, pages)
    pages.write(uow.session)
    return tally


def _resume(uow: UnitOfWork, tickets: Sequence[Ticket]) -> None:
    """Resume the tickets that were suspended until a moment that has come, as of that moment."""
    until = store.resumptions(uow.session, tickets)
    for ticket in tickets:
        if ticket.id in until and until[ticket.id] <= uow.now:
            resume_by_itself(uow, ticket, until[ticket.id])
    if until:
        uow.session.flush()


def _decide_all(uow: UnitOfWork, tickets: Sequence[Ticket], ids: list[int]) -> tuple[list[_ClaimedTicket], int]:
    session, ref, now = uow.session, uow.ref, uow.now
    deadlines = store.open_deadlines(session, ids)
    raised = store.raised_rungs(session, ids)
    live = store.live_orders(session, [ticket.id for ticket in tickets if ticket.supervised])
    resumes = store.resumptions(session, tickets)
    cases: list[_ClaimedTicket] = []
    postponed = 0
    for ticket in tickets:
        rows = deadlines.get(ticket.id, [])
        order = live.get(ticket.id)
        try:
            facts = alerts.facts_of(ticket, rows, raised.get(ticket.id, {}), order, resumes.get(ticket.id))
            decision = decide(facts, ref.ladder, ref.calendar_for(ticket.unit_id)[1], now)
        except Exception:
            logger.exception("ladder failed; retrying", ticket=ticket.id, delay=POSTPONE.total_seconds())
            ticket.next_check_at = now + POSTPONE
            postponed += 1
            continue
        cases.append(_ClaimedTicket(ticket, rows, order, facts, decision))
    return cases, postponed


def _alert_row(ticket: Ticket, item: Raise, now: datetime) -> dict[str, Any]:
    return {
        "ticket_id": ticket.id,
        "target": item.target,
        "round": item.round,
        "revision": item.revision,
        "rung": item.rung,
        "card": item.card,
        "unit_id": ticket.unit_id,
        "breach_at": item.breach_at,
        "due_at": item.due_at,
        "raised_at": now,
        "passed_over": list(item.passed_over),
        "notify": list(item.notify),
        "state": "open",
    }


def _key(ticket: Ticket, item: Raise) -> tuple[int, store.Key, str]:
    return ticket.id, (item.target, item.round, item.revision), item.rung


def _mine(case: _ClaimedTicket, written: Written) -> list[Raise]:
    """Return the alerts raised by this sweep; existing ones were handled when they were written."""
    return [item for item in case.decision.raise_ if _key(case.ticket, item) in written]


def _above(due: Sequence[tuple[_ClaimedTicket, list[Raise]]], written: Written) -> dict[tuple[int, store.Key], int]:
    """The alerts raised now on deadlines that have had one before, whose earlier alert they take the place of."""
    found: dict[tuple[int, store.Key], int] = {}
    for case, raised in due:
        before = {(f.target, f.round, f.revision) for f in case.facts.deadlines if f.raised}
        for item in raised:
            deadline = (item.target, item.round, item.revision)
            if deadline in before:
                found[case.ticket.id, deadline] = written[_key(case.ticket, item)]
    return found


def _serials(uow: UnitOfWork, due: Sequence[tuple[_ClaimedTicket, list[Raise]]]) -> dict[int, Iterator[int]]:
    """As many order numbers of each year as this batch will issue, taken at once; no more, so that none is lost."""
    wanted = Counter(
        order_book.year_of(uow.ref, case.ticket, uow.now)
        for case, raised in due
        if case.order is None and any(item.order for item in raised)
    )
    found: dict[int, Iterator[int]] = {}
    for year, n in sorted(wanted.items()):
        top = take(uow.session, order_book.counter_of(year), n)
        found[year] = iter(range(top - n + 1, top + 1))
    ids = [case.ticket.id for case, raised in due if any(item.order for item in raised)]
    past = store.ended_deadlines(uow.session, ids, "supervise") if ids else {}
    for case, _ in due:
        case.rows.extend(past.get(case.ticket.id, ()))
    return found


def _carry_out(
    uow: UnitOfWork, case: _ClaimedTicket, raised: list[Raise], written: Written,
    serials: dict[int, Iterator[int]], pages: _Pages,
) -> SweepResult:  # fmt: skip
    """Write the ladder's decision for one ticket, and its next check."""
    ticket, ref, now = case.ticket, uow.ref, uow.now
    issued = advanced = 0
    for item in raised:
        alert_id = written[_key(ticket, item)]
        ticket.card = higher_card(ticket.card, item.card)
        pages.tell(ticket, "alert_raised", now, _alert_data(item, alert_id))
        uow.note_alert(alert_id, "raised")
        uow.enqueue(
            "alert_raised", f"alert:{alert_id}:raised", item.notify, ticket_id=ticket.id, alert_id=alert_id,
            unit_id=ticket.unit_id, expires_at=now + MESSAGE_EXPIRES,
            payload={"target": item.target, "rung": item.rung, "card": item.card, "due_at": log.stamp(item.due_at)},
        )  # fmt: skip
        if item.order:
            cause = order_book.OrderCause("overdue", ACTOR, now)
            if case.order is not None or not issued:  # one issued in this sweep is not advanced by it too
                step = order_book.order_step(
                    ref, ticket, cause, live=case.order, rows=case.rows, serial=lambda year: next(serials[year])
                )
                if case.order is None:
                    _issue(case, cause, step, pages, item.stage)
                    issued += 1
                else:
                    order_book.write_step(uow, ticket, cause, step, live=case.order, rows=case.rows)
                    advanced += 1
        if item.stage and (higher := raised_stage(ticket.stage, item.stage)) != ticket.stage:
            pages.tell(ticket, "stage_raised", now, {"from": ticket.stage, "to": higher, "why": item.rung})
            ticket.stage = higher
    ticket.next_check_at = _next_check(ref, case, now) if issued or advanced else case.decision.next_check_at
    uow.session.add(ticket)
    return SweepResult(issued=issued, advanced=advanced)


def _issue(
    case: _ClaimedTicket, cause: order_book.OrderCause, step: order_book.OrderStep, pages: _Pages, stage: str | None
) -> None:
    """``order_book.write_step`` of a new order into the batch's pages; ``stage``: what the rung raises the ticket to."""
    assert step.limit is not None, "a new order has a limit"
    ticket, limit = case.ticket, step.limit.values
    pages.orders.append(step.order)
    pages.deadlines.append(limit)
    pages.tell(ticket, step.event, cause.at, step.data)
    ticket.supervised = True
    higher = raised_stage(step.stage, stage or step.stage)
    if higher != ticket.stage:
        pages.tell(ticket, "stage_raised", cause.at, {"from": ticket.stage, "to": higher, "why": cause.trigger})
        ticket.stage = higher
    case.limit = DeadlineFacts("supervise", limit["round"], 1, limit["started_at"], limit["due_at"], ended=False)


def _alert_data(item: Raise, alert_id: int) -> dict[str, Any]:
    return {
        "alert": alert_id,
        "target": item.target,
        "round": item.round,
        "revision": item.revision,
        "rung": item.rung,
        "card": item.card,
        "breach_at": log.stamp(item.breach_at),
        "due_at": log.stamp(item.due_at),
        "passed_over": list(item.passed_over) or None,
        "why": item.why_zh,
        "why_en": item.why_en,
    }


def _next_check(ref: Reference, case: _ClaimedTicket, now: datetime) -> datetime | None:
    """When to look again after an order was issued or advanced, whose own limit is now watched too."""
    raised: dict[store.Key, set[str]] = {(f.target, f.round, f.revision): set(f.raised) for f in case.facts.deadlines}
    for item in case.decision.raise_:
        raised.setdefault((item.target, item.round, item.revision), set()).add(item.rung)
    facts = alerts.facts_of(case.ticket, case.rows, raised, case.order, case.facts.resumes_at)
    if case.limit is not None:
        facts = replace(facts, order_live=True, deadlines=(*facts.deadlines, case.limit))
    return alerts.next_look(decide(facts, ref.ladder, ref.calendar_for(case.ticket.unit_id)[1], now), now)


def record_run(session: Session, holder: str, now: datetime, result: SweepResult) -> None:
    """Note that ``holder`` has swept, for ``/readyz``."""
    row = session.get(SweepRun, holder) or SweepRun(holder=holder, at=now)
    row.at, row.checked, row.alerts = now, result.checked, result.alerts
    session.add(row)
