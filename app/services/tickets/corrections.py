"""An upstream's correction of a pushed ticket: the fields, and every open deadline that depends on them.

* Priority, category, kind and severity choose the policy: open deadlines get the limits of the policy that applies now.
* ``received_at`` moves the deadlines that began with it; those that began with a dispatch by the office stay.
* ``source_due_at`` moves the complete-deadline where the source's limit binds.
* Suspended time and granted extensions are kept. A met deadline is not recomputed.
* The source may set the unit until the ticket is dispatched; after that only the office may.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from app.domain.tickets.deadline_state import UNIT_CLOCK
from app.domain.tickets.fields import CONTENT, CORRECTED, NODES, REPORTER
from app.domain.tickets.life import STEPS
from app.errors import Conflict, Invalid
from app.models import Ticket
from app.security.principal import Principal
from app.services.core.events import stamp
from app.services.core.reference import Node
from app.services.core.unit_of_work import UnitOfWork
from app.services.deadlines import book as deadlines
from app.services.deadlines.book import DeadlineChange
from app.services.intake.create import IncomingTicket, resolve_codes
from app.services.orders import book as order_book
from app.services.tickets.change import Change, finish
from app.services.tickets.change import begin as begin_step
from app.store import tickets as store

_JUDGED = frozenset(field.name for field in CONTENT if field.judged)
_LOGGED = frozenset(field.name for field in CONTENT if field.logged)
_TARGETS = (*UNIT_CLOCK, "callback")


def begin(uow: UnitOfWork, who: Principal, ticket_id: int, *, if_match: int | None) -> Change:
    """Lock the ticket and check that ``who`` may correct it now.

    Raises NotFound, Stale (412), Forbidden, or NotAllowed (409) once it is closed or void.
    """
    change, _ = begin_step(uow, who, ticket_id, "correct", {}, at=None, if_match=if_match)
    return change


def apply(
    change: Change, incoming: IncomingTicket, fingerprint: str, differences: Mapping[str, tuple[Any, Any]]
) -> Ticket:
    """Update the ticket to the content ``incoming``, and return it.

    ``differences``: the old and the new value of each changed field (``reporter.phone`` and so on), as JSON. Nothing is
    written without differences. Raises Invalid (unknown codes, an impossible moment) and Conflict (unit).
    """
    if not differences:
        return change.ticket
    ticket = change.ticket
    unit = _resolve(change, incoming, differences)
    before = ticket.fingerprint
    _set_fields(ticket, incoming, differences)
    ticket.fingerprint = fingerprint
    received_before = ticket.received_at
    if "received_at" in differences:
        _move_receipt(change, incoming.received_at or ticket.recorded_at)
    if "parent_external_id" in differences:
        _relink(change, differences["parent_external_id"])
    judged = _judge_again(change, received_before) if _JUDGED & differences.keys() else {}
    change.log(
        "corrected",
        **judged,
        fields=sorted(differences),
        changes={name: {"from": a, "to": b} for name, (a, b) in sorted(differences.items()) if name in _LOGGED},
        fingerprint={"from": before, "to": fingerprint},
    )
    if unit is None:
        return finish(change, None)
    _dispatch_by_source(change, unit)
    return finish(change, "dispatched")


def _resolve(change: Change, incoming: IncomingTicket, differences: Mapping[str, Any]) -> Node | None:
    """Set category and grid if they change, and return the unit to dispatch the ticket to, if any."""
    found = resolve_codes(change.ref, incoming, [field for field in NODES if field.name in differences])
    for field in NODES:
        if field.correct == "node" and field.name in found:
            node = found[field.name]
            setattr(change.ticket, field.column, node.id if node else None)
    if "unit" not in found:
        return None
    unit = found["unit"]
    if unit is not None and unit.id == change.ticket.unit_id:
        return None  # the source reports what the office did already
    if unit is not None and change.ticket.status == "received":
        return unit
    raise Conflict(
        "工单已派单，责任单位由指挥中心改派，不能由来源更正",
        "the ticket has been dispatched: its unit is reassigned by the office, and not corrected by the source",
        fields=["unit"],
    )


def _set_fields(ticket: Ticket, incoming: IncomingTicket, differences: Mapping[str, Any]) -> None:
    for field in CORRECTED:
        if field.name in differences:
            setattr(ticket, field.column, getattr(incoming, field.name))
    for field in REPORTER:
        if field.name in differences:
            setattr(ticket, field.column, getattr(incoming.reporter, field.part, None))


def _move_receipt(change: Change, moment: datetime) -> None:
    """Move the receipt, and a dispatch by the source at the same moment."""
    ticket = change.ticket
    by_source = ticket.dispatched_at == ticket.received_at
    # read from the log: of several dispatches or returns the ticket row has only the latest
    first = min(
        (
            event.at
            for event in store.events_of(change.session, ticket.id)
            if event.type in STEPS or (event.type == "dispatched" and event.data.get("by") != "source")
        ),
        default=None,
    )
    if first is not None and moment > first:
        raise Invalid.at(
            "/received_at",
            f"不能晚于工单的第一步（{first.isoformat()}）",
            f"must not be after the ticket's first step, at {first.isoformat()}",
        )
    ticket.received_at = moment
    if by_source:
        ticket.dispatched_at = moment


def _judge_again(change: Change, received_before: datetime) -> dict[str, Any]:
    """Recompute every open deadline with the limit of the policy that applies now; returns the event data: the versions,
    whether the source's limit binds, and the moment of receipt if it moved."""
    ticket, ref = change.ticket, change.ref
    policy_id, policy = deadlines.policy_for(ref, ticket)
    binding = ticket.source_due_at is not None and ticket.round == 1 and ref.sources[ticket.source_id].binds_due
    judged: list[str] = []
    for target in _TARGETS:
        row = deadlines.in_force(change.rows, target)
        if row is None or row.met_at is not None:
            continue
        limit = policy.limits.get(target)
        if row.started_at == received_before:
            row.started_at = ticket.received_at
        if target == "complete" and binding and ticket.source_due_at is not None:
            row.limit, row.basis, row.provisional = None, "source", False
            if row.due_at != ticket.source_due_at:
                old, row.due_at = row.due_at, ticket.source_due_at
                change.moves.append(DeadlineChange.to_where(row, old))
                row.revision += 1
        elif limit is None:
            change.cancel(target)
            if target == "complete":
                ticket.due_at = None
            continue
        else:
            row.limit, row.basis = limit.to_spec(), "policy"
        row.policy_id = policy_id
        if target == "complete":
            ticket.policy_id = policy_id
        judged.append(target)
    change.session.flush()
    change.moves += deadlines.recompute(change.session, ref, ticket, change.rows, targets=judged)
    moved = [move.target for move in change.moves]
    if moved:
        change.resolve(moved, "deadline_moved")
    return {
        "policy": policy_id,
        "calendars": deadlines.calendars_of(change.rows, _TARGETS),
        "bound": True if binding else None,
        "received_at": stamp(ticket.received_at) if ticket.received_at != received_before else None,
    }


