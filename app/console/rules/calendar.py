"""The calendar: a year, one day edited, a file loaded, the weekly hours, the units using it, versions; and the deadlines
moved by a change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.datastructures import UploadFile

from app import clock
from app.console.base.choices import unit_choices
from app.console.base.i18n import LANGUAGES, texts
from app.console.base.web import Checked, Form, Looking, PageRoute, Run, Visitor, go, language, link, page
from app.console.base.wording import actor_name
from app.console.rules.calendar_view import hours_text, read_hours, year_of
from app.domain.time.timeline import FIRST_YEAR, LAST_YEAR
from app.domain.time.workcalendar import WEEKDAYS, WorkCalendar, spans_to_spec
from app.errors import DubanError, FieldProblem, Invalid, NotFound
from app.models import Unit
from app.runtime import Runtime
from app.schemas.calendar_document import read_calendar
from app.security.permissions import require
from app.services.access import accounts
from app.services.core import catalogue
from app.services.core.reference import DEFAULT_CALENDAR
from app.services.recompute import run as recompute
from app.services.rules import calendars
from ingest.formats.holidays import apply_edit, read_calendar_file

router = APIRouter(route_class=PageRoute)
Code = Annotated[str, Path(max_length=64)]
SHOWN_VERSIONS = 20
SHOWN_MOVES = 200


@dataclass(frozen=True, slots=True)
class CalendarFormResult:
    """The result of a form: the deadlines moved, that nothing changed, or why it was refused."""

    tally: recompute.RecomputeResult | None = None
    changed: bool = False
    refused: str | None = None
    status: int = 200


@router.get("/calendar")
def show_calendar(
    request: Request,
    run: Run,
    looking: Looking,
    code: str = DEFAULT_CALENDAR,
    year: Annotated[int | None, Query(ge=FIRST_YEAR, le=LAST_YEAR)] = None,
    day: date | None = None,
) -> Response:
    """Show a year of a calendar; ``day``: with the form to edit that day."""
    return _show(request, run, looking, code, day.year if day else year, day=day)


def _show(
    request: Request, run: Runtime, looking: Visitor, code: str, year: int | None, *,
    day: date | None = None, outcome: CalendarFormResult | None = None, typed: Form | None = None,
) -> Response:  # fmt: skip
    now, lang = clock.now(), language(request)
    t = texts(lang)
    with run.reading() as (session, ref):
        if code not in ref.calendars:
            raise NotFound(f"没有日历 {code!r}", f"no calendar {code!r}")
        _, found = ref.calendars[code]
        today = found.local(now).date()
        rows = calendars.versions(session, code)[:SHOWN_VERSIONS]
        names = accounts.display_names(session, {row.created_by for row in rows})
        missing = [one for one in calendars.unpublished_warning(ref, now) if one.code == code]
        codes = sorted(ref.calendars)
        units = [node for node in ref.units.values() if node.calendar_code == code]
        offered = unit_choices(ref, looking.who, lang)
    shown = year or today.year
    kind, name = found.kind_of_day(day) if day else ("", "")
    return page(
        request, "rules/calendar.html", status=outcome.status if outcome else 200, now=now,
        code=code, codes=codes, calendar=found, year=shown, months=year_of(found, shown, today), today=today,
        published=found.is_published(shown), missing=missing, versions=rows, day=day, day_kind=kind, day_name=name,
        day_hours=hours_text(found.hours(day)) if day else "", usual=hours_text(found.usual_hours),
        dated=day in found.days if day else False, outcome=outcome, most=SHOWN_MOVES, typed=typed or {},
        actor=lambda actor: actor_name(actor, names, t), last_year=LAST_YEAR, units=units, offered=offered,
        week=[(name, hours_text(found.week[n])) for n, name in enumerate(WEEKDAYS)], default=code == DEFAULT_CALENDAR,
    )  # fmt: skip


def _save(
    run: Runtime, looking: Visitor, code: str, note: str, lang: str, change: Callable[[WorkCalendar], WorkCalendar]
) -> CalendarFormResult:
    require(looking.who, "deadlines.edit")
    now = clock.now()
    try:
        with run.database.write() as session:
            saved = calendars.save(
                session, looking.who, code, lambda held: change(calendars.existing(held, code)),
                now=now, note=note.strip()[:400],
            )  # fmt: skip
    except Invalid as wrong:
        return CalendarFormResult(refused="；".join(p.text(lang) for p in wrong.problems[:5]), status=wrong.status)
    if not saved.changed:
        return CalendarFormResult()
    return CalendarFormResult(
        recompute.after_calendar(run.database, run.reference, code, looking.who.actor, now), changed=True
    )


@router.post("/calendar/{code}/days/{day}")
def edit_day(request: Request, run: Run, looking: Looking, fields: Checked, code: Code, day: date) -> Response:
    """Make a day off, set its hours, or reset it to the weekly hours."""

    def change(held: WorkCalendar) -> WorkCalendar:
        kind = fields.get("kind")
        if kind not in ("off", "hours", "normal"):
            raise Invalid.at("/kind", "请选择休息、上班或恢复", "choose off, working or as the week has it")
        hours = () if kind == "off" else None if kind == "normal" else read_hours(fields.get("hours", ""))
        return held.with_days(
            {day: hours}, names={day: "" if kind == "normal" else fields.get("name", "").strip()[:100]}
        )

    outcome = _save(run, looking, code, fields.get("note", ""), language(request), change)
    form_again = outcome.refused is not None
    return _show(
        request, run, looking, code, day.year, day=day if form_again else None, outcome=outcome,
        typed=fields if form_again else None,
    )  # fmt: skip


@router.post("/calendar/{code}/week")
def edit_week(request: Request, run: Run, looking: Looking, fields: Checked, code: Code) -> Response:
    """Replace the time zone and the weekly hours; the dated days stay."""

    def change(held: WorkCalendar) -> WorkCalendar:
        problems, week = [], {}
        for n, name in enumerate(WEEKDAYS, 1):
            text = fields.get(name, "").strip()
            try:
                week[name] = spans_to_spec(read_hours(text)) if text else []
            except Invalid as wrong:
                zh, en = (texts(lang).word("weekday", str(n)) for lang in LANGUAGES)
                problems += [FieldProblem(f"/{name}", f"{zh}：{p.zh}", f"{en}: {p.en}") for p in wrong.problems]
        if problems:
            raise Invalid(problems)
        spec = {**held.to_spec(), "time_zone": fields.get("time_zone", "").strip(), "week": week}
        return read_calendar(spec, code=code, version=held.version + 1)

    outcome = _save(run, looking, code, fields.get("note", ""), language(request), change)
    return _show(request, run, looking, code, None, outcome=outcome, typed=fields if outcome.refused else None)


@router.post("/calendar")
def make_calendar(request: Request, run: Run, looking: Looking, fields: Checked) -> Response:
    """Create a calendar as a copy of another."""
    require(looking.who, "deadlines.edit")
    now, lang = clock.now(), language(request)
    code, pattern = fields.get("code", "").strip(), fields.get("from", DEFAULT_CALENDAR)
    try:
        with run.writing(now) as uow:
            session, ref = uow.session, uow.ref
            if code in ref.calendars:
                raise Invalid.at("/code", f"日历 {code!r} 已存在", f"there is a calendar {code!r} already")
            if pattern not in ref.calendars:
                raise NotFound(f"没有日历 {pattern!r}", f"no calendar {pattern!r}")
            spec = ref.calendars[pattern][1].to_spec()
            calendars.save(
                session, looking.who, code, lambda _: read_calendar(spec, code=code), now=now,
                name=fields.get("name", "").strip()[:200] or None,
            )  # fmt: skip
    except Invalid as wrong:
        refused = CalendarFormResult(refused="；".join(p.text(lang) for p in wrong.problems), status=wrong.status)
        return _show(request, run, looking, pattern, None, outcome=refused, typed=fields)
    return go(link("/calendar", {"code": code}))


@router.post("/calendar/{code}/units")
def give_to_unit(request: Request, run: Run, looking: Looking, fields: Checked, code: Code) -> Response:
    """Assign this calendar to a unit and its subtree (``back``: use the parent unit's again)."""
    require(looking.who, "deadlines.edit")
    now, lang = clock.now(), language(request)
    wanted = None if fields.get("back") else code
    try:
        with run.writing(now) as uow:
            catalogue.check_calendar(uow.ref, wanted)
            before = uow.ref.need_unit(fields.get("unit"))
            catalogue.change_node(uow.session, Unit, before.code, {"calendar_code": wanted})
    except Invalid as wrong:
        refused = CalendarFormResult(refused="；".join(p.text(lang) for p in wrong.problems), status=wrong.status)
        return _show(request, run, looking, code, None, outcome=refused)
    if before.calendar_code == wanted:
        return _show(request, run, looking, code, None, outcome=CalendarFormResult())
    tally = recompute.after_unit(run.database, run.reference, before.path, looking.who.actor, now)
    return _show(request, run, looking, code, None, outcome=CalendarFormResult(tally, changed=True))


@router.post("/calendar/{code}/years/{year}")
def publish_year(
    request: Request,
    run: Run,
    looking: Looking,
    fields: Checked,
    code: Code,
    year: Annotated[int, Path(ge=FIRST_YEAR, le=LAST_YEAR)],
) -> Response:
    """Mark the days off of a year as officially published."""
    outcome = _save(
        run, looking, code, fields.get("note", ""), language(request), lambda held: held.with_days({}, publish=[year])
    )
    return _show(request, run, looking, code, year, outcome=outcome)


async def uploaded(request: Request, fields: Checked) -> tuple[str, bytes]:
    """Return the name and content of the file in a form issued for this session."""
    found = (await request.form()).get("file")
    if not isinstance(found, UploadFile) or not found.filename:
        return "", b""
    try:
        return found.filename, await found.read()
    finally:
        await found.close()


@router.post("/calendar/{code}/load")
def load_file(
    request: Request,
    run: Run,
    looking: Looking,
    fields: Checked,
    file: Annotated[tuple[str, bytes], Depends(uploaded)],
    code: Code,
) -> Response:
    """Load a holiday file: JSON in the holiday-cn format, ICS or CSV."""
    require(looking.who, "deadlines.edit")
    name, content = file
    lang = language(request)
    try:
        if not name:
            raise Invalid.at("/file", "请选择文件", "choose a file")
        edit = read_calendar_file(content, name)
    except DubanError as wrong:
        problems = [p.text(lang) for p in wrong.problems[:5]] if isinstance(wrong, Invalid) else [wrong.text(lang)]
        return _show(
            request,
            run,
            looking,
            code,
            None,
            outcome=CalendarFormResult(refused="；".join(problems), status=wrong.status),
        )
    outcome = _save(run, looking, code, fields.get("note") or name, lang, lambda held: apply_edit(held, edit))
    return _show(request, run, looking, code, max(edit.publishes, default=None), outcome=outcome)
