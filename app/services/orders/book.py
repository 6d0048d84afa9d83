"""The book of supervision orders (督办单): one issued for a ticket, advanced by every later trigger, answered, closed.

What people do with an order is in ``app.services.orders.actions``.

A ticket has one live order at most. ``trigger`` issues it or advances it; its limit is the ticket's ``supervise``
deadline, so the ladder watches it like any other. The counter of order numbers is locked after the ticket's row (the lock
order of ``app.services.core.unit_of_work``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from app.domain.tickets.lifecycle import next_stage, raised_stage
from app.domain.time.due import due
from app.models import Deadline, SupervisionOrder, Ticket
from app.security.principal import Principal
from app.services.alerts import book as alerts
from app.services.core import events as log
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.deadlines.book import SUPERVISE_LIMIT, DeadlineChange, in_force, of_ticket, policy_for, recompute
from app.store import supervision as store
from app.store.ids import take


def number_of(order: SupervisionOrder) -> str:
    """The number as it is printed: 〔2026〕第 0123 号."""
    return _number(order.year, order.serial)


def _number(year: int, serial: int) -> str:
    return f"〔{year}〕第 {serial:04d} 号"


def find_live(session: Session, ticket_id: int) -> SupervisionOrder | None:
    """The live order of a ticket, if it has one."""
    return store.live_orders(session, [ticket_id]).get(ticket_id)


def trigger(
    uow: UnitOfWork,
    ticket: Ticket,
    trigger: str,
    *,
    actor: str,
    at: datetime | None = None,
    demand: str | None = None,
    signatory: str | None = None,
) -> SupervisionOrder:
    """Issue the order of ``ticket`` for ``trigger`` (overdue, dissatisfied, repeated, leader), or advance its live one.

    Advancing appends the trigger; where the order was answered, or its limit has passed, it enters its next term with
    a new limit. The stage is raised, never lowered. The caller holds the ticket's row. ``at``: when it happened, where
    that is not ``uow.now``.
    """
    session = uow.session
    session.flush()
    cause = OrderCause(trigger, actor, at or uow.now, demand, signatory)
    live, rows = find_live(session, ticket.id), of_ticket(session, ticket.id)
    step = order_step(uow.ref, ticket, cause, live=live, rows=rows, serial=lambda year: take(session, counter_of(year)))
    return write_step(uow, ticket, cause, step, live=live, rows=rows)


@dataclass(frozen=True, slots=True)
class OrderCause:
    """Why an order is issued or advanced: the trigger, by whom, when, and what a person had to say."""

    trigger: str
    actor: str
    at: datetime
    demand: str | None = None
    signatory: str | None = None


def counter_of(year: int) -> str:
    """The counter that numbers the orders of a year without gaps."""
    return f"order:{year}"


def year_of(ref: Reference, ticket: Ticket, at: datetime) -> int:
    """The year an order issued at ``at`` is numbered in: that of the calendar's zone."""
    return at.astimezone(ref.calendar_for(ticket.unit_id)[1].zone).year


@dataclass(frozen=True, slots=True)
class NextLimit:
    """An order's next limit, nothing written yet: the row of a deadline, or what changes of the row it ``moves``."""

    values: dict[str, Any]
    moves: Deadline | None

    @property
    def versions(self) -> dict[str, int]:
        """The versions it was computed by, as its event names them (``app.domain.tickets.rebuild`` computes it again)."""
        return {"policy": self.values["policy_id"], "calendar": self.values["calendar_id"]}


@dataclass(frozen=True, slots=True)
class OrderStep:
    """What a trigger makes of an order, nothing written yet: a new order's row or what changes of the live one, its next
    limit (none where the running one stays), its event, and the stage that the ticket is raised to at least."""

    order: dict[str, Any]
    limit: NextLimit | None
    event: str
    data: dict[str, Any]
    stage: str


def order_step(
    ref: Reference,
    ticket: Ticket,
    cause: OrderCause,
    *,
    live: SupervisionOrder | None,
    rows: Sequence[Deadline],
    serial: Callable[[int], int],
) -> OrderStep:
    """What ``cause`` makes of the order of ``ticket``: a new one, or the next trigger or term of the ``live`` one.

    ``rows``: the ticket's deadlines, of ended orders too; ``serial``: the next number of a year.
    """
    stage = next_stage(ticket.stage) if cause.trigger == "dissatisfied" else raised_stage(ticket.stage, "urged")
    limit = None
    if live is None or live.state == "replied" or live.due_at <= cause.at:
        limit = _next_limit(ref, ticket, rows, cause.at, moves=live is not None)
    versions = limit.versions if limit is not None else {}
    if live is None:
        assert limit is not None, "a new order has a limit"
        year = year_of(ref, ticket, cause.at)
        number = serial(year)
        due_at = limit.values["due_at"]
        order = {
            "year": year, "serial": number, "ticket_id": ticket.id, "unit_id": ticket.unit_id, "trigger": cause.trigger,
            "triggers": [_entry(cause, 1)], "issued_at": cause.at, "due_at": due_at, "demand": cause.demand,
            "signatory": cause.signatory,
        }  # fmt: skip
        data = _said(_number(year, number), 1, due_at, trigger=cause.trigger, **versions)
        return OrderStep(order, limit, "supervision_order_issued", data, stage)
    order = _term(live, limit) if limit is not None else {}
    term, due_at = order.get("term", live.term), order.get("due_at", live.due_at)
    order |= {
        "triggers": [*live.triggers, _entry(cause, term)], "demand": cause.demand or live.demand,
        "signatory": cause.signatory or live.signatory, "unit_id": ticket.unit_id, "version": live.version + 1,
    }  # fmt: skip
    data = _said(number_of(live), term, due_at, trigger=cause.trigger, **versions)
    return OrderStep(order, limit, "supervision_order_advanced", data, stage)