def _relink(change: Change, parents: tuple[str | None, str | None]) -> None:
    """Count the ticket as a repeat of its new parent, and no longer of the former one."""
    ticket = change.ticket
    found = {}
    for external_id in parents:
        if external_id is not None and external_id != ticket.external_id:
            query = select(col(Ticket.id)).where(
                col(Ticket.source_id) == ticket.source_id, col(Ticket.external_id) == external_id
            )
            found[external_id] = change.session.execute(query).scalar()
    old, new = (found.get(external_id or "") for external_id in parents)
    if old is not None and old == ticket.parent_id:
        ticket.parent_id = None
        store.count_repeat(change.session, old, -1)
    if new is not None and ticket.parent_id is None:
        store.lock_parents(change.session)
        if store.leads_to(change.session, new, ticket.id):
            raise Invalid.at(
                "/parent_external_id",
                "该工单的原工单就是本工单，不能互为原工单",
                "is a later ticket of this one: two tickets cannot be each other's parent",
            )
        ticket.parent_id = new
        store.count_repeat(change.session, new, 1)


def _dispatch_by_source(change: Change, unit: Node) -> None:
    """Dispatch an undispatched ticket to the unit set by the source, as if pushed with it, from now."""
    ticket = change.ticket
    change.moves = []
    ticket.unit_id = unit.id
    ticket.first_unit_id = ticket.first_unit_id or unit.id
    ticket.dispatched_at = change.at
    change.resolve(UNIT_CLOCK, "dispatched")
    change.open("accept", "contact", "complete")
    change.moves += order_book.under_unit(change.uow, ticket, change.rows)
    change.log("dispatched", unit=unit.code, by="source")
