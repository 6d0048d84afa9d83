"""Decide on extension requests (延期): approved or refused by another person than the requester."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from app.errors import Conflict, Forbidden, NotFound
from app.models import Extension, Ticket
from app.security.permissions import require
from app.security.principal import Principal
from app.services.alerts import book as alerts
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.deadlines import book as deadlines
from app.services.tickets.change import Change, finish
from app.store import tickets as store
from app.store.scope import sees, visible


def list_extensions(
    session: Session,
    ref: Reference,
    who: Principal,
    *,
    state: str | None,
    ticket_id: int | None,
    before_id: int | None,
    limit: int,
) -> list[Extension]:
    """Requests on tickets that ``who`` may see, newest first, filtered by state and ticket."""
    e: Any = Extension
    query = visible(select(Extension), who, Extension)
    if state is not None:
        query = query.where(e.state == state)
    if ticket_id is not None:
        query = query.where(e.ticket_id == ticket_id)
    if before_id is not None:
        query = query.where(e.id < before_id)
    return list(session.execute(query.order_by(e.id.desc()).limit(limit)).scalars())


def rule(
    uow: UnitOfWork, who: Principal, extension_id: int, *, approve: bool, params: Mapping[str, Any]
) -> tuple[Extension, Ticket]:
    """Approve or refuse a request. Approval moves the complete-deadline by the requested working days, resolves its alerts
    and reschedules the ladder check. Raises NotFound, Forbidden (own request, or role), Conflict (ruled on already)."""
    session, ref, now = uow.session, uow.ref, uow.now
    found = session.get(Extension, extension_id)
    if found is None:
        raise NotFound(f"没有编号为 {extension_id} 的延期申请", f"no extension has the id {extension_id}")
    ticket = store.lock_ticket(session, found.ticket_id)
    session.refresh(found)
    if ticket is None or not sees(who, ticket, ref):
        raise NotFound(f"没有编号为 {extension_id} 的延期申请", f"no extension has the id {extension_id}")
    require(who, "extensions.rule")
    if found.asked_by == who.actor:
        raise Forbidden(
            "延期须由申请人以外的人员审批", "another person than the one who asked must rule on an extension"
        )
    if found.state != "pending":
        raise Conflict("该延期申请已有结论", f"this request is {found.state} already")
    change = Change(uow, who, ticket, params, now, deadlines.of_ticket(session, ticket.id))
    found.state = "approved" if approve else "refused"
    found.ruled_by, found.ruled_at = who.actor, now
    found.note = change.text("note", required=False)
    session.add(found)
    if approve:
        row = deadlines.in_force(change.rows, "complete")
        if row is None or row.met_at is not None:
            raise Conflict("该工单已没有在计的办结时限", "the ticket has no running complete-deadline any more")
        row.extended_days += found.days
        session.add(row)
        session.flush()
        change.moves += deadlines.recompute(session, ref, ticket, change.rows, targets=["complete"])
        ticket.extensions += 1
        alerts.resolve(uow, ticket, ["complete"], resolution="extended")
    change.log(
        "extension_approved" if approve else "extension_refused",
        extension=found.id,
        days=found.days,
        note=found.note,
        calendars=deadlines.calendars_of(change.rows, ["complete"]) if approve else None,
    )
    finish(change, None)
    return found, ticket
