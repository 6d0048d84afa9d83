"""Alerts (预警): when a ticket is next looked at, and what becomes of an alert once it is raised.

Alerts are raised by the sweep alone (``app.services.supervision.sweep``). The feed that live viewers follow is written at
the very end of a transaction (``note``, ``publish``): its counter stays locked until the commit, which is what keeps the feed's
numbers without gaps and in the order of commit, and so it must be the last lock taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlmodel import Session, col

from app.db import at_end
from app.domain.supervision.ladder import DeadlineFacts, Decision, TicketFacts, decide, first_look, higher_card
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Conflict, NotFound
from app.models import Alert, AlertFeed, Deadline, SupervisionOrder, Ticket
from app.security.permissions import require
from app.security.principal import Principal
from app.services.core import events as log
from app.services.core.reference import Reference
from app.services.core.views import moment
from app.store import supervision as store
from app.store.ids import take
from app.store.scope import find, visible

LIVE = store.LIVE
FEED_COUNTER = "alert_feed"
_PENDING = "alert_feed"
_STANDING = (
    select(Alert).where(col(Alert.ticket_id) == bindparam("ticket"), col(Alert.state).in_(LIVE)).order_by(col(Alert.id))
)


def note(session: Session, alert_id: int, kind: str, at: datetime) -> None:
    """Keep in mind that ``kind`` (raised, acked, resolved) happened to an alert; told to the viewers at the commit."""
    session.info.setdefault(_PENDING, []).append((alert_id, kind, at))
    at_end(session, publish)


def publish(session: Session) -> int:
    """Write what was noted into the feed; called just before the commit. How many rows it wrote."""
    pending = session.info.pop(_PENDING, [])
    if not pending:
        return 0
    session.flush()
    top = take(session, FEED_COUNTER, len(pending))
    first = top - len(pending) + 1
    session.execute(
        insert(AlertFeed.__table__),  # type: ignore[attr-defined]
        [{"id": first + n, "alert_id": a, "kind": kind, "at": at} for n, (a, kind, at) in enumerate(pending)],
    )
    return len(pending)


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


def reschedule(
    session: Session, ref: Reference, ticket: Ticket, now: datetime, *, rows: Iterable[Deadline] | None = None
) -> None:
    """Set ``ticket.next_check_at`` from the ladder; to be called after every change of a ticket or its deadlines.

    ``rows``: all deadlines of the ticket, where the caller holds them; they are then not read again, and the change is
    written once, with its next check. A supervised ticket's are read always: its order opens deadlines of its own.
    """
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
    """``next_check_at`` of a fresh ticket with these deadlines, for bulk intake: no database, nothing raised yet."""
    return first_look(ref.ladder, calendar, deadlines)


def resolve(
    session: Session, ticket: Ticket, targets: Iterable[str] | None, *, resolution: str, now: datetime
) -> list[Alert]:
    """Settle the alerts of ``targets`` (none: all) that still stand, and let the ticket's card be what is left.

    ``resolution`` says by what: met, extended, moved, replied, superseded, void, …
    """
    with session.no_autoflush:  # what this transaction has settled already is left out below, unwritten or not
        found = session.execute(_STANDING, {"ticket": ticket.id}).scalars().all()
    standing = [alert for alert in found if alert.state in LIVE]
    wanted = None if targets is None else set(targets)
    settled: list[Alert] = []
    card: str | None = None
    for alert in standing:
        if wanted is not None and alert.target not in wanted:
            card = higher_card(card, alert.card)
            continue
        alert.state = "resolved"
        alert.resolved_at = now
        alert.resolution = resolution
        session.add(alert)
        settled.append(alert)
        assert alert.id is not None
        note(session, alert.id, "resolved", now)
    ticket.card = card
    session.add(ticket)
    return settled


def supersede(session: Session, raised: Mapping[tuple[int, store.Key], int], now: datetime) -> int:
    """Settle what still stands below a higher rung of the same deadline, so that one deadline stands on the board once.

    ``raised``: the id of the alert raised now, by ticket and deadline. The cards of the tickets are the caller's to set;
    they can only have risen. How many were settled.
    """
    settled = 0
    for alert in store.standing_alerts(session, sorted({ticket_id for ticket_id, _ in raised})):
        above = raised.get((alert.ticket_id, (alert.target, alert.round, alert.revision)))
        if above is None or above == alert.id:
            continue
        alert.state, alert.resolved_at, alert.resolution = "resolved", now, "superseded"
        session.add(alert)
        assert alert.id is not None
        note(session, alert.id, "resolved", now)
        settled += 1
    return settled


def resolve_since(
    session: Session, ticket: Ticket, targets: Iterable[str], since: datetime, *, now: datetime
) -> list[Alert]:
    """Settle the alerts of ``targets`` whose moment lies after ``since``, when the ticket was suspended as it turns out."""
    with session.no_autoflush:
        standing = session.execute(_STANDING, {"ticket": ticket.id}).scalars().all()
    wanted = set(targets)
    early = [alert for alert in standing if alert.target in wanted and alert.breach_at > since]
    card: str | None = None
    for alert in standing:
        if alert not in early:
            card = higher_card(card, alert.card)
            continue
        alert.state, alert.resolved_at, alert.resolution = "resolved", now, "suspended"
        session.add(alert)
        assert alert.id is not None
        note(session, alert.id, "resolved", now)
    if early:
        ticket.card = card
        session.add(ticket)
    return early


def hand_over(session: Session, ticket: Ticket, targets: Iterable[str], unit_id: int, *, now: datetime) -> None:
    """Let the alerts of ``targets`` that still stand be another unit's: it has the ticket now, and sees them as raised."""
    wanted = set(targets)
    for alert in store.standing_alerts(session, [ticket.id]):
        if alert.target in wanted and alert.unit_id != unit_id:
            alert.unit_id = unit_id
            session.add(alert)
            assert alert.id is not None
            note(session, alert.id, "raised", now)


