"""The book of supervision orders (督办单): one issued for a ticket, advanced by every later trigger, answered, closed.

What people do with an order stands in ``app.services.orders.actions``.

A ticket has one live order at most. ``trigger`` issues it or advances it; its limit is the ticket's ``supervise``
deadline, so the ladder watches it like any other. The counter of order numbers is locked after the ticket's row (the lock
order of ``app.services.core.unit_of_work``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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

"""Where the policy says nothing (Shanghai, 督办件)."""


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
    return apply(
        uow,
        ticket,
        OrderCause(trigger, actor, at or uow.now, demand, signatory),
        live=find_live(session, ticket.id),
        rows=of_ticket(session, ticket.id),
        serial=lambda year: take(session, counter_of(year)),
    )


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


def apply(
    uow: UnitOfWork,
    ticket: Ticket,
    cause: OrderCause,
    *,
    live: SupervisionOrder | None,
    rows: list[Deadline],
    serial: Callable[[int], int],
) -> SupervisionOrder:
    """What ``trigger`` does, with everything read beforehand, so that a sweep reads for many tickets at once.

    ``live``: the ticket's live order; ``rows``: its deadlines, to which a new one is added; ``serial``: the next
    number of a year.
    """
    order = live
    if order is None:
        order = _issue(uow, ticket, rows, cause, serial)
    else:
        _advance(uow, ticket, rows, order, cause)
    ticket.supervised = True
    stage = next_stage(ticket.stage) if cause.trigger == "dissatisfied" else raised_stage(ticket.stage, "urged")
    raise_stage(uow, ticket, stage, why=cause.trigger, actor=cause.actor, at=cause.at)
    uow.session.add(ticket)
    return order


def raise_stage(uow: UnitOfWork, ticket: Ticket, stage: str, *, why: str, actor: str, at: datetime) -> bool:
    """Raise the ticket's stage (办理环节) to ``stage`` at least, with an event; False where it stands there already."""
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


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A new order as plain values: the order's row, its limit's row, and what its event says."""

    order: dict[str, Any]
    deadline: dict[str, Any]
    told: dict[str, Any]


def fresh(
    ref: Reference, ticket: Ticket, cause: OrderCause, serial: Callable[[int], int], rounds: Iterable[int]
) -> NewOrder:
    """A new order for ``ticket``, nothing written yet. ``rounds``: those that its earlier orders' limits have taken."""
    limit = _limit(ref, ticket, cause.at)
    deadline = {"ticket_id": ticket.id, "target": "supervise", "revision": 1,
                "round": max([ticket.round, *(n + 1 for n in rounds)]), **limit}  # fmt: skip
    year = year_of(ref, ticket, cause.at)
    order = {
        "year": year,
        "serial": serial(year),
        "ticket_id": ticket.id,
        "unit_id": ticket.unit_id,
        "trigger": cause.trigger,
        "triggers": [_entry(cause, 1)],
        "issued_at": cause.at,
        "due_at": limit["due_at"],
        "demand": cause.demand,
        "signatory": cause.signatory,
    }
    told = _said(_number(year, order["serial"]), 1, limit["due_at"], trigger=cause.trigger, **_by(limit))
    return NewOrder(order, deadline, told)


def _issue(
    uow: UnitOfWork, ticket: Ticket, rows: list[Deadline], cause: OrderCause, serial: Callable[[int], int]
) -> SupervisionOrder:
    session = uow.session
    new = fresh(uow.ref, ticket, cause, serial, [row.round for row in rows if row.target == "supervise"])
    order, deadline = SupervisionOrder(**new.order), Deadline(**new.deadline)
    session.add(order)
    session.add(deadline)
    rows.append(deadline)
    log.append(session, ticket, "supervision_order_issued", at=cause.at, now=uow.now, actor=cause.actor, data=new.told)
    return order


def _advance(uow: UnitOfWork, ticket: Ticket, rows: list[Deadline], order: SupervisionOrder, cause: OrderCause) -> None:
    by: dict[str, int] = {}
    if order.state == "replied" or order.due_at <= cause.at:
        by = next_term(uow, ticket, rows, order, cause.at)
    order.triggers = [*order.triggers, _entry(cause, order.term)]
    order.demand = cause.demand or order.demand
    order.signatory = cause.signatory or order.signatory
    order.unit_id = ticket.unit_id
    order.version += 1
    uow.session.add(order)
    tell(uow, ticket, order, "supervision_order_advanced", cause.actor, cause.at, trigger=cause.trigger, **by)


def next_term(
    uow: UnitOfWork, ticket: Ticket, rows: list[Deadline], order: SupervisionOrder, at: datetime
) -> dict[str, int]:
    """Give ``order`` its next term from ``at``; the versions its limit was computed by, for the event."""
    deadline = _open_limit(uow, ticket, rows, at)
    order.term += 1
    order.state = "issued"
    order.due_at = deadline.due_at
    order.reply = order.replied_by = order.replied_at = None
    return _by({"policy_id": deadline.policy_id, "calendar_id": deadline.calendar_id})


def _by(limit: Mapping[str, Any]) -> dict[str, int]:
    """The versions a new limit was computed by, as its event names them (``app.domain.tickets.rebuild`` computes it again)."""
    return {"policy": limit["policy_id"], "calendar": limit["calendar_id"]}


def _limit(ref: Reference, ticket: Ticket, at: datetime) -> dict[str, Any]:
    """An order's limit from ``at``, as values of a deadline."""
    policy_id, policy = policy_for(ref, ticket)
    limit = policy.limits.get("supervise") or SUPERVISE_LIMIT
    calendar_id, calendar = ref.calendar_under(policy, ticket.unit_id)
    answer = due(calendar, at, limit)
    return {"started_at": at, "due_at": answer.due_at, "provisional": answer.provisional, "limit": limit.to_spec(),
            "policy_id": policy_id, "calendar_id": calendar_id}  # fmt: skip


def _open_limit(uow: UnitOfWork, ticket: Ticket, rows: list[Deadline], at: datetime) -> Deadline:
    """The order's next limit from ``at``: the open ``supervise`` deadline moved (a new revision, so that it is watched
    from the lowest rung again), or a fresh one in the next round where the last was met."""
    values = _limit(uow.ref, ticket, at)
    mine = [row for row in rows if row.target == "supervise"]
    row = next((r for r in mine if r.met_at is None and r.cancelled_at is None), None)
    if row is None:
        round_ = max([ticket.round, *(r.round + 1 for r in mine)])
        row = Deadline(ticket_id=ticket.id, target="supervise", round=round_, **values)
        rows.append(row)
    else:
        row.revision += 1
        for name, value in values.items():
            setattr(row, name, value)
    uow.session.add(row)
    return row


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


def tell(
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
    tell(uow, ticket, order, "supervision_order_replied", actor, at, by_completion=True if by_completion else None)
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
    tell(uow, ticket, order, f"supervision_order_{state}", actor, at, **more)
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
