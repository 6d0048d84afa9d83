"""The audit record of who viewed citizens' names, phones and id numbers in full."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import Cursor, Limit, QueryMoment, Run, TicketQuery, Who, decode_cursor, encode_cursor
from app.schemas.common import Page
from app.schemas.disclosure import DisclosureOut
from app.security.permissions import require
from app.services.access.disclosures import DisclosureFilter, disclosure_views, list_disclosures

router = APIRouter(tags=["access"])


@router.get("/disclosures")
def list_disclosed(
    run: Run,
    who: Who,
    actor: Annotated[str | None, Query(alias="who", max_length=100, description="`user:NAME` or `key:ID`")] = None,
    ticket: TicketQuery = None,
    reject: Annotated[int | None, Query(ge=1, le=2**62, description="id of a reject")] = None,
    at_from: Annotated[QueryMoment | None, Query(description="from this moment on")] = None,
    at_to: Annotated[QueryMoment | None, Query(description="before this moment")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DisclosureOut]:
    """Views of a reporter's full data, newest first: of a ticket, or in the raw row of a reject. `fields` are the parts
    shown; `raw` is a row whose parts are not known. For administrators and auditors.
    """
    require(who, "disclosures.see")
    asked = DisclosureFilter(actor, ticket, reject, at_from, at_to)
    with run.reading() as (session, _):
        rows = list_disclosures(session, who, asked, before=decode_cursor(cursor), limit=limit + 1)
        items = disclosure_views(session, rows[:limit], run.settings.zone)
    return Page(items=items, next=encode_cursor(items[-1].id) if len(rows) > limit else None)
