"""Alerts: the list, and acknowledging one. The live stream is in ``app.api.stream``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.answers import CHANGES
from app.api.deps import Cursor, Id, Limit, Run, TicketQuery, UnitQuery, Who, decode_cursor, encode_cursor
from app.models import Ticket
from app.schemas.alert import AlertOut
from app.schemas.codes import AlertFilterState, Card, Target
from app.schemas.common import Page
from app.services.alerts import book as alerts

router = APIRouter(tags=["supervision"])


@router.get("/alerts")
def list_alerts(
    run: Run,
    who: Who,
    state: Annotated[AlertFilterState | None, Query(description="`live`: open or acknowledged")] = None,
    card: Annotated[Card | None, Query(description="card of the alert")] = None,
    unit: UnitQuery = None,
    target: Annotated[Target | None, Query(description="which deadline")] = None,
    ticket: TicketQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AlertOut]:
    """Alerts, newest first. A unit sees those of its own subtree."""
    with run.reading() as (session, ref):
        unit_id = ref.need_unit(unit).id if unit is not None else None
        rows = alerts.list_alerts(
            session, who, state=state, card=card, unit_id=unit_id, target=target, ticket_id=ticket,
            before=decode_cursor(cursor), limit=limit + 1,
        )  # fmt: skip
        items = [alerts.alert_view(alert, of, ref, run.settings.zone) for alert, of in rows[:limit]]
    return Page(items=items, next=encode_cursor(items[-1].id) if len(rows) > limit else None)


@router.post("/alerts/{alert_id}/ack", responses=CHANGES)
def acknowledge_alert(run: Run, who: Who, alert_id: Id) -> AlertOut:
    """Acknowledge an alert; idempotent for the same person. 409 once another person has, or it is resolved."""
    with run.writing() as uow:
        alert = alerts.acknowledge(uow, who, alert_id)
        ticket = uow.session.get_one(Ticket, alert.ticket_id)
        return alerts.alert_view(alert, ticket, uow.ref, run.settings.zone)
