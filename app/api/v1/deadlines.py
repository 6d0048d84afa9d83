"""Deadlines asked about: a preview with its receipt, the working time between two moments, and why a ticket's deadline is
due when it is due."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import ConfigDict, Field

from app import clock
from app.api.body import JsonBody
from app.api.deps import Run, Who
from app.domain.time.due import elapsed
from app.domain.time.receipt import receipt
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from app.schemas.limit import AnyLimit
from app.schemas.moment import Moment
from app.services.core.reference import Reference
from app.services.deadlines import explain as explained
from app.services.tickets import query as tickets

router = APIRouter(tags=["deadlines"])
MOST_SUSPENSIONS = 1000
Target = Literal["accept", "contact", "complete", "callback", "supervise"]

CALENDAR = Field(
    description="the code of a calendar, or a calendar as an object",
    json_schema_extra={"anyOf": [{"type": "string"}, {"type": "object"}]},
)
EXAMPLE_LIMIT: dict[str, Any] = {"unit": "working_days", "amount": 5, "ends": "close", "count_first_day": False}
EXAMPLE_CALENDAR: dict[str, Any] = {
    "time_zone": "Asia/Shanghai",
    "week": {day: [["09:00", "12:00"], ["13:30", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "days": {"2026-02-17": [], "2026-02-14": [["09:00", "17:30"]]},
    "published": [2025, 2026],
}


class PreviewIn(JsonBody):
    """A limit to be computed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"calendar": "cn", "start": "2026-02-13T16:30:00+08:00", "limit": EXAMPLE_LIMIT},
                {"calendar": EXAMPLE_CALENDAR, "start": "2026-02-13T16:30:00+08:00", "limit": EXAMPLE_LIMIT,
                 "suspensions": [["2026-02-24T10:00:00+08:00", "2026-02-25T10:00:00+08:00"]]},
            ]
        },
    )  # fmt: skip
    calendar: Any = CALENDAR
    start: Moment
    limit: AnyLimit = Field(description="unit, amount, ends, count_first_day; a negative amount counts back")
    suspensions: list[tuple[Moment, Moment | None]] = Field(default=[], max_length=MOST_SUSPENSIONS)
    extensions: list[AnyLimit] = Field(default=[], max_length=20, description="limits, laid on first")


class ElapsedIn(JsonBody):
    """Two moments to be measured."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"calendar": "cn", "start": "2026-02-13T16:30:00+08:00", "end": "2026-02-27T17:30:00+08:00"}]
        },
    )
    calendar: Any = CALENDAR
    start: Moment
    end: Moment


def named_calendar(ref: Reference, given: Any) -> WorkCalendar:
    """The calendar that a request names or brings; raises Invalid with pointers under ``/calendar``."""
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


@router.post("/deadlines/preview")
def preview(run: Run, who: Who, body: PreviewIn) -> dict[str, Any]:
    """When a limit is due, and why, a line for each day. Nothing is stored."""
    with run.reading() as (_, ref):
        calendar = named_calendar(ref, body.calendar)
    found = receipt(
        calendar, body.start, body.limit, suspensions=body.suspensions, extensions=body.extensions, as_of=None
    )
    full = found.to_json()
    return {
        "due_at": full["due_at"],
        "provisional": found.provisional,
        "receipt": full.pop("lines"),
        "explanation": full,
    }


@router.post("/deadlines/elapsed")
def measure(run: Run, who: Who, body: ElapsedIn) -> dict[str, int]:
    """The working time between two moments; negative where ``end`` is before ``start``."""
    with run.reading() as (_, ref):
        calendar = named_calendar(ref, body.calendar)
    found = elapsed(calendar, body.start, body.end)
    return {"working_seconds": found.working_seconds, "working_days": found.working_days}


@router.get("/tickets/{ticket_id}/deadlines/{target}/receipt", response_model=None)
def get_receipt(
    run: Run,
    who: Who,
    ticket_id: Annotated[int, Path(ge=1, le=2**62)],
    target: Target,
    as_text: Annotated[Literal["json", "text"], Query(alias="format", description="`text`: a line a day")] = "json",
    lang: Literal["zh", "en"] = "zh",
    of_round: Annotated[int | None, Query(alias="round", ge=1, description="else the one in force")] = None,
) -> dict[str, Any] | Response:
    """Why the deadline in force is due when it is due, by the versions of policy and calendar that it was computed by.

    Should it not come to the stored time, ``differs`` says so."""
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, who, ticket_id)
        found = explained.explain(session, ref, ticket, target, now=clock.now(), round_=of_round)
    return PlainTextResponse(found.text(lang)) if as_text == "text" else found.to_json(run.settings.zone)
