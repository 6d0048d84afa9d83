"""Supervision orders (督办单): issued once for a ticket, advanced by every later trigger, answered, ruled on.

A ticket has one live order at most. ``trigger`` issues it or advances it; its limit is the ticket's ``supervise``
deadline, so the ladder watches it like any other. Locks are taken in one order everywhere: the ticket's row, then the
counter of order numbers, then (at the commit) the alert feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from sqlalchemy import select
from sqlmodel import Session, col

from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.lifecycle import next_stage, raised_stage
from app.domain.limits import Limit, due
from app.domain.words import TRIGGER
from app.models import Deadline, SupervisionOrder, Ticket
from app.security.permissions import require
from app.security.principal import Principal
from app.services import alerts, log
from app.services.deadlines import of_ticket, policy_for
from app.services.reference import Reference
from app.services.views import moment
from app.store import oversight as store
from app.store.ids import take

DEFAULT_LIMIT: Final = Limit("working_days", 3)
"""Where the policy says nothing (Shanghai, 督办件)."""
NO_ORDER_IN: Final = frozenset({"closed", "void"})


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
        Cause(trigger, actor, at or now, demand, signatory),
        live=find_live(session, ticket.id),
        rows=of_ticket(session, ticket.id),
        serial=lambda year: take(session, counter_of(year)),
        now=now,
    )


@dataclass(frozen=True, slots=True)
class Cause:
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
    cause: Cause,
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


def _entry(cause: Cause, term: int) -> dict[str, Any]:
    entry = {"trigger": cause.trigger, "at": log.stamp(cause.at), "actor": cause.actor, "term": term}
    return {**entry, "demand": cause.demand} if cause.demand else entry


@dataclass(frozen=True, slots=True)
class Fresh:
    """A new order as plain values: the order's row, its limit's row, and what its event says."""

    order: dict[str, Any]
    deadline: dict[str, Any]
    told: dict[str, Any]


def fresh(ref: Reference, ticket: Ticket, cause: Cause, serial: Callable[[int], int], rounds: Iterable[int]) -> Fresh:
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
    told = _said(_number(year, order["serial"]), 1, limit["due_at"], trigger=cause.trigger)
    return Fresh(order, deadline, told)


def _issue(
    session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], cause: Cause,
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
    session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], order: SupervisionOrder, cause: Cause,
    now: datetime,
) -> None:  # fmt: skip
    if order.state == "replied" or order.due_at <= cause.at:
        _next_term(session, ref, ticket, rows, order, cause.at)
    order.triggers = [*order.triggers, _entry(cause, order.term)]
    order.demand = cause.demand or order.demand
    order.signatory = cause.signatory or order.signatory
    order.unit_id = ticket.unit_id
    order.version += 1
    session.add(order)
    _tell(session, ticket, order, "supervision_order_advanced", cause.actor, cause.at, now, trigger=cause.trigger)


def _next_term(
    session: Session, ref: Reference, ticket: Ticket, rows: list[Deadline], order: SupervisionOrder, at: datetime
) -> None:
    deadline = _open_limit(session, ref, ticket, rows, at)
    order.term += 1
    order.state = "issued"
    order.due_at = deadline.due_at
    order.reply = order.replied_by = order.replied_at = None


def _limit(ref: Reference, ticket: Ticket, at: datetime) -> dict[str, Any]:
    """An order's limit from ``at``, as values of a deadline."""
    policy_id, policy = policy_for(ref, ticket)
    limit = policy.limits.get("supervise") or DEFAULT_LIMIT
    calendar_id, calendar = ref.calendar_for(ticket.unit_id)
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


def _said(number: str, term: int, due_at: datetime, **more: Any) -> dict[str, Any]:
    return {"number": number, "term": term, "due_at": log.stamp(due_at), **more}


def _tell(
    session: Session, ticket: Ticket, order: SupervisionOrder, event: str, actor: str, at: datetime, now: datetime,
    **more: Any,
) -> None:  # fmt: skip
    data = _said(number_of(order), order.term, order.due_at, **more)
    log.append(session, ticket, event, at=at, now=now, actor=actor, data=data)


# -- what people do with an order


