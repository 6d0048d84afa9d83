"""Alerts (预警): when a ticket is next looked at, and what becomes of an alert once it is raised.

Alerts are raised by the sweep alone (``app.services.supervision.sweep``). What happens to one is noted with the unit of
work, which writes it into the feed that live viewers follow when it completes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from app.domain.supervision.ladder import DeadlineFacts, Decision, TicketFacts, decide, earliest_check, higher_card
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Conflict, NotFound
from app.models import Alert, Deadline, SupervisionOrder, Ticket
from app.schemas.alert import AlertEventOut, AlertOut
from app.security.permissions import require
from app.security.principal import Principal
from app.services.core import events as log
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.store import supervision as store
from app.store.scope import find

LIVE = store.LIVE
_STANDING = (
    select(Alert).where(col(Alert.ticket_id) == bindparam("ticket"), col(Alert.state).in_(LIVE)).order_by(col(Alert.id))
)


def facts_of(
    ticket: Ticket,
    rows: Iterable[Deadline],
    raised: dict[tuple[str, int, int], set[str]],
    order: SupervisionOrder | None,
    resumes_at: datetime | None = None,
) -> TicketFacts:
    """What the ladder needs to know, from the rows. ``raised``: rung codes by (target, round, revision); ``resumes_at``:
    when a suspension ends by itself."""
    return TicketFacts(
        status=ticket.status,
        stage=ticket.stage,
        suspended=ticket.status == "suspended",
        historical=ticket.historical,
        resumes_at=resumes_at,
        order_live=order is not None,
        order_term=1 if order is None else order.term,
        deadlines=tuple(
            DeadlineFacts(
                target=row.target,
                round=row.round,
                revision=row.revision,
                started_at=row.started_at,
                due_at=row.due_at,
                ended=row.met_at is not None or row.cancelled_at is not None,
                raised=frozenset(raised.get((row.target, row.round, row.revision), ())),
            )
            for row in rows
        ),
    )


def next_look(decision: Decision, now: datetime) -> datetime | None:
    """When the sweep is to take the ticket: at once, where there is something to raise already."""
    return now if decision.raise_ else decision.next_check_at


def reschedule(uow: UnitOfWork, ticket: Ticket, *, rows: Iterable[Deadline] | None = None) -> None:
    """Set ``ticket.next_check_at`` from the ladder; to be called after every change of a ticket or its deadlines.

    ``rows``: all deadlines of the ticket, where the caller holds them; they are then not read again, and the change is
    written once, with its next check. A supervised ticket's are read always: its order opens deadlines of its own.
    """
    session, ref, now = uow.session, uow.ref, uow.now
    if ticket.status == "void" or (ticket.historical and ticket.status != "suspended"):
        ticket.next_check_at = None
        return
    if rows is None or ticket.supervised:
        session.flush()
        running = store.open_deadlines(session, [ticket.id]).get(ticket.id, [])
    else:
        running = [row for row in rows if row.met_at is None and row.cancelled_at is None]
    resumes_at = store.resumptions(session, [ticket]).get(ticket.id)
    if not running:
        ticket.next_check_at = resumes_at
        return
    with session.no_autoflush:  # alerts are written by the sweep alone: no pending change bears on what was raised
        raised = store.raised_rungs(session, [ticket.id]).get(ticket.id, {})
    order = store.live_orders(session, [ticket.id]).get(ticket.id) if ticket.supervised else None
    _, calendar = ref.calendar_for(ticket.unit_id)
    facts = facts_of(ticket, running, raised, order, resumes_at)
    ticket.next_check_at = next_look(decide(facts, ref.ladder, calendar, now), now)


def first_check(ref: Reference, calendar: WorkCalendar, deadlines: Iterable[DeadlineFacts]) -> datetime | None:
    """``next_check_at`` of a new ticket with these deadlines, for bulk intake: no database, nothing raised yet."""
    return earliest_check(ref.ladder, calendar, deadlines)


def end(uow: UnitOfWork, alert: Alert, resolution: str) -> None:
    """Resolve one alert and note it for the feed; the ticket's card is the caller's to set."""
    alert.state, alert.resolved_at, alert.resolution = "resolved", uow.now, resolution
    uow.session.add(alert)
    uow.note_alert(alert.id, "resolved")


def resolve(uow: UnitOfWork, ticket: Ticket, targets: Iterable[str] | None, *, resolution: str) -> list[Alert]:
    """Resolve the live alerts of ``targets`` (None: all), and set the ticket's card to the gravest that is left.

    ``resolution`` says by what: met, extended, moved, replied, superseded, void, …
    """
    wanted = None if targets is None else set(targets)
    return _end_where(uow, ticket, lambda alert: wanted is None or alert.target in wanted, resolution)


def resolve_since(uow: UnitOfWork, ticket: Ticket, targets: Iterable[str], since: datetime) -> list[Alert]:
    """Resolve the live alerts of ``targets`` whose moment is after ``since``, when the ticket was already suspended."""
    wanted = set(targets)
    return _end_where(uow, ticket, lambda alert: alert.target in wanted and alert.breach_at > since, "suspended")


def _end_where(uow: UnitOfWork, ticket: Ticket, ends: Callable[[Alert], bool], resolution: str) -> list[Alert]:
    with uow.session.no_autoflush:  # what this transaction has resolved already is left out below, written or not
        found = uow.session.execute(_STANDING, {"ticket": ticket.id}).scalars().all()
    ended: list[Alert] = []
    card: str | None = None
    for alert in found:
        if alert.state not in LIVE:
            continue
        if ends(alert):
            end(uow, alert, resolution)
            ended.append(alert)
        else:
            card = higher_card(card, alert.card)
    ticket.card = card
    uow.session.add(ticket)
    return ended


def supersede(uow: UnitOfWork, raised: Mapping[tuple[int, store.Key], int]) -> int:
    """Resolve live alerts below a higher rung of the same deadline, so that the board shows each deadline once.

    ``raised``: the id of the alert raised now, by ticket and deadline. The cards of the tickets are the caller's to set;
    they can only have risen. How many were settled.
    """
    settled = 0
    for alert in store.standing_alerts(uow.session, sorted({ticket_id for ticket_id, _ in raised})):
        above = raised.get((alert.ticket_id, (alert.target, alert.round, alert.revision)))
        if above is None or above == alert.id:
            continue
        end(uow, alert, "superseded")
        settled += 1
    return settled


def hand_over(uow: UnitOfWork, ticket: Ticket, targets: Iterable[str], unit_id: int) -> None:
    """Move the live alerts of ``targets`` to the unit that has the ticket now; the feed shows them as raised there."""
    wanted = set(targets)
    for alert in store.standing_alerts(uow.session, [ticket.id]):
        if alert.target in wanted and alert.unit_id != unit_id:
            alert.unit_id = unit_id
            uow.session.add(alert)
            uow.note_alert(alert.id, "raised")


def acknowledge(uow: UnitOfWork, principal: Principal, alert_id: int) -> Alert:
    """Acknowledge an alert; idempotent for the same user, refused for a resolved alert.

    Raises Forbidden, NotFound (also for a unit that may not see it), Conflict.
    """
    require(principal, "alerts.acknowledge")
    session, now = uow.session, uow.now
    alert = visible_alert(session, principal, alert_id)
    ticket = store.lock_ticket(session, alert.ticket_id)  # ticket rows are locked first, always
    session.refresh(alert)
    if alert.state == "acked":
        if alert.acked_by == principal.actor:
            return alert
        raise Conflict(f"该预警已由 {alert.acked_by} 确认", f"the alert was acknowledged by {alert.acked_by} already")
    if alert.state != "open":
        raise Conflict("该预警已解除", "the alert is resolved already")
    alert.state = "acked"
    alert.acked_by = principal.actor
    alert.acked_at = now
    session.add(alert)
    log.append(
        session, ticket, "alert_acked", at=now, now=now, actor=principal.actor,
        data={"alert": alert.id, "target": alert.target, "rung": alert.rung},
    )  # fmt: skip
    uow.note_alert(alert.id, "acked")
    return alert


def visible_alert(session: Session, principal: Principal, alert_id: int) -> Alert:
    """The alert, if the caller may see it; raises NotFound else."""
    alert = find(session, principal, Alert, alert_id)
    if alert is None:
        raise NotFound(f"没有编号为 {alert_id} 的预警", f"no alert {alert_id}")
    return alert


def list_alerts(
    session: Session,
    principal: Principal,
    *,
    state: str | None = None,
    card: str | None = None,
    unit_id: int | None = None,
    target: str | None = None,
    ticket_id: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[tuple[Alert, Ticket]]:
    """Alerts with their tickets, newest first; ``before`` is the id the last page ended with.

    ``state``: open, acked, resolved, or ``live`` for the first two; ``unit_id`` counts its subtree.
    """
    require(principal, "alerts.see")
    conditions: list[Any] = []
    if state == "live":
        conditions.append(col(Alert.state).in_(LIVE))
    elif state is not None:
        conditions.append(col(Alert.state) == state)
    if card is not None:
        conditions.append(col(Alert.card) == card)
    if target is not None:
        conditions.append(col(Alert.target) == target)
    if ticket_id is not None:
        conditions.append(col(Alert.ticket_id) == ticket_id)
    if unit_id is not None:
        conditions.append(store.unit_subtree(col(Alert.unit_id), unit_id))
    return store.newest_with_tickets(session, principal, Alert, conditions, before, limit)


def alert_view(alert: Alert, ticket: Ticket, ref: Reference, zone: tzinfo) -> AlertOut:
    """An alert as read; it does not identify the citizen."""
    return AlertOut.from_row(alert, zone, **_joined(alert, ticket, ref))


def alert_event(kind: str, alert: Alert, ticket: Ticket, ref: Reference, zone: tzinfo) -> AlertEventOut:
    """An alert on the stream, and what happened to it."""
    return AlertEventOut.from_row(alert, zone, kind=kind, **_joined(alert, ticket, ref))


def _joined(alert: Alert, ticket: Ticket, ref: Reference) -> dict[str, Any]:
    unit = ref.units.get(alert.unit_id) if alert.unit_id is not None else None
    rung = ref.ladder.rung(alert.rung)
    return {
        "ticket_number": ticket.number, "title": ticket.title, "ticket_status": ticket.status, "stage": ticket.stage,
        "unit": unit.code if unit else None, "unit_name": unit.name if unit else None,
        "rung_name": rung.name("zh") if rung else alert.rung, "rung_name_en": rung.name("en") if rung else alert.rung,
    }  # fmt: skip
