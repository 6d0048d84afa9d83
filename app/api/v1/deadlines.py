"""Deadline calculation: a preview with its receipt, the working time between two moments, and a ticket's receipt."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import PlainTextResponse

from app import clock
from app.api.answers import as_json, shows
from app.api.deps import Id, Run, Who
from app.domain.time.due import elapsed
from app.domain.time.receipt import receipt
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from app.schemas.codes import Lang, Target
from app.schemas.deadline import ElapsedIn, ElapsedOut, PreviewIn, PreviewOut, ReceiptOut
from app.services.core.reference import Reference
from app.services.deadlines import explain as explained
from app.services.tickets import query as tickets

router = APIRouter(tags=["deadlines"])


def named_calendar(ref: Reference, given: Any) -> WorkCalendar:
    """Return the calendar that a request names or contains; raises Invalid with pointers under ``/calendar``."""
    if isinstance(given, str):
        if given not in ref.calendars:
            known = ", ".join(sorted(ref.calendars))
            raise Invalid.at(
                "/calendar",
                f"没有日历 {given[:64]!r}，现有：{known}",
                f"no calendar {given[:64]!r}; there are: {known}",
            )
        return ref.calendars[given][1]
    if not isinstance(given, dict):
        raise Invalid.at("/calendar", "应为日历编码或日历对象", "the code of a calendar, or a calendar as an object")
    try:
        return read_calendar(given)
    except Invalid as wrong:
        raise wrong.under("/calendar") from None


@router.post("/deadlines/preview", responses=shows(PreviewOut))
def preview_deadline(run: Run, who: Who, body: PreviewIn) -> Response:
    """When a limit is due, and why, with one line per day. Nothing is stored."""
    with run.reading() as (_, ref):
        calendar = named_calendar(ref, body.calendar)
    found = receipt(
        calendar, body.start, body.limit, suspensions=body.suspensions, extensions=body.extensions, as_of=None
    )
    full = found.to_json()
    lines = full.pop("lines")
    return as_json({"due_at": full["due_at"], "provisional": found.provisional, "receipt": lines, "explanation": full})


@router.post("/deadlines/elapsed")
def measure_elapsed(run: Run, who: Who, body: ElapsedIn) -> ElapsedOut:
    """The working time between two moments; negative if ``end`` is before ``start``."""
    with run.reading() as (_, ref):
        calendar = named_calendar(ref, body.calendar)
    found = elapsed(calendar, body.start, body.end)
    return ElapsedOut(working_seconds=found.working_seconds, working_days=found.working_days)


@router.get(
    "/tickets/{ticket_id}/deadlines/{target}/receipt",
    responses={
        200: {
            "model": ReceiptOut,
            "description": "The receipt.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "20261126-0001787  办结时限\n…"}},
        }
    },
)
def get_receipt(
    run: Run,
    who: Who,
    ticket_id: Id,
    target: Annotated[Target, Path(description="which deadline")],
    as_text: Annotated[Literal["json", "text"], Query(alias="format", description="`text`: a line a day")] = "json",
    lang: Annotated[Lang, Query(description="language of the text")] = "zh",
    of_round: Annotated[int | None, Query(alias="round", ge=1, description="else the one in force")] = None,
) -> Response:
    """The calculation of the deadline in force, by the versions of policy and calendar that it was computed with.

    ``differs`` is true if they do not give the stored time.
    """
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, who, ticket_id)
        found = explained.explain(session, ref, ticket, target, now=clock.now(), round_=of_round)
    return PlainTextResponse(found.text(lang)) if as_text == "text" else as_json(found.to_json(run.settings.zone))
