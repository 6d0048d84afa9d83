"""The receipt of a ticket's deadline: its calculation day by day, for printing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app import clock
from app.console.base.web import Looking, PageRoute, Run, language, page
from app.domain.words import TARGET
from app.errors import NotFound
from app.services.deadlines import explain as explained
from app.services.tickets import query as tickets

router = APIRouter(route_class=PageRoute)


@router.get("/tickets/{ticket_id}/deadlines/{target}")
def show_receipt(
    request: Request,
    run: Run,
    looking: Looking,
    ticket_id: Annotated[int, Path(ge=1, le=2**62)],
    target: Annotated[str, Path(max_length=16)],
) -> Response:
    """Show the receipt of the deadline in force."""
    if target not in TARGET:
        raise NotFound(f"没有时限 {target!r}", f"no deadline is called {target!r}")
    now = clock.now()
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, looking.who, ticket_id)
        found = explained.explain(session, ref, ticket, target, now=now)
    english = language(request) == "en"
    summary = (
        [] if found.receipt is None else [(en if english else zh).split("  ", 1) for zh, en in found.receipt.summary]
    )
    return page(request, "tickets/receipt.html", now=now, ticket=ticket, found=found, row=found.row, summary=summary)
