"""``duban calendar``, ``duban deadline`` and ``duban policy``."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from app import clock
from app.commands.common import JsonFlag, opened, parse_time, print_json, say
from app.commands.deadlines import replay_file
from app.config import get_settings
from app.domain.time.limit import ENDS
from app.domain.time.receipt import receipt
from app.domain.time.timeline import FIRST_YEAR, LAST_YEAR
from app.domain.time.workcalendar import WorkCalendar, spans_to_spec
from app.errors import Invalid, NotFound
from app.schemas.limit import read_limit
from app.security.principal import SYSTEM
from app.services.core.reference import DEFAULT_CALENDAR
from app.services.recompute import run as recompute
from app.services.rules import calendars, policies
from ingest.formats.holidays import apply_edit, read_calendar_file

calendar = typer.Typer(help="working-day calendars", no_args_is_help=True)
policy = typer.Typer(help="deadline policies", no_args_is_help=True)
CalendarCode = Annotated[str, typer.Option("--code", help="of the calendar")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(calendar, name="calendar")
    policy.command("replay")(replay_file)
    app.add_typer(policy, name="policy")
    app.command("deadline")(show_deadline)


def _english() -> bool:
    return get_settings().lang == "en"


# -- calendars ---------------------------------------------------------------------------------------------------------


@calendar.command("load")
def load_calendar(
    file: Path,
    code: CalendarCode = DEFAULT_CALENDAR,
    note: Annotated[str | None, typer.Option("--note", help="reason for the version; default: the file name")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Load the days off of a year: holiday-cn JSON, ICS or CSV. Loading a file twice changes nothing."""
    edit = read_calendar_file(file.read_bytes(), file.name)
    now = clock.now()
    with opened() as runtime:
        with runtime.database.write() as session:
            saved = calendars.save(
                session, SYSTEM, code, lambda held: apply_edit(calendars.existing(held, code), edit),
                now=now, note=(note or file.name)[:400],
            )  # fmt: skip
        tally = recompute.RecomputeResult()
        if saved.changed:
            tally = recompute.after_calendar(runtime.database, runtime.reference, code, SYSTEM.actor, now)
        zone = runtime.settings.zone
    moves = calendars.moves_view(tally, zone)
    shown = {"code": code, "version": saved.row.version, "changed": saved.changed, "days": len(edit.days),
            "published": list(edit.publishes), **moves}  # fmt: skip
    if as_json:
        print_json(shown)
        return
    years_zh, years_en = "、".join(map(str, edit.publishes)) or "无", ", ".join(map(str, edit.publishes)) or "none"
    if not saved.changed:
        say(
            f"日历 {code} 没有变化（第 {saved.row.version} 版）",
            f"calendar {code} is unchanged (version {saved.row.version})",
        )
    else:
        say(
            f"日历 {code} 第 {saved.row.version} 版：{len(edit.days)} 天，公布年份 {years_zh}",
            f"calendar {code} version {saved.row.version}: {len(edit.days)} days, years published: {years_en}",
        )
    if not edit.publishes:
        say("文件没有任何日期，未公布任何年份", "the file has no days; no year was marked as published")
    say(f"变动的时限：{moves['moved_count']}，不再暂定：{moves['confirmed_count']}",
        f"deadlines moved: {moves['moved_count']}, confirmed: {moves['confirmed_count']}")  # fmt: skip
    for one in moves["moved"]:
        typer.echo(f"{one['ticket']}\t{one['target']}\t{one['old']}\t→\t{one['new']}")


@calendar.command("show")
def show_calendar(
    year: Annotated[int, typer.Argument(min=FIRST_YEAR, max=LAST_YEAR)],
    code: CalendarCode = DEFAULT_CALENDAR,
    as_json: JsonFlag = False,
) -> None:
    """Show the days off, make-up workdays and other exceptions of a year."""
    with opened() as runtime, runtime.reading() as (_, ref):
        if code not in ref.calendars:
            raise NotFound(f"没有日历 {code!r}", f"no calendar {code!r}")
        _, found = ref.calendars[code]
    shown = _year(found, year)
    if as_json:
        print_json(shown)
        return
    state = (
        ("已公布", "published")
        if shown["published"]
        else ("未公布，按周工时暂定", "not published, weekdays are assumed")
    )
    say(
        f"{code} 第 {shown['version']} 版，{year} 年（{state[0]}），{shown['working_days']} 个工作日",
        f"{code} version {shown['version']}, {year} ({state[1]}), {shown['working_days']} working days",
    )
    words = {"holiday": ("休", "off"), "makeup": ("班", "work"), "special": ("另", "special")}
    for day in shown["days"]:
        hours = " ".join("–".join(span) for span in day["hours"])
        typer.echo(f"{day['date']}\t{words[day['kind']][_english()]}\t{day['name']}\t{hours}".rstrip())