def write_step(
    uow: UnitOfWork, ticket: Ticket, cause: OrderCause, step: OrderStep, *,
    live: SupervisionOrder | None, rows: list[Deadline],
) -> SupervisionOrder:  # fmt: skip
    """Write ``step``, computed from ``live`` and ``rows``, to which a new deadline is added."""
    if live is None:
        order = SupervisionOrder(**step.order)
    else:
        order = live
        _change(order, step.order)
    uow.session.add(order)
    if step.limit is not None:
        _write_limit(uow, rows, step.limit)
    log.append(uow.session, ticket, step.event, at=cause.at, now=uow.now, actor=cause.actor, data=step.data)
    ticket.supervised = True
    raise_stage(uow, ticket, step.stage, why=cause.trigger, actor=cause.actor, at=cause.at)
    uow.session.add(ticket)
    return order


def raise_stage(uow: UnitOfWork, ticket: Ticket, stage: str, *, why: str, actor: str, at: datetime) -> bool:
    """Raise the ticket's stage (办理环节) to ``stage`` at least, with an event; False if it is there already."""
    higher = raised_stage(ticket.stage, stage)
    if higher == ticket.stage:
        return False
    data = {"from": ticket.stage, "to": higher, "why": why}
    ticket.stage = higher
    uow.session.add(ticket)
    log.append(uow.session, ticket, "stage_raised", at=at, now=uow.now, actor=actor, data=data)
    return True


def _entry(cause: OrderCause, term: int) -> dict[str, Any]:
    entry = {"trigger": cause.trigger, "at": log.stamp(cause.at), "actor": cause.actor, "term": term}
    return {**entry, "demand": cause.demand} if cause.demand else entry


def next_term(
    uow: UnitOfWork, ticket: Ticket, rows: list[Deadline], order: SupervisionOrder, at: datetime
) -> dict[str, int]:
    """Give ``order`` its next term from ``at``; the versions its limit was computed by, for the event."""
    limit = _next_limit(uow.ref, ticket, rows, at, moves=True)
    _change(order, _term(order, limit))
    _write_limit(uow, rows, limit)
    return limit.versions


def _term(order: SupervisionOrder, limit: NextLimit) -> dict[str, Any]:
    """What changes of an order that enters its next term."""
    return {"term": order.term + 1, "state": "issued", "due_at": limit.values["due_at"],
            "reply": None, "replied_by": None, "replied_at": None}  # fmt: skip


def _next_limit(ref: Reference, ticket: Ticket, rows: Sequence[Deadline], at: datetime, *, moves: bool) -> NextLimit:
    """The limit from ``at``: the open ``supervise`` deadline, if it ``moves``, in a new revision, so that it is watched from
    the lowest rung again; else a new deadline in the next round."""
    policy_id, policy = policy_for(ref, ticket)
    limit = policy.limits.get("supervise") or SUPERVISE_LIMIT
    calendar_id, calendar = ref.calendar_under(policy, ticket.unit_id)
    answer = due(calendar, at, limit)
    values = {"started_at": at, "due_at": answer.due_at, "provisional": answer.provisional, "limit": limit.to_spec(),
              "policy_id": policy_id, "calendar_id": calendar_id}  # fmt: skip
    mine = [row for row in rows if row.target == "supervise"]
    running = next((row for row in mine if row.met_at is None and row.cancelled_at is None), None)
    if moves and running is not None:
        return NextLimit({**values, "revision": running.revision + 1}, running)
    round_ = max([ticket.round, *(row.round + 1 for row in mine)])
    return NextLimit({"ticket_id": ticket.id, "target": "supervise", "revision": 1, "round": round_, **values}, None)


def _write_limit(uow: UnitOfWork, rows: list[Deadline], limit: NextLimit) -> None:
    if limit.moves is None:
        row = Deadline(**limit.values)
        rows.append(row)
    else:
        row = limit.moves
        _change(row, limit.values)
    uow.session.add(row)