def acknowledge(session: Session, principal: Principal, alert_id: int, now: datetime) -> Alert:
    """Say who has taken notice of an alert. The same person again: nothing changes; a resolved alert refuses.

    Raises Forbidden, NotFound (also for a unit that may not see it), Conflict.
    """
    require(principal, "alerts.acknowledge")
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
    assert alert.id is not None
    note(session, alert.id, "acked", now)
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
    if before is not None:
        conditions.append(col(Alert.id) < before)
    query = (
        select(Alert, Ticket)
        .join(Ticket, col(Ticket.id) == col(Alert.ticket_id))
        .where(*conditions)
        .order_by(col(Alert.id).desc())
        .limit(limit)
    )
    return [(alert, ticket) for alert, ticket in session.execute(visible(query, principal, Alert))]


def alert_view(alert: Alert, ticket: Ticket, ref: Reference, zone: tzinfo) -> dict[str, Any]:
    """An alert as read, in lists and on the stream; nothing in it says who the citizen is."""
    unit = ref.units.get(alert.unit_id) if alert.unit_id is not None else None
    rung = ref.ladder.rung(alert.rung)
    return {
        "id": alert.id,
        "ticket_id": ticket.id,
        "ticket_number": ticket.number,
        "title": ticket.title,
        "ticket_status": ticket.status,
        "stage": ticket.stage,
        "unit": unit.code if unit else None,
        "unit_name": unit.name if unit else None,
        "target": alert.target,
        "round": alert.round,
        "revision": alert.revision,
        "rung": alert.rung,
        "rung_name": rung.name("zh") if rung else alert.rung,
        "rung_name_en": rung.name("en") if rung else alert.rung,
        "card": alert.card,
        "breach_at": moment(alert.breach_at, zone),
        "due_at": moment(alert.due_at, zone),
        "raised_at": moment(alert.raised_at, zone),
        "passed_over": alert.passed_over,
        "state": alert.state,
        "acked_by": alert.acked_by,
        "acked_at": moment(alert.acked_at, zone),
        "resolved_at": moment(alert.resolved_at, zone),
        "resolution": alert.resolution,
    }
