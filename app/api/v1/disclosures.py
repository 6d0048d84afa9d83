"""Looks at citizens' names, phones and id numbers in full, for whoever audits."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.deps import Cursor, Limit, QueryMoment, Run, TicketQuery, Who, decode_cursor, encode_cursor
from app.security.permissions import require
from app.services.access.disclosures import DisclosureFilter, disclosure_views, list_disclosures

router = APIRouter(tags=["access"])


@router.get("/disclosures")
def read_disclosures(
    run: Run,
    who: Who,
    actor: Annotated[str | None, Query(alias="who", max_length=100, description="`user:NAME` or `key:ID`")] = None,
    ticket: TicketQuery = None,
    reject: Annotated[int | None, Query(ge=1, le=2**62, description="id of a reject")] = None,
    at_from: QueryMoment | None = None,
    at_to: QueryMoment | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Who looked at a reporter in full, and when, newest first: of a ticket, or in the raw row of a reject. `fields` are the
    parts that were shown; `raw` is a row of which nobody can tell. For administrators and auditors."""
    require(who, "disclosures.see")
    asked = DisclosureFilter(actor, ticket, reject, at_from, at_to)
    with run.reading() as (session, _):
        rows = list_disclosures(session, who, asked, before=decode_cursor(cursor), limit=limit + 1)
        items = disclosure_views(session, rows[:limit], run.settings.zone)
    return {"items": items, "next": encode_cursor(items[-1]["id"]) if len(rows) > limit else None}
