"""Actions of people on supervision orders (督办单).

``app.services.orders.book`` has the rules of numbers, terms, limits and stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, Final

from sqlmodel import Session, col

from app.domain.words import ORDER_STATE, TRIGGER, say
from app.errors import Conflict, Invalid, NotAllowed, NotFound
from app.models import SupervisionOrder, Ticket
from app.schemas.order import OrderOut
from app.security.permissions import require
from app.security.principal import Principal
from app.services.alerts import book as alerts
from app.services.core import events as log
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.deadlines.book import of_ticket
from app.services.orders.book import close, log_event, next_term, number_of, record_reply, trigger
from app.store import supervision as store
from app.store.scope import find

NO_ORDER_IN: Final = frozenset({"closed", "void"})


def issue(
    uow: UnitOfWork, principal: Principal, ticket_id: int, *,
    trigger_code: str, demand: str | None, signatory: str | None,
) -> SupervisionOrder:  # fmt: skip
    """A person's order: the leader's instruction, or a supervisor's own. Raises Forbidden, NotFound, Invalid, Conflict."""
    require(principal, "orders.issue")
    if trigger_code not in TRIGGER:
        raise Invalid.at("/trigger", f"须为以下之一：{'、'.join(TRIGGER)}", f"must be one of {', '.join(TRIGGER)}")
    if find(uow.session, principal, Ticket, ticket_id) is None:
        raise NotFound(f"没有编号为 {ticket_id} 的工单", f"no ticket {ticket_id}")
    ticket = store.lock_ticket(uow.session, ticket_id)
    if ticket.status in NO_ORDER_IN:
        raise Conflict(
            "工单已归档或已作废，不能下发督办单；需要时请先重办",
            f"the ticket is {ticket.status}: no order can be issued; reopen it first",
        )
    order = trigger(uow, ticket, trigger_code, actor=principal.actor, demand=demand, signatory=signatory)
    alerts.reschedule(uow, ticket)
    return order


def reply(uow: UnitOfWork, principal: Principal, order_id: int, text: str) -> SupervisionOrder:
    """The unit's answer: meets the order's limit and resolves its alerts. Raises Forbidden, NotFound, Conflict."""
    require(principal, "orders.reply")
    order, ticket = _locked(uow.session, principal, order_id)
    _must_be(order, "issued", "回复", "answered")
    record_reply(uow, ticket, order, text, principal.actor, uow.now)
    alerts.reschedule(uow, ticket)
    return order


def accept_reply(uow: UnitOfWork, principal: Principal, order_id: int, ruling: str | None) -> SupervisionOrder:
    """Accept the answer and close the order. Raises Forbidden, NotFound, Conflict."""
    require(principal, "orders.rule")
    order, ticket = _locked(uow.session, principal, order_id)
    _must_be(order, "replied", "审核通过", "accepted")
    _rule(order, ruling, principal, uow.now)
    close(uow, ticket, order, "closed", principal.actor, uow.now, ruling=ruling)
    alerts.reschedule(uow, ticket)
    return order


def refuse_reply(uow: UnitOfWork, principal: Principal, order_id: int, ruling: str) -> SupervisionOrder:
    """Refuse the answer: the order enters its next term with a new limit. Raises Forbidden, NotFound, Conflict."""
    require(principal, "orders.rule")
    order, ticket = _locked(uow.session, principal, order_id)
    _must_be(order, "replied", "退回", "refused")
    _rule(order, ruling, principal, uow.now)
    refused = {"trigger": "refused", "at": log.stamp(uow.now), "actor": principal.actor, "term": order.term,
               "reply": order.reply, "replied_by": order.replied_by, "ruling": ruling}  # fmt: skip
    order.triggers = [*order.triggers, refused]
    by = next_term(uow, ticket, of_ticket(uow.session, ticket.id), order, uow.now)
    order.version += 1
    uow.session.add(order)
    log_event(uow, ticket, order, "supervision_order_refused", principal.actor, uow.now, ruling=ruling, **by)
    alerts.reschedule(uow, ticket)
    return order


def visible_order(session: Session, principal: Principal, order_id: int) -> SupervisionOrder:
    """The order, if the caller may see it; raises NotFound otherwise."""
    order = find(session, principal, SupervisionOrder, order_id)
    if order is None:
        raise NotFound(f"没有编号为 {order_id} 的督办单", f"no supervision order {order_id}")
    return order


def _locked(session: Session, principal: Principal, order_id: int) -> tuple[SupervisionOrder, Ticket]:
    order = visible_order(session, principal, order_id)
    ticket = store.lock_ticket(session, order.ticket_id)
    session.refresh(order)  # its current state under the lock
    return order, ticket


_STEPS: Final[Mapping[str, tuple[str, ...]]] = {"issued": ("reply",), "replied": ("accept-reply", "refuse-reply")}
"""The actions allowed on an order in each state; none after its end."""


def _must_be(order: SupervisionOrder, state: str, zh: str, en: str) -> None:
    if order.state != state:
        allowed = _STEPS.get(order.state, ())
        raise NotAllowed(
            f"督办单{number_of(order)}处于“{say(ORDER_STATE, order.state)}”，不能{zh}；须为“{say(ORDER_STATE, state)}”",
            f"supervision order {order.year}-{order.serial} is {order.state} and cannot be {en}; it must be {state}",
            state=order.state,
            allowed=allowed,
        )


def _rule(order: SupervisionOrder, ruling: str | None, principal: Principal, now: datetime) -> None:
    order.ruling = ruling
    order.ruled_by = principal.actor
    order.ruled_at = now


def list_orders(
    session: Session, principal: Principal, *, state: str | None = None, live: bool | None = None,
    unit_id: int | None = None, trigger_code: str | None = None, ticket_id: int | None = None,
    before: int | None = None, limit: int = 50,
) -> list[tuple[SupervisionOrder, Ticket]]:  # fmt: skip
    """Orders with their tickets, newest first; ``before`` is the last id of the page before."""
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
    return store.newest_with_tickets(session, principal, SupervisionOrder, conditions, before, limit)


def order_view(order: SupervisionOrder, ticket: Ticket, ref: Reference, zone: tzinfo) -> OrderOut:
    """An order for a response."""
    unit = ref.units.get(order.unit_id) if order.unit_id is not None else None
    return OrderOut.from_row(
        order, zone, number=number_of(order), ticket_number=ticket.number, title=ticket.title,
        ticket_status=ticket.status, stage=ticket.stage, unit=unit.code if unit else None,
        unit_name=unit.name if unit else None,
    )  # fmt: skip
