"""The book of supervision orders (督办单): one issued for a ticket, advanced by every later trigger, answered, closed.

What people do with an order stands in ``app.services.orders.actions``.

A ticket has one live order at most. ``trigger`` issues it or advances it; its limit is the ticket's ``supervise``
deadline, so the ladder watches it like any other. Locks are taken in one order everywhere: the ticket's row, then the
counter of order numbers, then (at the commit) the alert feed.
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
    session: Session,
    ref: Reference,
    ticket: Ticket,
    trigger: str,
    *,
    actor: str,
    now: datetime,
    at: datetime | None = None,
    demand: str | None = None,
    signatory: str | None = None,
) -> SupervisionOrder:
    """Issue the order of ``ticket`` for ``trigger`` (overdue, dissatisfied, repeated, leader), or advance its live one.

    Advancing appends the trigger; where the order was answered, or its limit has passed, it enters its next term with
    a new limit. The stage is raised, never lowered. The caller holds the ticket's row. ``at``: when it happened, where
    that is not ``now``.
    """
    session.flush()
    return apply(
        session,
        ref,
        ticket,
        OrderCause(trigger, actor, at or now, demand, signatory),
        live=find_live(session, ticket.id),
        rows=of_ticket(session, ticket.id),
        serial=lambda year: take(session, counter_of(year)),
        now=now,
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
    session: Session,
    ref: Reference,
    ticket: Ticket,
    cause: OrderCause,
    *,
    live: SupervisionOrder | None,
    rows: list[Deadline],
    serial: Callable[[int], int],
    now: datetime,
) -> SupervisionOrder:
    """What ``trigger`` does, with everything read beforehand, so that a sweep reads for many tickets at once.

    ``live``: the ticket's live order; ``rows``: its deadlines, to which a new one is added; ``serial``: the next
    number of a year.
    """
    order = live
    if order is None:
        order = _issue(session, ref, ticket, rows, cause, serial, now)
    else:
        _advance(session, ref, ticket, rows, order, cause, now)
    ticket.supervised = True
    stage = next_stage(ticket.stage) if cause.trigger == "dissatisfied" else raised_stage(ticket.stage, "urged")
    raise_stage(session, ticket, stage, why=cause.trigger, actor=cause.actor, at=cause.at, now=now)
    session.add(ticket)
    return order


def raise_stage(
    session: Session, ticket: Ticket, stage: str, *, why: str, actor: str, at: datetime, now: datetime
) -> bool:
    """Raise the ticket's stage (办理环节) to ``stage`` at least, with an event; False where it stands there already."""
    higher = raised_stage(ticket.stage, stage)
    if higher == ticket.stage:
        return False
    data = {"from": ticket.stage, "to": higher, "why": why}
    ticket.stage = higher
    session.add(ticket)
    log.append(session, ticket, "stage_raised", at=at, now=now, actor=actor, data=data)
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
    session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], cause: OrderCause,
    serial: Callable[[int], int], now: datetime,
) -> SupervisionOrder:  # fmt: skip
    new = fresh(ref, ticket, cause, serial, [row.round for row in rows if row.target == "supervise"])
    order, deadline = SupervisionOrder(**new.order), Deadline(**new.deadline)
    session.add(order)
    session.add(deadline)
    rows.append(deadline)
    log.append(session, ticket, "supervision_order_issued", at=cause.at, now=now, actor=cause.actor, data=new.told)
    return order


def _advance(
    session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], order: SupervisionOrder, cause: OrderCause,
    now: datetime,
) -> None:  # fmt: skip
    by: dict[str, int] = {}
    if order.state == "replied" or order.due_at <= cause.at:
        by = next_term(session, ref, ticket, rows, order, cause.at)
    order.triggers = [*order.triggers, _entry(cause, order.term)]
    order.demand = cause.demand or order.demand
    order.signatory = cause.signatory or order.signatory
    order.unit_id = ticket.unit_id
    order.version += 1
    session.add(order)
    tell(session, ticket, order, "supervision_order_advanced", cause.actor, cause.at, now, trigger=cause.trigger, **by)


def next_term(
    session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], order: SupervisionOrder, at: datetime
) -> dict[str, int]:
    """Give ``order`` its next term from ``at``; the versions its limit was computed by, for the event."""
    deadline = _open_limit(session, ref, ticket, rows, at)
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


def _open_limit(session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], at: datetime) -> Deadline:
    """The order's next limit from ``at``: the open ``supervise`` deadline moved (a new revision, so that it is watched
    from the lowest rung again), or a fresh one in the next round where the last was met."""
    values = _limit(ref, ticket, at)
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
    session.add(row)
    return row


