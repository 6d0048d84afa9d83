"""The content that the upstream last sent of a stored ticket: reconstructed, compared with a retry, and corrected.

A ticket's columns hold the content as last pushed or corrected, with two exceptions: the unit, which the office changes,
and whether ``received_at`` was given at all. The unit as sent is recorded in the ticket's ``received`` and ``corrected``
events; whether the moment was given follows from the fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from app.domain.tickets.fields import CONTENT, NODES, REPORTER
from app.errors import Forbidden, Invalid, NotFound
from app.models import Ticket, TicketEvent
from app.security.permissions import may_write_source
from app.security.principal import Principal
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.tickets import corrections
from app.store import tickets as store
from app.store.scope import sees
from ingest.rows.ticket_in import Reporter, TicketIn, canonical, differing_fields, fingerprint, validate_ticket


def pushed_content(session: Session, ref: Reference, ticket: Ticket) -> TicketIn:
    """Return the ticket as its source last pushed or corrected it."""
    values: dict[str, Any] = {
        f.name: getattr(ticket, f.column) for f in CONTENT if f.correct in ("copy", "never", "receipt")
    }
    for field in NODES:
        node = ref.tree(field.name).get(getattr(ticket, field.column) or 0)
        values[field.name] = node.code if node else None
    values["unit"] = _unit_from_source(session, ticket.id)
    person = {field.part: getattr(ticket, field.column) for field in REPORTER}
    reporter = Reporter.model_construct(**person) if any(person.values()) else None
    full = TicketIn.model_construct(**values, reporter=reporter)
    without_received_at = full.model_copy(update={"received_at": None})
    return without_received_at if fingerprint(without_received_at) == ticket.fingerprint else full


def _unit_from_source(session: Session, ticket_id: int) -> str | None:
    """Return the code of the unit that the source named in its push or its last correction."""
    values: str | None = None
    query = (
        select(col(TicketEvent.type), col(TicketEvent.data))
        .where(col(TicketEvent.ticket_id) == ticket_id, col(TicketEvent.type).in_(("received", "corrected")))
        .order_by(col(TicketEvent.seq))
    )
    for event_type, data in session.execute(query):
        if event_type == "received":
            values = data.get("unit")
        elif "unit" in data.get("changes", {}):
            values = data["changes"]["unit"]["to"]
    return values


def differing(session: Session, ref: Reference, ticket: Ticket, incoming: TicketIn) -> list[str]:
    """Return the fields in which a push differs from the content that its source sent before."""
    return differing_fields(pushed_content(session, ref, ticket), incoming)


def overridden_source_fingerprint(session: Session, ticket_id: int) -> str | None:
    """Return the fingerprint of the source's last content where a user has corrected the ticket since; None otherwise.

    A push with this fingerprint is a retry and does not undo the correction.
    """
    values: str | None = None
    corrected_by_office = False
    query = (
        select(col(TicketEvent.type), col(TicketEvent.actor), col(TicketEvent.data))
        .where(col(TicketEvent.ticket_id) == ticket_id, col(TicketEvent.type).in_(("received", "corrected")))
        .order_by(col(TicketEvent.seq))
    )
    for event_type, actor, data in session.execute(query):
        digest = data.get("fingerprint")
        if event_type == "received":
            values = digest
        elif _by_office(actor, data):
            corrected_by_office = True
        elif digest is not None:
            values, corrected_by_office = digest["to"], False
    return values if corrected_by_office else None


def _by_office(actor: str, data: Mapping[str, Any]) -> bool:
    """Whether a person corrected the ticket, and did not merely retry a reject of its source."""
    return actor.startswith("user:") and data.get("by") != "source"


UNRECORDED: Any = object()
"""Marks a value that the event log does not record, only that it changed: a citizen's name, phone, address."""


def office_corrections(session: Session, ticket_id: int) -> dict[str, Any]:
    """Map each field that a user has corrected since the source last changed it to the source's value, in the form of
    ``canonical``; ``UNRECORDED`` where the log does not record it."""
    result: dict[str, Any] = {}
    query = (
        select(col(TicketEvent.actor), col(TicketEvent.data))
        .where(col(TicketEvent.ticket_id) == ticket_id, col(TicketEvent.type) == "corrected")
        .order_by(col(TicketEvent.seq))
    )
    for actor, data in session.execute(query):
        for name in data["fields"]:
            if not _by_office(actor, data):
                result.pop(name, None)
            elif name not in result:
                result[name] = data["changes"][name]["from"] if name in data["changes"] else UNRECORDED
    return result


def merged(content: TicketIn, patch: Mapping[str, Any], *, now: datetime) -> TicketIn:
    """Return ``content`` with ``patch`` applied by RFC 7396: null removes, objects are merged, other values replace.

    Raises Invalid where the result is not a valid ticket or changes ``external_id``.
    """
    values = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in content.model_dump(exclude_none=True).items()
    }
    if patch.get("external_id", content.external_id) != content.external_id:
        raise Invalid.at(
            "/external_id", "外部编号是工单的唯一标识，不能更改", "cannot be changed: it identifies the ticket"
        )
    if "reporter" in patch:
        return validate_ticket(_merge(values, patch), now=now)
    values.pop("reporter", None)  # not validated again: masked values may have been stored in the past
    return validate_ticket(_merge(values, patch), now=now).model_copy(update={"reporter": content.reporter})


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merge(result.get(name), value)
    return result


def correct(
    uow: UnitOfWork,
    who: Principal,
    source_code: str,
    external_id: str,
    patch: Mapping[str, Any],
    *,
    if_match: int | None = None,
) -> Ticket:
    """Apply an upstream's correction to its ticket and return the updated ticket.

    A correction without changes writes nothing. Raises Forbidden (ticket of another source), NotFound, Stale, NotAllowed
    (closed or void), Conflict (the office has changed the unit), Invalid.
    """
    session, ref = uow.session, uow.ref
    source = ref.source_by_code(source_code)
    if not may_write_source(who, source.id if source else None):
        raise Forbidden("此密钥只能更正其自身来源的工单", "this key may correct tickets of its own source only")
    ticket = None if source is None else store.by_external(session, source.id, external_id)
    if ticket is None or not sees(who, ticket, ref):
        raise NotFound(
            f"来源 {source_code!r} 没有外部编号为 {external_id!r} 的工单",
            f"the source {source_code!r} has no ticket {external_id!r}",
        )
    if "parent_external_id" in patch:
        store.lock_parents(session)  # before the ticket, in the order of all that change parents
    change = corrections.begin(uow, who, ticket.id, if_match=if_match)
    before = pushed_content(session, ref, change.ticket)
    after = merged(before, patch, now=uow.now)
    old, new = canonical(before), canonical(after)
    differences = {name: (old.get(name), new.get(name)) for name in differing_fields(old, new)}
    return corrections.apply(change, after, fingerprint(after), differences)