def _change(row: SupervisionOrder | Deadline, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def under_unit(uow: UnitOfWork, ticket: Ticket, rows: list[Deadline]) -> list[DeadlineChange]:
    """Bring a running limit under the calendar of the unit that the ticket went to: the same start, by its working days."""
    running = in_force(rows, "supervise")
    if running is None or running.met_at is not None:
        return []
    moved = recompute(uow.session, uow.ref, ticket, rows, targets=["supervise"])
    order = find_live(uow.session, ticket.id) if moved else None
    if order is not None:
        order.due_at = running.due_at
        uow.session.add(order)
    return moved


def _said(number: str, term: int, due_at: datetime, **more: Any) -> dict[str, Any]:
    return {"number": number, "term": term, "due_at": log.stamp(due_at), **more}


def log_event(
    uow: UnitOfWork, ticket: Ticket, order: SupervisionOrder, event: str, actor: str, at: datetime, **more: Any
) -> None:
    """Write an order's event into its ticket's log, with its number, term and limit."""
    data = _said(number_of(order), order.term, order.due_at, **more)
    log.append(uow.session, ticket, event, at=at, now=uow.now, actor=actor, data=data)


def hand_over(uow: UnitOfWork, ticket: Ticket, unit_id: int) -> SupervisionOrder | None:
    """Let the live order, and what its limit has raised, go with the ticket to another unit: who has it answers. The limit
    keeps its start (``under_unit``). To be called before the ticket itself is changed."""
    order = _live(uow, ticket)
    if order is None or order.unit_id == unit_id:
        return None
    order.unit_id = unit_id
    order.version += 1
    uow.session.add(order)
    alerts.hand_over(uow, ticket, ["supervise"], unit_id)
    return order


def _live(uow: UnitOfWork, ticket: Ticket) -> SupervisionOrder | None:
    """The live order of a ticket, as this transaction has left it."""
    if not ticket.supervised:  # never had an order
        return None
    uow.session.flush()
    return find_live(uow.session, ticket.id)


def reply_by_completion(
    uow: UnitOfWork, ticket: Ticket, result: str, principal: Principal, at: datetime
) -> SupervisionOrder | None:
    """Let the unit's completion of the ticket be its answer, where it has given none: nobody types it twice."""
    order = _live(uow, ticket)
    if order is None or order.state != "issued":
        return None
    record_reply(uow, ticket, order, result, principal.actor, at, by_completion=True)
    return order


def close_on_satisfied(uow: UnitOfWork, ticket: Ticket, principal: Principal, at: datetime) -> SupervisionOrder | None:
    """Close the live order because the citizen is content (or could not be asked) and the ticket is closed."""
    order = _live(uow, ticket)
    if order is not None:
        close(uow, ticket, order, "closed", principal.actor, at)
    return order


def cancel_on_void(uow: UnitOfWork, ticket: Ticket, principal: Principal, at: datetime) -> SupervisionOrder | None:
    """Cancel the live order because its ticket is void."""
    order = _live(uow, ticket)
    if order is not None:
        close(uow, ticket, order, "cancelled", principal.actor, at)
    return order


def record_reply(
    uow: UnitOfWork, ticket: Ticket, order: SupervisionOrder, text: str, actor: str, at: datetime,
    *, by_completion: bool = False,
) -> None:  # fmt: skip
    """Keep the unit's answer, given at ``at``: meets the order's limit and resolves its alerts."""
    order.state = "replied"
    order.reply = text
    order.replied_by = actor
    order.replied_at = at
    order.version += 1
    uow.session.add(order)
    _end_limit(uow.session, ticket, at, met=True)
    # the answer itself stays on the order: an event never carries what may name a citizen
    log_event(uow, ticket, order, "supervision_order_replied", actor, at, by_completion=True if by_completion else None)
    alerts.resolve(uow, ticket, ["supervise"], resolution="replied")


def close(
    uow: UnitOfWork, ticket: Ticket, order: SupervisionOrder, state: str, actor: str, at: datetime, **more: Any
) -> None:
    """End ``order`` as ``state`` (closed, cancelled) at ``at``; its limit is no longer asked for."""
    order.state = state
    order.live = False
    order.closed_at = at
    order.version += 1
    uow.session.add(order)
    _end_limit(uow.session, ticket, at, met=False)
    log_event(uow, ticket, order, f"supervision_order_{state}", actor, at, **more)
    alerts.resolve(uow, ticket, ["supervise"], resolution=state)


def _end_limit(session: Session, ticket: Ticket, at: datetime, *, met: bool) -> None:
    """End the open ``supervise`` deadline: met by an answer, or no longer asked for."""
    for row in of_ticket(session, ticket.id):
        if row.target == "supervise" and row.met_at is None and row.cancelled_at is None:
            if met:
                row.met_at = at
            else:
                row.cancelled_at = at
            session.add(row)