def under_unit(session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline]) -> list[DeadlineChange]:
    """Bring a running limit under the calendar of the unit that the ticket went to: the same start, by its working days."""
    running = in_force(rows, "supervise")
    if running is None or running.met_at is not None:
        return []
    moved = recompute(session, ref, ticket, rows, targets=["supervise"])
    order = find_live(session, ticket.id) if moved else None
    if order is not None:
        order.due_at = running.due_at
        session.add(order)
    return moved


def _said(number: str, term: int, due_at: datetime, **more: Any) -> dict[str, Any]:
    return {"number": number, "term": term, "due_at": log.stamp(due_at), **more}


def tell(
    session: Session, ticket: Ticket, order: SupervisionOrder, event: str, actor: str, at: datetime, now: datetime,
    **more: Any,
) -> None:  # fmt: skip
    """Write an order's event into its ticket's log, with its number, term and limit."""
    data = _said(number_of(order), order.term, order.due_at, **more)
    log.append(session, ticket, event, at=at, now=now, actor=actor, data=data)


def hand_over(session: Session, ticket: Ticket, unit_id: int, now: datetime) -> SupervisionOrder | None:
    """Let the live order, and what its limit has raised, go with the ticket to another unit: who has it answers. The limit
    keeps its start (``under_unit``). To be called before the ticket itself is changed."""
    if not ticket.supervised:  # never had an order
        return None
    session.flush()
    order = find_live(session, ticket.id)
    if order is None or order.unit_id == unit_id:
        return None
    order.unit_id = unit_id
    order.version += 1
    session.add(order)
    alerts.hand_over(session, ticket, ["supervise"], unit_id, now=now)
    return order


def reply_by_completion(
    session: Session, ref: Reference, ticket: Ticket, result: str, principal: Principal, at: datetime, now: datetime
) -> SupervisionOrder | None:
    """Let the unit's completion of the ticket be its answer, where it has given none: nobody types it twice."""
    if not ticket.supervised:  # never had an order
        return None
    session.flush()
    order = find_live(session, ticket.id)
    if order is None or order.state != "issued":
        return None
    record_reply(session, ticket, order, result, principal.actor, at, now, by_completion=True)
    return order


def close_on_satisfied(
    session: Session, ref: Reference, ticket: Ticket, principal: Principal, at: datetime, now: datetime
) -> SupervisionOrder | None:
    """Close the live order because the citizen is content (or could not be asked) and the ticket is closed."""
    if not ticket.supervised:  # never had an order
        return None
    session.flush()
    order = find_live(session, ticket.id)
    if order is not None:
        close(session, ticket, order, "closed", principal.actor, at, now)
    return order


def cancel_on_void(
    session: Session, ref: Reference, ticket: Ticket, principal: Principal, at: datetime, now: datetime
) -> SupervisionOrder | None:
    """Cancel the live order because its ticket is void."""
    if not ticket.supervised:  # never had an order
        return None
    session.flush()
    order = find_live(session, ticket.id)
    if order is not None:
        close(session, ticket, order, "cancelled", principal.actor, at, now)
    return order


def record_reply(
    session: Session, ticket: Ticket, order: SupervisionOrder, text: str, actor: str, at: datetime, now: datetime,
    *, by_completion: bool = False,
) -> None:  # fmt: skip
    """Keep the unit's answer, given at ``at``: meets the order's limit and resolves its alerts."""
    order.state = "replied"
    order.reply = text
    order.replied_by = actor
    order.replied_at = at
    order.version += 1
    session.add(order)
    _end_limit(session, ticket, at, met=True)
    # the answer itself stays on the order: an event never carries what may name a citizen
    tell(
        session,
        ticket,
        order,
        "supervision_order_replied",
        actor,
        at,
        now,
        by_completion=True if by_completion else None,
    )
    alerts.resolve(session, ticket, ["supervise"], resolution="replied", now=now)


def close(
    session: Session, ticket: Ticket, order: SupervisionOrder, state: str, actor: str, at: datetime, now: datetime,
    **more: Any,
) -> None:  # fmt: skip
    """End ``order`` as ``state`` (closed, cancelled) at ``at``; its limit is no longer asked for."""
    order.state = state
    order.live = False
    order.closed_at = at
    order.version += 1
    session.add(order)
    _end_limit(session, ticket, at, met=False)
    tell(session, ticket, order, f"supervision_order_{state}", actor, at, now, **more)
    alerts.resolve(session, ticket, ["supervise"], resolution=state, now=now)


def _end_limit(session: Session, ticket: Ticket, at: datetime, *, met: bool) -> None:
    """End the open ``supervise`` deadline: met by an answer, or no longer asked for."""
    for row in of_ticket(session, ticket.id):
        if row.target == "supervise" and row.met_at is None and row.cancelled_at is None:
            if met:
                row.met_at = at
            else:
                row.cancelled_at = at
            session.add(row)
