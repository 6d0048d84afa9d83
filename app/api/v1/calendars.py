"""Calendars: readable by every signed-in role, edited by administrators and dispatchers; each edit is a new version and
returns the deadlines it moved.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response

from app import clock
from app.api.answers import CHANGES, as_json, shows
from app.api.deps import Run, Who
from app.domain.time.timeline import FIRST_YEAR, LAST_YEAR
from app.domain.time.workcalendar import WorkCalendar
from app.errors import Invalid
from app.runtime import Runtime
from app.schemas.calendar import (
    WEEK_EXAMPLE,
    YEAR_EXAMPLES,
    CalendarOut,
    CalendarVersionOut,
    ListedCalendarOut,
    SavedCalendarOut,
)
from app.schemas.calendar_document import read_calendar
from app.schemas.common import Document, Page
from app.security.permissions import require
from app.security.principal import Principal
from app.services.recompute import run as recompute
from app.services.rules import calendars
from app.services.rules.calendars import SavedCalendar
from ingest.formats.holidays import CalendarEdit, apply_edit, read_calendar_file

router = APIRouter(tags=["deadlines"])
CalendarCode = Annotated[str, Path(min_length=1, max_length=64, description="code of the calendar")]
_KEPT = ("days", "published", "names")


@router.get("/calendars", responses=shows(Page[ListedCalendarOut]))
def list_calendars(run: Run, who: Who) -> Response:
    """The calendars in force."""
    with run.reading() as (session, ref):
        items = calendars.listed(session, run.settings.zone, ref, clock.now())
    return as_json({"items": items, "next": None})


@router.get("/calendars/{code}", responses=shows(CalendarOut))
def get_calendar(
    run: Run,
    who: Who,
    code: CalendarCode,
    version: Annotated[int | None, Query(ge=1, description="a version; default: the one in force")] = None,
) -> Response:
    """A calendar with its version, its author and time, and a warning if next year is not published."""
    with run.reading() as (session, _):
        return as_json(calendars.view(calendars.version_row(session, code, version), clock.now(), run.settings.zone))


@router.get("/calendars/{code}/versions", responses=shows(Page[CalendarVersionOut]))
def list_calendar_versions(run: Run, who: Who, code: CalendarCode) -> Response:
    """Every version of a calendar, newest first: author, time and reason."""
    with run.reading() as (session, _):
        calendars.version_row(session, code)
        items = [calendars.head(row, run.settings.zone) for row in calendars.versions(session, code)]
    return as_json({"items": items, "next": None})


@router.put(
    "/calendars/{code}",
    responses={**shows(SavedCalendarOut, 201, "Created."), **shows(SavedCalendarOut, 200, "Changed."), **CHANGES},
)
def put_calendar(
    run: Run, who: Who, code: CalendarCode, body: Annotated[Document, Body(examples=[WEEK_EXAMPLE])]
) -> Response:
    """Create a calendar, or replace its time zone and week; ``days``, ``published`` and ``names`` are unchanged if omitted.
    Returns the deadlines moved.
    """
    require(who, "deadlines.edit")
    name, note = _text(body, "name", 200), _text(body, "note", 400) or ""
    spec = {key: body[key] for key in body if key not in ("name", "note")}

    def change(held: WorkCalendar | None) -> WorkCalendar:
        old = held.to_spec() if held is not None else {}
        kept = {key: old[key] for key in _KEPT if key in old and key not in spec}
        version = 1 if held is None else held.version + 1
        return read_calendar({**kept, **spec}, code=code, version=version)

    now = clock.now()
    with run.database.write() as session:
        saved = calendars.save(session, who, code, change, now=now, name=name, note=note)
    return _answer(run, who, saved, 201 if saved.changed and saved.row.version == 1 else 200)


@router.put("/calendars/{code}/years/{year}", responses={**shows(SavedCalendarOut), **CHANGES})
def put_calendar_year(
    run: Run,
    who: Who,
    code: CalendarCode,
    year: Annotated[int, Path(ge=FIRST_YEAR, le=LAST_YEAR, description="calendar year")],
    body: Annotated[Document, Body(examples=YEAR_EXAMPLES)],
) -> Response:
    """Publish the days off and make-up workdays of a year: ``days`` as the contract's map, or as a list in the holiday-cn
    format (``holiday_cn`` takes that format beside a map, which overrides it). The year's previous days are replaced.
    Returns the deadlines moved: ticket, target, old and new time.
    """
    require(who, "deadlines.edit")
    note = _text(body, "note", 400) or ""
    edit, days = _read_year(body, year)

    def change(held: WorkCalendar | None) -> WorkCalendar:
        calendar = calendars.existing(held, code)
        if edit is not None:
            calendar = apply_edit(calendar, edit)
        if days is not None:
            laid = calendar.to_spec()["days"] if edit is not None else {}
            base = {day: hours for day, hours in laid.items() if day.startswith(f"{year:04d}-")}
            calendar = calendars.with_year(calendar, year, {**base, **days}, _names(body, calendar, year))
        return calendar

    now = clock.now()
    with run.database.write() as session:
        saved = calendars.save(session, who, code, change, now=now, note=note)
    return _answer(run, who, saved)


def _read_year(body: dict[str, Any], year: int) -> tuple[CalendarEdit | None, dict[str, Any] | None]:
    """Return the holiday-cn part of a body and its map of days; either may be missing."""
    days = body.get("days")
    if "days" not in body and "holiday_cn" not in body:
        raise Invalid.at(
            "/days",
            "必填：日期到工时的对象，或 holiday-cn 的列表",
            "required: a map of dates and hours, or a holiday-cn list",
        )
    listed = body if isinstance(days, list) else body.get("holiday_cn")
    edit = None
    if listed is not None:
        shape = listed if isinstance(listed, dict) else {}
        said = shape.get("year", year)
        if said != year:
            raise Invalid.at("/year", f"与地址中的 {year} 不一致", f"is not the {year} of the address")
        content = json.dumps({"year": year, "days": shape.get("days")}, ensure_ascii=False).encode()
        try:
            edit = read_calendar_file(content, "body.json")
        except Invalid as wrong:
            raise (wrong if listed is body else wrong.under("/holiday_cn")) from None
    if isinstance(days, list) or "days" not in body:
        return edit, None
    if not isinstance(days, dict):
        raise Invalid.at(
            "/days", "应为以日期为键的对象或列表", 'an object with dates as keys, {"2026-02-17": []}, or a list'
        )
    return edit, days


def _names(body: dict[str, Any], calendar: WorkCalendar, year: int) -> dict[str, Any]:
    names = body.get("names", {})
    if not isinstance(names, dict):
        raise Invalid.at("/names", "应为日期到名称的对象", "an object of dates and names is expected")
    kept = {day.isoformat(): name for day, name in calendar.day_names.items() if day.year == year}
    return {**(kept if "names" not in body else {}), **names}


def _text(body: dict[str, Any], key: str, longest: int) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest or "\x00" in value:
        raise Invalid.at(f"/{key}", f"应为至多 {longest} 字的文本", f"must be text of at most {longest} characters")
    return value.strip() or None


def _answer(run: Runtime, who: Principal, saved: SavedCalendar, status: int = 200) -> Response:
    now, zone = clock.now(), run.settings.zone
    tally = recompute.RecomputeResult()
    if saved.changed:
        tally = recompute.after_calendar(run.database, run.reference, saved.row.code, who.actor, now)
    view = calendars.view(saved.row, now, zone)
    return as_json({**view, "changed": saved.changed, **calendars.moves_view(tally, zone)}, status)
