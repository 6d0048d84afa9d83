"""Read the audit record of disclosures: who viewed a citizen's name, phone or id number in full.

``app.security.permissions`` writes the record (``record_disclosure``, ``record_raw_looks``) before the response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from sqlalchemy import select
from sqlmodel import Session, col

from app.models import Disclosure
from app.schemas.disclosure import DisclosureOut
from app.security.principal import Principal
from app.services.access.accounts import display_names
from app.store.scope import visible


@dataclass(frozen=True, slots=True)
class DisclosureFilter:
    """The filter of a list of disclosures. ``actor``: ``user:NAME`` or ``key:ID``; ``since`` inclusive, ``until`` not."""

    actor: str | None = None
    ticket_id: int | None = None
    reject_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_disclosures(
    session: Session, who: Principal, asked: DisclosureFilter, *, before: int | None, limit: int
) -> list[Disclosure]:
    """Disclosures that ``who`` may see, newest first, below the id ``before``."""
    query = visible(select(Disclosure), who, Disclosure)
    for column, wanted in (
        (col(Disclosure.actor), asked.actor),
        (col(Disclosure.ticket_id), asked.ticket_id),
        (col(Disclosure.reject_id), asked.reject_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if asked.since is not None:
        query = query.where(col(Disclosure.at) >= asked.since)
    if asked.until is not None:
        query = query.where(col(Disclosure.at) < asked.until)
    if before is not None:
        query = query.where(col(Disclosure.id) < before)
    return list(session.execute(query.order_by(col(Disclosure.id).desc()).limit(limit)).scalars())


def disclosure_views(session: Session, rows: Sequence[Disclosure], zone: tzinfo) -> list[DisclosureOut]:
    """Audit records as they are read."""
    names: Mapping[str, str] = display_names(session, {row.actor for row in rows})
    return [
        DisclosureOut.from_row(row, zone, who=row.actor, who_name=names.get(row.actor), fields=row.fields.split(","))
        for row in rows
    ]