def _year(found: WorkCalendar, year: int) -> dict[str, Any]:
    first = date(year, 1, 1)
    count = (date(year, 12, 31) - first).days + 1
    days = [first + timedelta(days=n) for n in range(count)]
    exceptions = []
    for day in days:
        kind, name = found.kind_of_day(day)
        if kind in ("holiday", "makeup", "special"):
            hours = spans_to_spec(found.hours(day))
            exceptions.append({"date": day.isoformat(), "kind": kind, "name": name, "hours": hours})
    return {
        "code": found.code,
        "version": found.version,
        "time_zone": found.time_zone,
        "year": year,
        "published": found.is_published(year),
        "working_days": sum(found.is_working_day(day) for day in days),
        "days": exceptions,
    }


# -- a deadline --------------------------------------------------------------------------------------------------------


def show_deadline(
    start: Annotated[str, typer.Option("--start", help="start; without an offset, in the calendar's zone")],
    days: Annotated[int | None, typer.Option("--days", help="working days; negative counts back")] = None,
    hours: Annotated[float | None, typer.Option("--hours", help="working hours; negative counts back")] = None,
    natural: Annotated[bool, typer.Option("--natural", help="natural days or hours instead of working ones")] = False,
    ends: Annotated[str, typer.Option("--ends", help=", ".join(ENDS))] = "close",
    count_first_day: Annotated[bool, typer.Option("--count-first-day")] = False,
    code: CalendarCode = DEFAULT_CALENDAR,
    explain: Annotated[bool, typer.Option("--explain", help="show the receipt, day by day")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Calculate when a limit is due; with --explain, show why."""
    if (days is None) == (hours is None):
        raise typer.BadParameter("give one of --days and --hours / 请给出 --days 或 --hours 之一")
    if ends not in ENDS:
        raise typer.BadParameter(f"--ends: {', '.join(ENDS)}")
    with opened() as runtime, runtime.reading() as (_, ref):
        if code not in ref.calendars:
            raise NotFound(f"没有日历 {code!r}", f"no calendar {code!r}")
        _, found = ref.calendars[code]
    moment = parse_time(start, "--start")
    if moment is None:
        raise Invalid.at("--start", "必填", "required")
    if "+" not in start[10:] and "-" not in start[10:] and not start.endswith(("Z", "z")):
        moment = moment.replace(tzinfo=found.zone)
    unit = ("days" if natural else "working_days") if days is not None else ("hours" if natural else "working_hours")
    spec = {"unit": unit, "amount": days if days is not None else hours, "ends": ends,
            "count_first_day": count_first_day}  # fmt: skip
    amount = "--days" if days is not None else "--hours"
    option = {"/start": "--start", "/amount": amount, "/limit/amount": amount}
    try:
        shown = receipt(found, moment, read_limit(spec))
    except Invalid as wrong:
        raise Invalid(replace(p, pointer=option.get(p.pointer, p.pointer)) for p in wrong.problems) from None
    full = shown.to_json()
    if as_json:
        lines = full.pop("lines")
        answer: dict[str, Any] = {"due_at": full["due_at"], "provisional": shown.provisional}
        print_json({**answer, "receipt": lines, "explanation": full} if explain else answer)
    elif explain:
        typer.echo(shown.text("en" if _english() else "zh"))
    else:
        note = ("（暂定）", " (provisional)")[_english()] if shown.provisional else ""
        typer.echo(f"{full['due_at']}{note}")


# -- policies ----------------------------------------------------------------------------------------------------------


@policy.command("export")
def export_policies(
    file: Annotated[Path | None, typer.Argument(help="file to write; default: standard output")] = None,
) -> None:
    """Print the latest version of each policy as TOML; policies not in force are listed at the top."""
    with opened() as runtime, runtime.reading() as (_, ref):
        text = policies.export_toml(ref, clock.now())
    if file is None:
        typer.echo(text, nl=False)
    else:
        file.write_text(text, "utf-8")


@policy.command("import")
def import_policies(
    file: Path,
    apply_open: Annotated[
        bool, typer.Option("--apply-open", help="apply the new versions to open tickets too")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Import policies from TOML: new or changed ones become new versions, equal ones are unchanged."""
    now = clock.now()
    with opened() as runtime:
        with runtime.database.write() as session:
            done = policies.import_toml(session, SYSTEM, file.read_text("utf-8"), now=now)
        tally = recompute.RecomputeResult()
        for code in [*done.created, *done.changed] if apply_open else []:
            tally.add(recompute.after_policy(runtime.database, runtime.reference, code, SYSTEM.actor, now))
        shown = {**done.to_json(), **calendars.moves_view(tally, runtime.settings.zone)}
    if as_json:
        print_json(shown)
        return
    say(
        f"新建 {len(done.created)}，新版本 {len(done.changed)}，未变 {len(done.unchanged)}；变动的时限 {shown['moved_count']}",
        f"created {len(done.created)}, changed {len(done.changed)}, unchanged {len(done.unchanged)}; "
        f"deadlines moved {shown['moved_count']}",
    )
