"""Alerts: the list, and taking notice of one. The live stream stands in ``app.api.stream``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from app.api.deps import Cursor, Id, Limit, Run, TicketQuery, Who, decode_cursor, encode_cursor
from app.models import Ticket
from app.services.alerts import book as alerts

router = APIRouter(tags=["supervision"])
Target = Literal["accept", "contact", "complete", "callback", "supervise"]


@router.get("/alerts")
def list_alerts(
    run: Run,
    who: Who,
    state: Annotated[
        Literal["open", "acked", "resolved", "live"] | None, Query(description="`live`: open or acknowledged")
    ] = None,
    card: Literal["yellow", "red"] | None = None,
    unit: Annotated[str | None, Query(description="code of a unit; those below it count too")] = None,
    target: Target | None = None,
    ticket: TicketQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Alerts, newest first. A unit sees those of its own subtree."""
    with run.reading() as (session, ref):
        unit_id = ref.need_unit(unit).id if unit is not None else None
        rows = alerts.list_alerts(
            session, who, state=state, card=card, unit_id=unit_id, target=target, ticket_id=ticket,
            before=decode_cursor(cursor), limit=limit + 1,
        )  # fmt: skip
        items = [alerts.alert_view(alert, of, ref, run.settings.zone) for alert, of in rows[:limit]]
    return {"items": items, "next": encode_cursor(items[-1]["id"]) if len(rows) > limit else None}


@router.post("/alerts/{alert_id}/ack")
def acknowledge(run: Run, who: Who, alert_id: Id) -> dict[str, Any]:
    """Take notice of an alert, by name. Again by the same person: the same answer; 409 once another has, or it is
    resolved."""
    with run.writing() as uow:
        alert = alerts.acknowledge(uow, who, alert_id)
        ticket = uow.session.get_one(Ticket, alert.ticket_id)
        return alerts.alert_view(alert, ticket, uow.ref, run.settings.zone)
