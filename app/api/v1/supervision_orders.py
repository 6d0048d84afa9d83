"""Supervision orders (督办单): list, issue, reply, and rule on the reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query

from app.api.answers import CHANGES
from app.api.deps import Cursor, Id, Limit, Run, TicketQuery, UnitQuery, Who, decode_cursor, encode_cursor
from app.models import SupervisionOrder, Ticket
from app.runtime import Runtime
from app.schemas.codes import OrderState, Trigger
from app.schemas.common import Page
from app.schemas.order import AcceptReplyIn, OrderIn, OrderOut, RefuseReplyIn, ReplyIn
from app.services.core.unit_of_work import UnitOfWork
from app.services.orders import actions as orders

router = APIRouter(tags=["supervision"])


@router.get("/supervision-orders")
def list_orders(
    run: Run,
    who: Who,
    state: Annotated[OrderState | None, Query(description="state of the order")] = None,
    live: Annotated[bool | None, Query(description="issued or replied to, and neither closed nor cancelled")] = None,
    unit: UnitQuery = None,
    trigger: Annotated[Trigger | None, Query(description="the first trigger")] = None,
    ticket: TicketQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OrderOut]:
    """Orders, newest first. A unit sees those of its own subtree."""
    with run.reading() as (session, ref):
        rows = orders.list_orders(
            session, who, state=state, live=live, unit_id=ref.need_unit(unit).id if unit is not None else None,
            trigger_code=trigger, ticket_id=ticket, before=decode_cursor(cursor), limit=limit + 1,
        )  # fmt: skip
        items = [orders.order_view(order, of, ref, run.settings.zone) for order, of in rows[:limit]]
    return Page(items=items, next=encode_cursor(items[-1].id) if len(rows) > limit else None)


@router.get("/supervision-orders/{order_id}")
def get_order(run: Run, who: Who, order_id: Id) -> OrderOut:
    """One order."""
    with run.reading() as (session, ref):
        order = orders.visible_order(session, who, order_id)
        return orders.order_view(order, session.get_one(Ticket, order.ticket_id), ref, run.settings.zone)


def _change(run: Runtime, work: Callable[[UnitOfWork], SupervisionOrder]) -> OrderOut:
    with run.writing() as uow:
        order = work(uow)
        uow.session.flush()
        return orders.order_view(order, uow.session.get_one(Ticket, order.ticket_id), uow.ref, run.settings.zone)


@router.post("/tickets/{ticket_id}/supervision-orders", status_code=201, responses=CHANGES)
def issue_order(run: Run, who: Who, ticket_id: Id, body: OrderIn | None = None) -> OrderOut:
    """Issue an order of a leader or a supervisor. A ticket with a live order keeps it: the order is escalated."""
    asked = body or OrderIn()
    return _change(
        run,
        lambda uow: orders.issue(
            uow, who, ticket_id, trigger_code=asked.trigger, demand=asked.demand, signatory=asked.signatory
        ),
    )


@router.post("/supervision-orders/{order_id}/reply", responses=CHANGES)
def reply_order(run: Run, who: Who, order_id: Id, body: ReplyIn) -> OrderOut:
    """Submit the unit's reply: it meets the order's limit."""
    return _change(run, lambda uow: orders.reply(uow, who, order_id, body.reply))


@router.post("/supervision-orders/{order_id}/accept-reply", responses=CHANGES)
def accept_reply(run: Run, who: Who, order_id: Id, body: AcceptReplyIn | None = None) -> OrderOut:
    """Accept the reply: the order is closed."""
    ruling = body.ruling if body else None
    return _change(run, lambda uow: orders.accept_reply(uow, who, order_id, ruling))


@router.post("/supervision-orders/{order_id}/refuse-reply", responses=CHANGES)
def refuse_reply(run: Run, who: Who, order_id: Id, body: RefuseReplyIn) -> OrderOut:
    """Refuse the reply: the order enters its next term, with a new limit."""
    return _change(run, lambda uow: orders.refuse_reply(uow, who, order_id, body.ruling))
