"""Supervision orders (督办单): the list, a person's order for a ticket, the unit's answer and the ruling on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.api.body import JsonBody
from app.api.deps import Cursor, Id, Limit, Run, TicketQuery, Who, decode_cursor, encode_cursor
from app.models import SupervisionOrder, Ticket
from app.runtime import Runtime
from app.services.core.unit_of_work import UnitOfWork
from app.services.orders import actions as orders

router = APIRouter(tags=["supervision"])
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class OrderIn(JsonBody):
    """A person's order."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"demand": "三日内现场核实并答复群众", "signatory": "局长"}]},
    )
    trigger: Literal["leader", "repeated", "overdue", "dissatisfied"] = "leader"
    demand: Text | None = Field(default=None, description="what is asked of the unit")
    signatory: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class ReplyIn(JsonBody):
    """The unit's answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reply": "已现场处置，群众认可"}]})
    reply: Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")]


class AcceptIn(JsonBody):
    """The ruling with which an answer is accepted; it may be left out."""

    ruling: Text | None = None


class RefuseIn(JsonBody):
    """The ruling with which an answer is refused: what is missing."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ruling": "未说明整改时限"}]})
    ruling: Text


@router.get("/supervision-orders")
def list_orders(
    run: Run,
    who: Who,
    state: Literal["issued", "replied", "closed", "cancelled"] | None = None,
    live: bool | None = None,
    unit: Annotated[str | None, Query(description="code of a unit; those below it count too")] = None,
    trigger: Literal["overdue", "dissatisfied", "repeated", "leader"] | None = None,
    ticket: TicketQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Orders, newest first. A unit sees those of its own subtree."""
    with run.reading() as (session, ref):
        rows = orders.list_orders(
            session, who, state=state, live=live, unit_id=ref.need_unit(unit).id if unit is not None else None,
            trigger_code=trigger, ticket_id=ticket, before=decode_cursor(cursor), limit=limit + 1,
        )  # fmt: skip
        items = [orders.order_view(order, of, ref, run.settings.zone) for order, of in rows[:limit]]
    return {"items": items, "next": encode_cursor(items[-1]["id"]) if len(rows) > limit else None}


@router.get("/supervision-orders/{order_id}")
def get_order(run: Run, who: Who, order_id: Id) -> dict[str, Any]:
    """One order."""
    with run.reading() as (session, ref):
        order = orders.visible_order(session, who, order_id)
        return orders.order_view(order, session.get_one(Ticket, order.ticket_id), ref, run.settings.zone)


def _change(run: Runtime, work: Callable[[UnitOfWork], SupervisionOrder]) -> dict[str, Any]:
    with run.writing() as uow:
        order = work(uow)
        uow.session.flush()
        return orders.order_view(order, uow.session.get_one(Ticket, order.ticket_id), uow.ref, run.settings.zone)


@router.post("/tickets/{ticket_id}/supervision-orders", status_code=201)
def issue_order(run: Run, who: Who, ticket_id: Id, body: OrderIn | None = None) -> dict[str, Any]:
    """A leader's or a supervisor's order. A ticket that has a live order keeps it: the order is advanced."""
    asked = body or OrderIn()
    return _change(
        run,
        lambda uow: orders.issue(
            uow, who, ticket_id, trigger_code=asked.trigger, demand=asked.demand, signatory=asked.signatory
        ),
    )


@router.post("/supervision-orders/{order_id}/reply")
def reply(run: Run, who: Who, order_id: Id, body: ReplyIn) -> dict[str, Any]:
    """The unit's answer: it meets the order's limit."""
    return _change(run, lambda uow: orders.reply(uow, who, order_id, body.reply))


@router.post("/supervision-orders/{order_id}/accept-reply")
def accept_reply(run: Run, who: Who, order_id: Id, body: AcceptIn | None = None) -> dict[str, Any]:
    """The answer is good: the order is closed."""
    ruling = body.ruling if body else None
    return _change(run, lambda uow: orders.accept_reply(uow, who, order_id, ruling))


@router.post("/supervision-orders/{order_id}/refuse-reply")
def refuse_reply(run: Run, who: Who, order_id: Id, body: RefuseIn) -> dict[str, Any]:
    """The answer will not do: the order enters its next term, with a new limit."""
    return _change(run, lambda uow: orders.refuse_reply(uow, who, order_id, body.ruling))
