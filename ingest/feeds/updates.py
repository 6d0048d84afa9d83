"""What a feed says of a ticket that is there already: corrected where its content changed, taken on where its life did.

The upstream's content is its own to correct until the ticket is closed (``app.services.tickets.corrections``); what a person of
the office has corrected since, it changes only by saying something new. Of its life, only ends and acceptance are
followed: what the upstream calls completed, closed or void is so here too. That it still calls open what the unit has
completed here is no contradiction: it has not heard of it yet. A record that is open again after the upstream itself
had ended it, or that changes a ticket which is closed, is for a person to decide.
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
"""What the actor of a feed, and the profile kept with its rejects, begin with."""
_ENDED = ("completed", "closed", "void")


def feed_spec(row: Feed) -> FeedSpec:
    """The definition of a feed that is stored. Raises ``Invalid`` where a later version reads it no more."""
    return spec_of(row.spec)


def feed_profile(runtime: Runtime, name: str) -> Profile:
    """How the records of the feed ``name`` are read. Raises NotFound."""
    with runtime.database.read() as session:
        row = session.execute(select(Feed).where(col(Feed.name) == name)).scalar_one_or_none()
    if row is None:
        raise NotFound(f"没有名为 {name} 的接入源", f"there is no feed {name!r}")
    return feed_spec(row).profile()


def following(actor: str) -> Follow:
    """``follow`` for the feed whose actor this is."""

    def follow_one(uow: UnitOfWork, ticket_id: int, said: TicketIn) -> RowOutcome:
        assert isinstance(said, HistoricalTicket), "a feed maps records to tickets with their life"
        return follow(uow, ticket_id, said, actor)

    return follow_one


def follow(uow: UnitOfWork, ticket_id: int, said: HistoricalTicket, by: Principal | str) -> RowOutcome:
    """Update the ticket to what its source says now: ``corrected``, ``unchanged``, or ``rejected`` with the reasons,
    in which case nothing is changed. ``by``: the actor of a feed, or the person or key that retries its record."""
    try:
        with uow.savepoint():
            changed = _follow(uow, ticket_id, said, by)
    except DubanError as error:
        problems = error.problems if isinstance(error, Invalid) else (_problem(error),)
        return RowOutcome("rejected", ticket_id, problems)
    return RowOutcome("corrected" if changed else "unchanged", ticket_id)


def _problem(error: DubanError) -> FieldProblem:
    fields = getattr(error, "fields", None) or [""]
    pointer = f"/{fields[0]}" if fields[0] else ""
    return FieldProblem(pointer, *error.message, "update_refused")


def _follow(uow: UnitOfWork, ticket_id: int, said: HistoricalTicket, by: Principal | str) -> bool:
    session, ref = uow.session, uow.ref
    ticket = store.lock_ticket(session, ticket_id)
    assert ticket is not None, "it has just been found by its key"
    after = _with_own_codes(ref, said)
    old, new = canonical(compare.pushed_content(session, ref, ticket)), canonical(after)
    differences: dict[str, tuple[Any, Any]] = {
        name: (old.get(name), new.get(name)) for name in differing_fields(old, new)
    }
    for name, said_before in compare.office_corrections(session, ticket_id).items() if differences else ():
        if said_before is compare.UNRECORDED or said_before == new.get(name):
            differences.pop(name, None)  # the source repeats itself: the office's correction stands
    if after.received_at is None:
        differences.pop("received_at", None)  # not said at all: nothing to correct by
    if ticket.status in ("closed", "void") and differences:
        names = "、".join(sorted(differences))
        raise Conflict(
            f"工单已{'归档' if ticket.status == 'closed' else '作废'}，上游又更改了 {names}，请人工处理",
            f"the ticket is {ticket.status}, and the upstream changed {', '.join(sorted(differences))}: a person decides",
            fields=sorted(differences),
        )
    who = Principal(by, by, "integrator", source_id=ticket.source_id) if isinstance(by, str) else by
    if differences:
        change = _correction(uow, who, ticket_id)
        corrections.apply(change, after, fingerprint(after), differences)
        session.flush()
    return _follow_life(uow, who, ticket, after) or bool(differences)


def _with_own_codes(ref: Reference, said: HistoricalTicket) -> HistoricalTicket:
    """Its unit, category and grid by the codes that Duban has them under, where the source gives their names."""
    nodes = history.ReferenceFinder(ref).of(said)
    codes = {
        name: node.code for name, node in zip(("unit", "category", "grid"), nodes, strict=True) if node is not None
    }
    return said.model_copy(update=codes)


def _follow_life(uow: UnitOfWork, who: Principal, ticket: Ticket, said: HistoricalTicket) -> bool:
    if said.status == "accepted" and ticket.status in ("dispatched", "reopened"):
        _step(uow, who, ticket, "accept", "accepted", said.accepted_at, {})
        return True
    if said.status not in _ENDED:
        if ticket.status in _ENDED and _ended_by_feed(uow.session, ticket.id):
            raise Conflict(
                "上游曾办结该工单，现又改为未办结，请核实后重办",
                "the upstream had ended the ticket and calls it open again: look at it, and reopen it here",
                fields=["status"],
            )
        return False
    if ticket.status == "suspended":
        _step(uow, who, ticket, "resume", "accepted", None, {})
    result = said.result or "上游已办结 / ended by the upstream"
    if said.status == "void":
        if ticket.status in ("void", "closed"):
            return False
        _step(uow, who, ticket, "void", "void", said.voided_at, {"reason": result[:2000]})
        return True
    moved = False
    if ticket.status in OPEN:
        moment = said.completed_at or said.closed_at
        _step(uow, who, ticket, "complete", "completed", moment, {"result": result})
        moved = True
    if said.status == "closed" and ticket.status == "completed":
        _close(uow, who, ticket, said)
        moved = True
    return moved


def _correction(uow: UnitOfWork, who: Principal, ticket_id: int) -> Change:
    change = corrections.begin(uow, who, ticket_id, if_match=None)
    change.by = None if who.actor.startswith(FEED) else "source"
    return change


def _begin(uow: UnitOfWork, who: Principal, ticket: Ticket, moment: datetime | None) -> Change:
    """A change of this ticket, at the moment the upstream tells of: not after now, not before the latest step."""
    change = _correction(uow, who, ticket.id)
    earliest = latest_step(uow.session, change.ticket)
    change.at = max(min(moment or uow.now, uow.now), earliest)
    return change


def _step(
    uow: UnitOfWork, who: Principal, ticket: Ticket, action: str, to: str, moment: datetime | None,
    params: dict[str, Any],
) -> None:  # fmt: skip
    change = _begin(uow, who, ticket, moment)
    change.params = params
    ACTIONS[action](change)
    finish(change, to)
    uow.session.flush()


def _close(uow: UnitOfWork, who: Principal, ticket: Ticket, said: HistoricalTicket) -> None:
    change = _begin(uow, who, ticket, said.closed_at or said.completed_at)
    change.cancel("callback")
    change.resolve(["callback"], "closed")
    ticket.closed_at = change.at
    if said.satisfaction is not None:
        ticket.satisfaction = said.satisfaction
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
