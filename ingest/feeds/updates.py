"""Apply a feed's record to an existing ticket: correct changed content, and follow the upstream's transitions.

The upstream may correct its content until the ticket is closed (``app.services.tickets.corrections``); a field that a
user has corrected since changes only with a new upstream value. Of the lifecycle, only acceptance and ends are followed:
what the upstream calls completed, closed or void becomes so here. A ticket completed here that the upstream still calls
open is no contradiction: the upstream lags behind. A record reopened after the upstream itself had ended it, or one that
changes a closed ticket, is rejected for manual review.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from app.domain.tickets.lifecycle import OPEN
from app.errors import Conflict, DubanError, FieldProblem, Invalid, NotFound
from app.models import Feed, Ticket, TicketEvent
from app.runtime import Runtime
from app.security.principal import Principal
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.intake import history
from app.services.tickets import corrections
from app.services.tickets.actions import ACTIONS
from app.services.tickets.change import Change, finish, latest_step
from app.store import tickets as store
from ingest.connectors.registry import spec_of
from ingest.connectors.spec import FeedSpec
from ingest.rows import compare
from ingest.rows.prepare import Follow, RowOutcome
from ingest.rows.profile import Profile
from ingest.rows.ticket_in import HistoricalTicket, TicketIn, canonical, differing_fields, fingerprint

FEED = "feed:"
"""Prefix of a feed's actor, and of the profile name stored with its rejects."""
_ENDED = ("completed", "closed", "void")


def feed_spec(row: Feed) -> FeedSpec:
    """Return the definition of a stored feed. Raises ``Invalid`` where this version cannot read it any more."""
    return spec_of(row.spec)


def feed_profile(runtime: Runtime, name: str) -> Profile:
    """Return the mapping profile of the feed ``name``. Raises NotFound."""
    with runtime.database.read() as session:
        row = session.execute(select(Feed).where(col(Feed.name) == name)).scalar_one_or_none()
    if row is None:
        raise NotFound(f"没有名为 {name} 的接入源", f"there is no feed {name!r}")
    return feed_spec(row).profile()


def following(actor: str) -> Follow:
    """Return ``follow`` bound to the feed with this actor."""

    def follow_one(uow: UnitOfWork, ticket_id: int, incoming: TicketIn) -> RowOutcome:
        assert isinstance(incoming, HistoricalTicket), "a feed maps records to historical tickets"
        return follow(uow, ticket_id, incoming, actor)

    return follow_one


def follow(uow: UnitOfWork, ticket_id: int, incoming: HistoricalTicket, by: Principal | str) -> RowOutcome:
    """Update the ticket to what its source sends now: ``corrected``, ``unchanged``, or ``rejected`` with the reasons,
    in which case nothing is changed. ``by``: the actor of a feed, or the person or key that retries its record."""
    try:
        with uow.savepoint():
            changed = _follow(uow, ticket_id, incoming, by)
    except DubanError as error:
        problems = error.problems if isinstance(error, Invalid) else (_problem(error),)
        return RowOutcome("rejected", ticket_id, problems)
    return RowOutcome("corrected" if changed else "unchanged", ticket_id)


def _problem(error: DubanError) -> FieldProblem:
    fields = getattr(error, "fields", None) or [""]
    pointer = f"/{fields[0]}" if fields[0] else ""
    return FieldProblem(pointer, *error.message, "update_refused")


def _follow(uow: UnitOfWork, ticket_id: int, incoming: HistoricalTicket, by: Principal | str) -> bool:
    session, ref = uow.session, uow.ref
    ticket = store.lock_ticket(session, ticket_id)
    assert ticket is not None, "it has just been found by its key"
    after = _with_own_codes(ref, incoming)
    old, new = canonical(compare.pushed_content(session, ref, ticket)), canonical(after)
    differences: dict[str, tuple[Any, Any]] = {
        name: (old.get(name), new.get(name)) for name in differing_fields(old, new)
    }
    for name, source_value in compare.office_corrections(session, ticket_id).items() if differences else ():
        if source_value is compare.UNRECORDED or source_value == new.get(name):
            differences.pop(name, None)  # unchanged at the source: the office's correction remains
    if after.received_at is None:
        differences.pop("received_at", None)  # not given: nothing to correct
    if ticket.status in ("closed", "void") and differences:
        names = "、".join(sorted(differences))
        raise Conflict(
            f"工单已{'归档' if ticket.status == 'closed' else '作废'}，上游又更改了 {names}，请人工处理",
            f"the ticket is {ticket.status}, and the upstream changed {', '.join(sorted(differences))}: review manually",
            fields=sorted(differences),
        )
    principal = Principal(by, by, "integrator", source_id=ticket.source_id) if isinstance(by, str) else by
    if differences:
        change = _correction(uow, principal, ticket_id)
        corrections.apply(change, after, fingerprint(after), differences)
        session.flush()
    return _follow_life(uow, principal, ticket, after) or bool(differences)