def issue(
    session: Session, ref: Reference, principal: Principal, ticket_id: int, *,
    trigger_code: str, demand: str | None, signatory: str | None, now: datetime,
) -> SupervisionOrder:  # fmt: skip
    """A person's order: the leader's instruction, or a supervisor's own. Raises Forbidden, NotFound, Invalid, Conflict."""
    require(principal, "orders.issue")
    if trigger_code not in TRIGGER:
        raise Invalid.at("/trigger", f"须为以下之一：{'、'.join(TRIGGER)}", f"must be one of {', '.join(TRIGGER)}")
    ticket = session.get(Ticket, ticket_id)
    if ticket is None:
        raise NotFound(f"没有编号为 {ticket_id} 的工单", f"no ticket {ticket_id}")
    ticket = store.lock_ticket(session, ticket_id)
    if ticket.status in NO_ORDER_IN:
        raise Conflict(
            "工单已归档或已作废，不能下发督办单；需要时请先重办",
            f"the ticket is {ticket.status}: no order can be issued; reopen it first",
        )
    order = trigger(
        session, ref, ticket, trigger_code, actor=principal.actor, now=now, demand=demand, signatory=signatory
    )
    alerts.reschedule(session, ref, ticket, now)
    return order


def reply(
    session: Session, ref: Reference, principal: Principal, order_id: int, text: str, *, now: datetime
) -> SupervisionOrder:
    """The unit's answer: meets the order's limit and resolves its alerts. Raises Forbidden, NotFound, Conflict."""
    require(principal, "orders.reply")
    order, ticket = _locked(session, principal, order_id)
    _must_be(order, "issued", "回复", "answered")
    _record_reply(session, ticket, order, text, principal.actor, now, now)
    alerts.reschedule(session, ref, ticket, now)
    return order


def reply_by_completion(
    session: Session, ref: Reference, ticket: Ticket, result: str, principal: Principal, at: datetime, now: datetime
) -> SupervisionOrder | None:
    """Let the unit's completion of the ticket be its answer, where it has given none: nobody types it twice."""
    session.flush()
    order = find_live(session, ticket.id)
    if order is None or order.state != "issued":
        return None
    _record_reply(session, ticket, order, result, principal.actor, at, now, by_completion=True)
    return order


def accept_reply(
    session: Session, ref: Reference, principal: Principal, order_id: int, ruling: str | None, *, now: datetime
) -> SupervisionOrder:
    """The office is content with the answer: the order is closed. Raises Forbidden, NotFound, Conflict."""
    require(principal, "orders.rule")
    order, ticket = _locked(session, principal, order_id)
    _must_be(order, "replied", "审核通过", "accepted")
    _rule(order, ruling, principal, now)
    _close(session, ticket, order, "closed", principal.actor, now, now, ruling=ruling)
    alerts.reschedule(session, ref, ticket, now)
    return order


def refuse_reply(
    session: Session, ref: Reference, principal: Principal, order_id: int, ruling: str, *, now: datetime
) -> SupervisionOrder:
    """The answer will not do: the order enters its next term with a new limit. Raises Forbidden, NotFound, Conflict."""
    require(principal, "orders.rule")
    order, ticket = _locked(session, principal, order_id)
    _must_be(order, "replied", "退回", "refused")
    _rule(order, ruling, principal, now)
    refused = {"trigger": "refused", "at": log.stamp(now), "actor": principal.actor, "term": order.term,
               "reply": order.reply, "replied_by": order.replied_by, "ruling": ruling}  # fmt: skip
    order.triggers = [*order.triggers, refused]
    _next_term(session, ref, ticket, of_ticket(session, ticket.id), order, now)
    order.version += 1
    session.add(order)
    _tell(session, ticket, order, "supervision_order_refused", principal.actor, now, now, ruling=ruling)
    alerts.reschedule(session, ref, ticket, now)
    return order


def close_on_satisfied(
    session: Session, ref: Reference, ticket: Ticket, principal: Principal, now: datetime
) -> SupervisionOrder | None:
    """Close the live order because the citizen is content (or could not be asked) and the ticket is closed."""
    session.flush()
    order = find_live(session, ticket.id)
    if order is not None:
        _close(session, ticket, order, "closed", principal.actor, now, now)
    return order


def cancel_on_void(
    session: Session, ref: Reference, ticket: Ticket, principal: Principal, now: datetime
) -> SupervisionOrder | None:
    """Cancel the live order because its ticket is void."""
    session.flush()
    order = find_live(session, ticket.id)
    if order is not None:
        _close(session, ticket, order, "cancelled", principal.actor, now, now)
    return order


def visible_order(session: Session, principal: Principal, order_id: int) -> SupervisionOrder:
    """The order, if the caller may see it; raises NotFound else."""
    order = session.get(SupervisionOrder, order_id)
    if order is None or not alerts.may_see(session, principal, order.unit_id):
        raise NotFound(f"没有编号为 {order_id} 的督办单", f"no supervision order {order_id}")
    return order


