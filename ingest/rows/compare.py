"""What the upstream last said of a ticket that is stored: read back from it, held against a retry, and corrected.

A ticket's columns hold the content as it was last pushed or corrected, but for two things: its unit, which the office
changes, and whether ``received_at`` was said at all. The unit as said stands in the ticket's ``received`` and
``corrected`` events; whether the moment was said, the fingerprint tells.
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
    """The ticket as its source last pushed or corrected it."""
    said: dict[str, Any] = {
        f.name: getattr(ticket, f.column) for f in CONTENT if f.correct in ("copy", "never", "receipt")
    }
    for field in NODES:
        node = ref.tree(field.name).get(getattr(ticket, field.column) or 0)
        said[field.name] = node.code if node else None
    said["unit"] = _unit_as_said(session, ticket.id)
    person = {field.part: getattr(ticket, field.column) for field in REPORTER}
    reporter = Reporter.model_construct(**person) if any(person.values()) else None
    full = TicketIn.model_construct(**said, reporter=reporter)
    unsaid = full.model_copy(update={"received_at": None})
    return unsaid if fingerprint(unsaid) == ticket.fingerprint else full


def _unit_as_said(session: Session, ticket_id: int) -> str | None:
    """The code of the unit that the source named, in its push or in its last correction of it."""
    said: str | None = None
    query = (
        select(col(TicketEvent.type), col(TicketEvent.data))
        .where(col(TicketEvent.ticket_id) == ticket_id, col(TicketEvent.type).in_(("received", "corrected")))
        .order_by(col(TicketEvent.seq))
    )
    for event_type, data in session.execute(query):
        if event_type == "received":
            said = data.get("unit")
        elif "unit" in data.get("changes", {}):
            said = data["changes"]["unit"]["to"]
    return said


def differing(session: Session, ref: Reference, ticket: Ticket, incoming: TicketIn) -> list[str]:
    """The fields in which a push differs from what its source said of the ticket before."""
    return differing_fields(pushed_content(session, ref, ticket), incoming)


def overridden_source_fingerprint(session: Session, ticket_id: int) -> str | None:
    """The fingerprint of what the source itself last said, where a person of the office has corrected the ticket since: a push
    of the same again is a retry, and says nothing against the correction. None where no person has."""
    said: str | None = None
    by_office = False
    query = (
        select(col(TicketEvent.type), col(TicketEvent.actor), col(TicketEvent.data))
        .where(col(TicketEvent.ticket_id) == ticket_id, col(TicketEvent.type).in_(("received", "corrected")))
        .order_by(col(TicketEvent.seq))
    )
    for event_type, actor, data in session.execute(query):
        printed = data.get("fingerprint")
        if event_type == "received":
            said = printed
        elif actor.startswith("user:"):
            by_office = True
        elif printed is not None:
            said, by_office = printed["to"], False
    return said if by_office else None


UNRECORDED: Any = object()
"""What a source had said, where the log tells only that it was changed: a citizen's name, phone, address."""


def office_corrections(session: Session, ticket_id: int) -> dict[str, Any]:
    """The fields that a person of the office has corrected since the source last changed them, and what the source had
    said of each, as in ``canonical``."""
    found: dict[str, Any] = {}
    query = (
        select(col(TicketEvent.actor), col(TicketEvent.data))
        .where(col(TicketEvent.ticket_id) == ticket_id, col(TicketEvent.type) == "corrected")
        .order_by(col(TicketEvent.seq))
    )
    for actor, data in session.execute(query):
        for name in data["fields"]:
            if not actor.startswith("user:"):
                found.pop(name, None)
            elif name not in found:
                found[name] = data["changes"][name]["from"] if name in data["changes"] else UNRECORDED
    return found


def merged(content: TicketIn, patch: Mapping[str, Any], *, now: datetime) -> TicketIn:
    """``content`` with ``patch`` laid over it as RFC 7396 has it: null takes away, objects are merged, all else is
    replaced. Raises Invalid where the outcome is no ticket, or carries another ``external_id``."""
    said = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in content.model_dump(exclude_none=True).items()
    }
    if patch.get("external_id", content.external_id) != content.external_id:
        raise Invalid.at(
            "/external_id", "不能更改外部编号：它就是工单的身份", "cannot be changed: it is what the ticket is known by"
        )
    return validate_ticket(_merge(said, patch), now=now)


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    found = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merge(found.get(name), value)
    return found


def correct(
    uow: UnitOfWork,
    who: Principal,
    source_code: str,
    external_id: str,
    patch: Mapping[str, Any],
    *,
    if_match: int | None = None,
) -> Ticket:
    """Lay an upstream's correction over its ticket, and return the ticket as it then stands.

    What changes nothing writes nothing. Raises Forbidden (another source's ticket), NotFound, Stale, NotAllowed (closed
    or void), Conflict (the unit is the office's by now), Invalid.
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
    change = corrections.begin(uow, who, ticket.id, if_match=if_match)
    before = pushed_content(session, ref, change.ticket)
    after = merged(before, patch, now=uow.now)
    old, new = canonical(before), canonical(after)
    differences = {name: (old.get(name), new.get(name)) for name in differing_fields(old, new)}
    return corrections.apply(change, after, fingerprint(after), differences)