def _with_own_codes(ref: Reference, incoming: HistoricalTicket) -> HistoricalTicket:
    """Return the ticket with Duban's codes for unit, category and grid where the source gives names."""
    nodes = history.ReferenceFinder(ref).of(incoming)
    codes = {
        name: node.code for name, node in zip(("unit", "category", "grid"), nodes, strict=True) if node is not None
    }
    return incoming.model_copy(update=codes)


def _follow_life(uow: UnitOfWork, principal: Principal, ticket: Ticket, incoming: HistoricalTicket) -> bool:
    if incoming.status == "accepted" and ticket.status in ("dispatched", "reopened"):
        _step(uow, principal, ticket, "accept", "accepted", incoming.accepted_at, {})
        return True
    if incoming.status not in _ENDED:
        if ticket.status in _ENDED and _ended_by_feed(uow.session, ticket.id):
            raise Conflict(
                "上游曾办结该工单，现又改为未办结，请核实后重办",
                "the upstream had ended the ticket and calls it open again: verify, and reopen it here",
                fields=["status"],
            )
        return False
    if ticket.status == "suspended":
        _step(uow, principal, ticket, "resume", "accepted", None, {})
    result = incoming.result or "上游已办结 / ended by the upstream"
    if incoming.status == "void":
        if ticket.status in ("void", "closed"):
            return False
        _step(uow, principal, ticket, "void", "void", incoming.voided_at, {"reason": result[:2000]})
        return True
    moved = False
    if ticket.status in OPEN:
        moment = incoming.completed_at or incoming.closed_at
        _step(uow, principal, ticket, "complete", "completed", moment, {"result": result})
        moved = True
    if incoming.status == "closed" and ticket.status == "completed":
        _close(uow, principal, ticket, incoming)
        moved = True
    return moved


def _correction(uow: UnitOfWork, principal: Principal, ticket_id: int) -> Change:
    change = corrections.begin(uow, principal, ticket_id, if_match=None)
    change.by = None if principal.actor.startswith(FEED) else "source"
    return change


def _begin(uow: UnitOfWork, principal: Principal, ticket: Ticket, moment: datetime | None) -> Change:
    """Begin a change of this ticket at the upstream's moment, limited to between the latest step and now."""
    change = _correction(uow, principal, ticket.id)
    earliest = latest_step(uow.session, change.ticket)
    change.at = max(min(moment or uow.now, uow.now), earliest)
    return change


def _step(
    uow: UnitOfWork, principal: Principal, ticket: Ticket, action: str, to: str, moment: datetime | None,
    params: dict[str, Any],
) -> None:  # fmt: skip
    change = _begin(uow, principal, ticket, moment)
    change.params = params
    ACTIONS[action](change)
    finish(change, to)
    uow.session.flush()


def _close(uow: UnitOfWork, principal: Principal, ticket: Ticket, incoming: HistoricalTicket) -> None:
    change = _begin(uow, principal, ticket, incoming.closed_at or incoming.completed_at)
    change.cancel("callback")
    change.resolve(["callback"], "closed")
    ticket.closed_at = change.at
    if incoming.satisfaction is not None:
        ticket.satisfaction = incoming.satisfaction
    change.log("closed", because="source")
    finish(change, "closed")
    uow.session.flush()


def _ended_by_feed(session: Session, ticket_id: int) -> bool:
    query = (
        select(col(TicketEvent.actor), col(TicketEvent.data))
        .where(col(TicketEvent.ticket_id) == ticket_id, col(TicketEvent.type).in_(("completed", "closed", "voided")))
        .order_by(col(TicketEvent.seq).desc())
        .limit(1)
    )
    found = session.execute(query).first()
    return found is not None and (found[0].startswith(FEED) or found[1].get("by") == "source")