def _locked(session: Session, principal: Principal, order_id: int) -> tuple[SupervisionOrder, Ticket]:
    order = visible_order(session, principal, order_id)
    ticket = store.lock_ticket(session, order.ticket_id)
    session.refresh(order)  # as it stands under the lock
    return order, ticket


def _must_be(order: SupervisionOrder, state: str, zh: str, en: str) -> None:
    if order.state != state:
        raise Conflict(
            f"督办单{number_of(order)}处于 {order.state} 状态，不能{zh}；须为 {state}",
            f"supervision order {order.year}-{order.serial} is {order.state} and cannot be {en}; it must be {state}",
        )


def _record_reply(
    session: Session, ticket: Ticket, order: SupervisionOrder, text: str, actor: str, at: datetime, now: datetime,
    *, by_completion: bool = False,
) -> None:  # fmt: skip
    order.state = "replied"
    order.reply = text
    order.replied_by = actor
    order.replied_at = at
    order.version += 1
    session.add(order)
    _end_limit(session, ticket, at, met=True)
    # the answer itself stays on the order: an event never carries what may name a citizen
    _tell(
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


def _rule(order: SupervisionOrder, ruling: str | None, principal: Principal, now: datetime) -> None:
    order.ruling = ruling
    order.ruled_by = principal.actor
    order.ruled_at = now


def _close(
    session: Session, ticket: Ticket, order: SupervisionOrder, state: str, actor: str, at: datetime, now: datetime,
    **more: Any,
) -> None:  # fmt: skip
    order.state = state
    order.live = False
    order.closed_at = at
    order.version += 1
    session.add(order)
    _end_limit(session, ticket, at, met=False)
    _tell(session, ticket, order, f"supervision_order_{state}", actor, at, now, **more)
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


def list_orders(
    session: Session, principal: Principal, *, state: str | None = None, live: bool | None = None,
    unit_id: int | None = None, trigger_code: str | None = None, ticket_id: int | None = None,
    before: int | None = None, limit: int = 50,
) -> list[tuple[SupervisionOrder, Ticket]]:  # fmt: skip
    """Orders with their tickets, newest first; ``before`` is the id the last page ended with."""
    require(principal, "alerts.see")
    conditions: list[Any] = []
    if state is not None:
        conditions.append(col(SupervisionOrder.state) == state)
    if live is not None:
        conditions.append(col(SupervisionOrder.live).is_(live))
    if trigger_code is not None:
        conditions.append(col(SupervisionOrder.trigger) == trigger_code)
    if ticket_id is not None:
        conditions.append(col(SupervisionOrder.ticket_id) == ticket_id)
    if unit_id is not None:
        conditions.append(store.unit_subtree(col(SupervisionOrder.unit_id), unit_id))
    if principal.role == "unit":
        conditions.append(store.path_subtree(col(SupervisionOrder.unit_id), principal.unit_path))
    if before is not None:
        conditions.append(col(SupervisionOrder.id) < before)
    query = (
        select(SupervisionOrder, Ticket)
        .join(Ticket, col(Ticket.id) == col(SupervisionOrder.ticket_id))
        .where(*conditions)
        .order_by(col(SupervisionOrder.id).desc())
        .limit(limit)
    )
    return [(order, ticket) for order, ticket in session.execute(query)]


def order_view(order: SupervisionOrder, ticket: Ticket, ref: Reference, zone: tzinfo) -> dict[str, Any]:
    """An order as read."""
    unit = ref.units.get(order.unit_id) if order.unit_id is not None else None
    return {
        "id": order.id,
        "number": number_of(order),
        "year": order.year,
        "serial": order.serial,
        "ticket_id": ticket.id,
        "ticket_number": ticket.number,
        "title": ticket.title,
        "ticket_status": ticket.status,
        "stage": ticket.stage,
        "unit": unit.code if unit else None,
        "unit_name": unit.name if unit else None,
        "state": order.state,
        "live": order.live,
        "trigger": order.trigger,
        "triggers": order.triggers,
        "term": order.term,
        "issued_at": moment(order.issued_at, zone),
        "due_at": moment(order.due_at, zone),
        "signatory": order.signatory,
        "demand": order.demand,
        "reply": order.reply,
        "replied_by": order.replied_by,
        "replied_at": moment(order.replied_at, zone),
        "ruling": order.ruling,
        "ruled_by": order.ruled_by,
        "ruled_at": moment(order.ruled_at, zone),
        "closed_at": moment(order.closed_at, zone),
        "version": order.version,
    }
