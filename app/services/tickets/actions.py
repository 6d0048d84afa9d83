"""The actions on a ticket, one function each, all called through ``act``.

Each checks ``app.domain.tickets.lifecycle.TABLE``, changes the ticket and its deadlines, writes its event, and sets the
next moment at which the ladder is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from app.domain.tickets.deadline_state import UNIT_CLOCK
from app.domain.tickets.lifecycle import check_params, check_return
from app.domain.time.due import Limit, due
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.models import Extension, Suspension, Ticket
from app.security.permissions import holds
from app.security.principal import SYSTEM, Principal
from app.services.alerts import book as alerts
from app.services.core.events import stamp
from app.services.core.reference import Node
from app.services.core.unit_of_work import UnitOfWork
from app.services.deadlines import book as deadlines
from app.services.orders import book as order_book
from app.services.tickets.change import Change, begin, finish
from app.store import tickets as store

RESULT_LENGTH = 10_000


def _assign(change: Change, unit: Node) -> None:
    if change.ticket.dispatched_at is not None:
        # both read, so before anything is changed
        _withdraw_extensions(change)  # the other unit has time of its own
        order_book.hand_over(change.uow, change.ticket, unit.id)
    change.ticket.unit_id = unit.id
    if change.ticket.first_unit_id is None:
        change.ticket.first_unit_id = unit.id
    change.ticket.dispatched_at = change.at
    change.ticket.accepted_at = None
    change.ticket.contacted_at = None
    change.open("accept", "contact", "complete")
    followed = order_book.under_unit(change.uow, change.ticket, change.rows)
    if followed:
        change.resolve(["supervise"], "deadline_moved")
        change.moves += followed


def _dispatch(change: Change) -> None:
    """Send to a unit. A returned ticket sent back to the same unit keeps its running clock: the return was refused."""
    unit = change.ref.need_unit(change.params.get("unit"))
    ticket = change.ticket
    if ticket.status == "returned" and ticket.unit_id == unit.id:
        change.open("accept")
        change.log("return_refused", unit=unit.code)
        return
    change.resolve(UNIT_CLOCK, "dispatched")
    _assign(change, unit)
    change.log("dispatched", unit=unit.code)


def _accept(change: Change) -> None:
    change.ticket.accepted_at = change.at
    change.meet("accept")
    change.resolve(["accept"], "accepted")
    change.log("accepted")


def _return(change: Change) -> None:
    reason = change.text("reason")
    ticket = change.ticket
    check_return(ticket.returns)
    _, policy = deadlines.policy_for(change.ref, ticket)
    _, calendar = change.ref.calendar_for(ticket.unit_id)
    assert ticket.dispatched_at is not None, "a dispatched ticket has its moment of dispatch"
    last = due(calendar, ticket.dispatched_at, Limit("working_days", policy.return_days)).due_at
    if change.at > last:
        raise Conflict(
            f"退单须在派单后 {policy.return_days} 个工作日内提出，期限已于 {calendar.local(last):%Y-%m-%d %H:%M} 届满",
            f"a return must be asked for within {policy.return_days} working days of dispatch; that ended at "
            f"{calendar.local(last):%Y-%m-%d %H:%M}",
        )
    ticket.returns += 1
    change.cancel("accept", "contact")
    change.resolve(["accept", "contact"], "returned")
    change.log("returned", reason=reason, unit=change.ref.units[ticket.unit_id].code if ticket.unit_id else None)


def _reassign(change: Change) -> None:
    unit = change.ref.need_unit(change.params.get("unit"))
    reason = change.text("reason")
    if unit.id == change.ticket.unit_id:
        raise Invalid.at("/unit", "已由该单位承办", "this unit has the ticket already")
    before = change.ref.units.get(change.ticket.unit_id or 0)
    change.resolve(UNIT_CLOCK, "reassigned")
    _assign(change, unit)
    change.log("reassigned", unit=unit.code, previous_unit=before.code if before else None, reason=reason)


def _contact(change: Change) -> None:
    note = change.text("note", required=False)
    if change.ticket.contacted_at is None:
        change.ticket.contacted_at = change.at
    change.meet("contact")
    if change.ticket.status == "suspended":  # the clock was paused
        change.moves += deadlines.move_met(change.session, change.ref, change.ticket, change.rows, "contact")
    change.resolve(["contact"], "contacted")
    change.log("contacted", note=note)


def _suspend(change: Change) -> None:
    reason = change.text("reason")
    until = change.params.get("until")
    if until is not None and until <= change.at:
        raise Invalid.at("/until", "应晚于挂起时间", "must be after the suspension begins")
    ticket, actor = change.ticket, change.who.actor
    change.session.add(
        Suspension(ticket_id=ticket.id, from_at=change.at, until=until, reason=reason or "", actor=actor)
    )
    ticket.suspended_at = change.at
    change.moves += deadlines.move_met(change.session, change.ref, change.ticket, change.rows, "contact")
    # recorded late: nothing raised since then was a breach, for a suspended ticket is not overdue
    alerts.resolve_since(change.uow, change.ticket, UNIT_CLOCK, change.at)
    change.log("suspended", reason=reason, until=stamp(until))


def _resume(change: Change) -> None:
    change.session.flush()
    running = [s for s in deadlines.suspensions_of(change.session, change.ticket.id) if s.to_at is None]
    for span in running:
        span.to_at = change.at
        change.session.add(span)
    change.session.flush()
    change.ticket.suspended_at = None
    change.moves += deadlines.recompute(change.session, change.ref, change.ticket, change.rows)
    change.moves += deadlines.move_met(change.session, change.ref, change.ticket, change.rows, "contact")
    moved = [move.target for move in change.moves]
    if moved:
        change.resolve(moved, "deadline_moved")
    change.log("resumed", calendars=deadlines.calendars_of(change.rows))


def resume_by_itself(uow: UnitOfWork, ticket: Ticket, until: datetime) -> None:
    """End a suspension at its planned end ``until``; the caller holds the ticket lock and reschedules the ladder check."""
    rows = deadlines.of_ticket(uow.session, ticket.id)
    _resume(Change(uow, SYSTEM, ticket, {}, until, rows))
    ticket.status = "accepted"
    uow.session.add(ticket)


def _extend(change: Change) -> None:
    """Request more working days: before the deadline, once, at most as many as the policy allows (Shandong 2020)."""
    reason = change.text("reason")
    days = change.params.get("days")
    ticket = change.ticket
    _, policy = deadlines.policy_for(change.ref, ticket)
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= policy.extension_days:
        raise Invalid.at(
            "/days",
            f"应为 1 至 {policy.extension_days} 的整数（工作日）",
            f"a whole number of working days from 1 to {policy.extension_days}",
        )
    row = deadlines.in_force(change.rows, "complete")
    if row is None or row.limit is None:
        raise Conflict("该工单没有可延期的办结时限", "the ticket has no complete-deadline that can be extended")
    if change.at > row.due_at and ticket.status != "suspended":
        raise Conflict(
            "延期须在到期前申请，该工单已超期", "an extension must be asked for before the deadline, which has passed"
        )
    asked = [e for e in store.extensions_of(change.session, ticket.id) if e.round == row.round]
    if any(e.state == "pending" for e in asked):
        raise Conflict("已有一份延期申请待审批", "a request for extension is waiting already")
    if sum(e.state == "approved" for e in asked) >= policy.extensions:
        raise Conflict(
            f"按规定最多延期 {policy.extensions} 次，已用完", f"{policy.extensions} extension(s) at most, all used"
        )
    request = Extension(
        ticket_id=ticket.id,
        round=row.round,
        days=days,
        reason=reason or "",
        asked_by=change.who.actor,
        asked_at=change.at,
    )
    change.session.add(request)
    change.session.flush()
    change.log("extension_asked", extension=request.id, days=days, reason=reason)


def _complete(change: Change) -> None:
    result = change.text("result", longest=RESULT_LENGTH)
    ticket = change.ticket
    _withdraw_extensions(change)  # reads; so before anything is changed
    ticket.completed_at = change.at
    if ticket.first_completed_at is None:
        ticket.first_completed_at = change.at
    ticket.result = result
    change.meet("complete")
    change.cancel("accept", "contact")
    change.open("callback")
    change.resolve(UNIT_CLOCK, "completed")
    change.log("completed", result=result)
    order_book.reply_by_completion(change.uow, ticket, result or "", change.who, change.at)


def _urge(change: Change) -> None:
    change.ticket.urges += 1
    change.log("urged", note=change.text("note", required=False))


def reopen(change: Change, reason: str | None, *, because: str) -> None:
    """Reopen the ticket with new deadlines; the citizen clock runs on. ``because``: ``office`` or ``callback``."""
    ticket = change.ticket
    ticket.reopens += 1
    ticket.round += 1
    ticket.completed_at = None
    ticket.closed_at = None
    ticket.contacted_at = None
    change.cancel("callback")
    change.resolve(["callback"], "reopened")
    change.open("contact", "complete")
    change.log("reopened", reason=reason, because=because, round=ticket.round)


def _reopen(change: Change) -> None:
    reopen(change, change.text("reason"), because="office")


def _void(change: Change) -> None:
    reason = change.text("reason")
    change.ticket.voided_at = change.at
    if change.ticket.status == "suspended":
        for span in deadlines.suspensions_of(change.session, change.ticket.id):
            span.to_at = span.to_at or change.at
    change.cancel("accept", "contact", "complete", "callback", "supervise")
    change.ticket.due_at = None if change.ticket.completed_at is None else change.ticket.due_at
    if change.ticket.parent_id is not None:
        store.count_repeat(change.session, change.ticket.parent_id, -1)
    _withdraw_extensions(change)
    change.log("voided", reason=reason)
    order_book.cancel_on_void(change.uow, change.ticket, change.who, change.at)
    change.resolve(None, "voided")


def _withdraw_extensions(change: Change) -> None:
    for request in store.extensions_of(change.session, change.ticket.id):
        if request.state == "pending":
            request.state = "withdrawn"
            change.session.add(request)


ACTIONS: Mapping[str, Callable[[Change], None]] = {
    "dispatch": _dispatch,
    "accept": _accept,
    "return": _return,
    "reassign": _reassign,
    "contact": _contact,
    "suspend": _suspend,
    "resume": _resume,
    "extend": _extend,
    "complete": _complete,
    "urge": _urge,
    "reopen": _reopen,
    "void": _void,
}


def act(
    uow: UnitOfWork,
    who: Principal,
    ticket_id: int,
    action: str,
    params: Mapping[str, Any],
    *,
    at: datetime | None,
    if_match: int | None = None,
) -> Ticket:
    """Perform ``action`` on a ticket and return the changed ticket.

    ``at``: when it happened, for past steps recorded by the office; ``if_match``: the version the caller had read.
    Raises NotFound, Stale, Forbidden, NotAllowed, Conflict or Invalid; the ticket is then unchanged.
    """
    if action not in ACTIONS:
        raise NotFound(
            f"没有操作 {action}；可用：{'、'.join(ACTIONS)}", f"no action {action}; there are: {', '.join(ACTIONS)}"
        )
    check_params(action, params)
    change, to = begin(uow, who, ticket_id, action, params, at=at, if_match=if_match)
    if action != "urge" and not holds(who, change.ticket, uow.ref):
        raise Forbidden("该工单现由其他单位承办", "another unit has the ticket now")
    ACTIONS[action](change)
    return finish(change, to)
