"""Holiday files read into edits of a calendar: JSON of the holiday-cn shape, ICS, and CSV.

A file names days off and make-up workdays; it does not know an office's hours. So it is read into a ``CalendarEdit``,
and ``apply_edit`` lays that over a calendar: a make-up day whose hours the file leaves out works the calendar's usual
ones. A file may hold days of a neighbouring year (the 2019 notice moved 29 December 2018): they are laid on too, but
only the file's own years become *published*, and a file without days publishes none: 2027 is not known because a file
called 2027 exists.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any, Literal

from icalendar import Component, Event

from app.domain.time.timeline import FIRST_YEAR, LAST_YEAR, Spans
from app.domain.time.workcalendar import WorkCalendar
from app.errors import FieldProblem, Invalid
from app.schemas.calendar_document import read_spans
from app.validation import pointer

MOST_BYTES = 4 * 1024 * 1024
_MOST_PROBLEMS = 50
_OFF = frozenset({"off", "holiday", "rest", "休", "休息", "放假", "节假日", "假", "true", "1"})
_WORK = frozenset(
    {"work", "workday", "makeup", "make-up", "班", "上班", "补班", "调休", "调休上班", "工作日", "false", "0"}
)
_WORK_IN_SUMMARY = re.compile(r"班|\bwork(?:day|ing)?\b|\bmake-?up\b", re.IGNORECASE)
_COLUMNS = {
    "date": ("date", "day", "日期"),
    "kind": ("kind", "type", "类型", "类别", "休班"),
    "name": ("name", "holiday", "summary", "名称", "节日", "备注"),
    "hours": ("hours", "工时", "工作时间", "时段"),
}
_HOURS = re.compile(r"(\d{1,2}:\d{2})\s*[-–—~至]\s*(\d{1,2}:\d{2})")


@dataclass(frozen=True, slots=True)
class DayEdit:
    """What a file says of one day: off, or working; ``hours`` None: the calendar's usual ones. ``line``: where."""

    off: bool
    name: str = ""
    hours: Spans | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class CalendarEdit:
    """What a file says: its days, and the years that are published by it."""

    days: dict[date, DayEdit]
    publishes: tuple[int, ...]


def read_calendar_file(content: bytes, filename: str, *, years: Iterable[int] | None = None) -> CalendarEdit:
    """Read a holiday file by the ending of its name: ``.json``, ``.ics`` or ``.csv``. UTF-8 or GB18030.

    ``years``: those to publish; None: the file's own (JSON: its ``year``; ICS and CSV: see ``own_years``). Raises
    ``Invalid`` naming each line (pointer ``/line/7``) or place that is wrong, and what would be right.
    """
    if len(content) > MOST_BYTES:
        raise Invalid.at("", "文件超过 4 MiB", "the file is larger than 4 MiB")
    text = _decoded(content)
    ending = filename.rsplit(".", 1)[-1].lower()
    readers = {"json": _read_json, "ics": _read_ics, "ical": _read_ics, "csv": _read_csv, "txt": _read_csv}
    if ending not in readers:
        raise Invalid.at("", "应为 .json、.ics 或 .csv 文件", "a .json, .ics or .csv file is expected")
    reading = _Reading()
    own = readers[ending](text, reading)
    if reading.problems:
        raise Invalid(reading.problems)
    publishes = sorted(set(own if years is None else years)) if reading.days else []
    return CalendarEdit(dict(sorted(reading.days.items())), tuple(publishes))


def apply_edit(calendar: WorkCalendar, edit: CalendarEdit, *, version: int | None = None) -> WorkCalendar:
    """The next version of ``calendar``, with ``edit`` laid over it.

    A published year is replaced: dated days of it that the file no longer names are taken out, but for those around
    New Year, which may stand in the neighbouring year's file alone. Days of neighbouring years are added. Raises
    ``Invalid`` where hours overlap.
    """
    stale = {day for day in calendar.days if day.year in edit.publishes and not _around_new_year(day)}
    changes: dict[date, Spans | None] = dict.fromkeys(stale)
    names: dict[date, str] = {}
    for day, edited in edit.days.items():
        hours = () if edited.off else edited.hours or calendar.week[day.weekday()] or calendar.usual_hours
        changes[day] = None if hours == calendar.week[day.weekday()] else hours
        if edited.name:
            names[day] = edited.name
    return calendar.with_days(
        changes, names={**dict.fromkeys(stale, ""), **names}, publish=edit.publishes, version=version
    )


def _around_new_year(day: date) -> bool:
    return (day.month, day.day) >= (12, 22) or (day.month, day.day) <= (1, 10)


def own_years(days: Iterable[date]) -> list[int]:
    """The years that a file without a stated year is about: those with days other than around New Year, since a few
    days at the end of December belong to the next year's notice; with no such days, the latest year."""
    listed = list(days)
    inner = {day.year for day in listed if not _around_new_year(day)}
    return sorted(inner or {day.year for day in listed[-1:]})


@dataclass(slots=True)
class _Reading:
    """The days read so far, and what was wrong with the rest."""

    days: dict[date, DayEdit] = field(default_factory=dict)
    problems: list[FieldProblem] = field(default_factory=list)

    def wrong(self, pointer: str, zh: str, en: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(FieldProblem(pointer, zh, en))

    def wrong_line(self, line: int, zh: str, en: str) -> None:
        self.wrong(f"/line/{line}", f"第 {line} 行：{zh}", f"line {line}: {en}")

    def add(self, day: date, edit: DayEdit, pointer: str) -> None:
        held = self.days.get(day)
        if held is not None:
            where = (f"（先见于第 {held.line} 行）", f" (first in line {held.line})") if held.line else ("", "")
            self.wrong(pointer, f"{day} 重复{where[0]}", f"{day} stands twice{where[1]}")
        else:
            self.days[day] = edit


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Invalid.at("", "文件编码应为 UTF-8 或 GB18030", "the file is neither UTF-8 nor GB18030")


def _date(value: object) -> date | None:
    """A date written 2026-02-17, 2026/2/17, 20260217 or 2026年2月17日; None where there is no such day."""
    if not isinstance(value, str):
        return None
    found = re.fullmatch(r"(\d{4})(?:-|/|\.|年)?(\d{1,2})(?:-|/|\.|月)?(\d{1,2})日?", value.strip(), re.ASCII)
    if found is None or (value.strip().isdigit() and len(value.strip()) != 8):
        return None
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


_NO_DAY_ZH, _NO_DAY_EN = "没有这一天；日期写作 2026-02-17", "no such day; a date is written 2026-02-17"


# -- JSON --------------------------------------------------------------------------------------------------------------


def _read_json(text: str, reading: _Reading) -> list[int]:
    try:
        content = json.loads(text, object_pairs_hook=partial(_once, reading))
    except json.JSONDecodeError as error:
        reading.wrong_line(error.lineno, f"不是合法的 JSON（第 {error.colno} 列）", f"not JSON (column {error.colno})")
        return []
    except RecursionError:
        reading.wrong("", "JSON 嵌套过深", "the JSON is nested too deeply")
        return []
    if not isinstance(content, dict) or not isinstance(content.get("days"), list):
        reading.wrong(
            "/days", "应为 holiday-cn 形状：{year, days: […]}", "the holiday-cn shape is expected: {year, days: […]}"
        )
        return []
    year = content.get("year")
    if not isinstance(year, int) or isinstance(year, bool) or not FIRST_YEAR <= year <= LAST_YEAR:
        reading.wrong("/year", "应为年份，如 2026", "must be a year, such as 2026")
    for n, item in enumerate(content["days"]):
        _json_day(item, f"/days/{n}", reading, year)
    return [year] if isinstance(year, int) else []


def _once(reading: _Reading, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys stand once each: of two years or two dates, one would silently win."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            name = key[:40]
            reading.wrong(pointer([key[:80]]), f"{name!r} 在同一对象中重复", f"{name!r} stands twice in one object")
        found[key] = value
    return found


def _json_day(item: Any, pointer: str, reading: _Reading, year: Any) -> None:
    if not isinstance(item, dict):
        reading.wrong(pointer, "应为 {name, date, isOffDay}", "must be {name, date, isOffDay}")
        return
    day, off, name = _date(item.get("date")), item.get("isOffDay"), item.get("name", "")
    if day is None:
        reading.wrong(f"{pointer}/date", _NO_DAY_ZH, _NO_DAY_EN)
    elif isinstance(year, int) and abs(day.year - year) > 1:
        reading.wrong(
            f"{pointer}/date", f"{day} 不在 {year} 年或相邻年份", f"{day} is neither in {year} nor in a year beside it"
        )
        day = None
    if not isinstance(off, bool):
        reading.wrong(
            f"{pointer}/isOffDay", "应为 true（放假）或 false（上班）", "must be true (off) or false (working)"
        )
    if not isinstance(name, str) or len(name) > 100:
        reading.wrong(f"{pointer}/name", "应为至多 100 个字的文本", "must be text of at most 100 characters")
    elif day is not None and isinstance(off, bool):
        reading.add(day, DayEdit(off, name), f"{pointer}/date")


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _read_csv(text: str, reading: _Reading) -> list[int]:
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: dict[str, int] | None = None
    try:
        for row in rows:
            line = rows.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if columns is None:
                columns = _columns(cells, line, reading)
                if reading.problems:
                    return []
                continue
            _csv_day(cells, columns, line, reading)
    except csv.Error as error:
        reading.wrong_line(rows.line_num, f"无法按 CSV 读取（{error}）", f"cannot be read as CSV ({error})")
    if columns is None:
        reading.wrong_line(1, "文件是空的；首行应为 日期,类型,名称", "the file is empty; it begins with date,kind,name")
    return own_years(sorted(reading.days))


def _columns(cells: list[str], line: int, reading: _Reading) -> dict[str, int]:
    found = {}
    for column, headers in _COLUMNS.items():
        at = next((n for n, cell in enumerate(cells) if cell.lower() in headers), None)
        if at is not None:
            found[column] = at
    for column in ("date", "kind"):
        if column not in found:
            known = "、".join(_COLUMNS[column])
            reading.wrong_line(
                line,
                f"缺少列 {known}",
                f"there is no column {column}; its header is one of {', '.join(_COLUMNS[column])}",
            )
    return found


def _csv_day(cells: list[str], columns: dict[str, int], line: int, reading: _Reading) -> None:
    values = {column: cells[at] if at < len(cells) else "" for column, at in columns.items()}
    day, kind = _date(values["date"]), values["kind"].lower()
    before = len(reading.problems)
    if day is None:
        reading.wrong_line(line, f"“{values['date'][:40]}”：{_NO_DAY_ZH}", f"{values['date'][:40]!r}: {_NO_DAY_EN}")
    if kind not in _OFF and kind not in _WORK:
        reading.wrong_line(
            line,
            f"类型“{values['kind'][:40]}”应为 休 或 班（off 或 work）",
            f"the kind {values['kind'][:40]!r} should be off or work (休 or 班)",
        )
    hours = _csv_hours(values.get("hours", ""), line, reading)
    if hours is not None and kind in _OFF:
        reading.wrong_line(line, "放假的日子不应有工时", "a day off has no hours")
    if len(reading.problems) == before and day is not None:
        reading.add(day, DayEdit(kind in _OFF, values.get("name", "")[:100], hours, line), f"/line/{line}")


def _csv_hours(text: str, line: int, reading: _Reading) -> Spans | None:
    if not text:
        return None
    pairs = [[one.rjust(5, "0") for one in pair] for pair in _HOURS.findall(text)]
    if not pairs or _HOURS.sub("", text).strip(" ,;，；、"):
        reading.wrong_line(
            line,
            f"工时“{text[:40]}”应写作 09:00-12:00 13:30-17:30",
            f"hours {text[:40]!r} are written 09:00-12:00 13:30-17:30",
        )
        return None
    try:
        return read_spans(pairs)
    except Invalid as error:
        reading.wrong_line(line, error.problems[0].zh, error.problems[0].en)
        return None


# -- ICS ---------------------------------------------------------------------------------------------------------------


def _read_ics(text: str, reading: _Reading) -> list[int]:
    """All-day events; one whose summary says 班, work or make-up is a working day, any other is off."""
    lines = text.splitlines()
    first = next((n for n, line in enumerate(lines, 1) if line.strip()), None)
    if first is None:
        reading.wrong_line(1, "文件是空的", "the file is empty")
        return []
    if lines[first - 1].strip().upper() != "BEGIN:VCALENDAR":
        reading.wrong_line(first, "ICS 应以 BEGIN:VCALENDAR 开头", "an ICS file begins with BEGIN:VCALENDAR")
        return []
    begin = 0
    for number, line in enumerate(lines, 1):
        if line.strip().upper() == "BEGIN:VEVENT":
            begin = number
        elif line.strip().upper() == "END:VEVENT" and begin:
            _ics_event(lines[begin - 1 : number], begin, reading)
            begin = 0
    if begin:
        reading.wrong_line(begin, "事件没有 END:VEVENT", "the event has no END:VEVENT")
    return own_years(sorted(reading.days))


def _ics_event(lines: list[str], first: int, reading: _Reading) -> None:
    def line_of(name: str) -> int:
        named = re.compile(rf"{name}\s*[;:]", re.IGNORECASE)
        return first + next((n for n, line in enumerate(lines) if named.match(line)), 0)

    try:
        event = Event.from_ical("\r\n".join(lines))
    except ValueError as error:
        reading.wrong_line(first, f"事件无法解析（{error}）", f"the event cannot be read ({error})")
        return
    if "RRULE" in event:
        reading.wrong_line(
            line_of("RRULE"),
            "不支持重复事件（RRULE），请逐日列出",
            "recurring events (RRULE) are not read: list the days",
        )
        return
    start_line = line_of("DTSTART")
    start = _ics_date(event, "start")
    if start is None:
        reading.wrong_line(
            start_line,
            "应为全天事件，如 DTSTART;VALUE=DATE:20260217",
            "an all-day event is expected, DTSTART;VALUE=DATE:20260217",
        )
        return
    end = _ics_date(event, "end")
    if end is None or not start < end <= start + timedelta(days=60):
        reading.wrong_line(
            line_of("DTEND"),
            "DTEND 应为 DTSTART 之后 1–60 天的日期（不含当日）",
            "DTEND must be a date 1–60 days after DTSTART (itself not included)",
        )
        return
    summary = str(event.get("SUMMARY", ""))[:100]
    off = not _WORK_IN_SUMMARY.search(summary)
    name = re.sub(r"[\s（(\[【]*(?:休|班|补班|放假|调休|上班)[)）\]】]*$", "", summary) or summary
    for n in range((end - start).days):
        reading.add(start + timedelta(days=n), DayEdit(off, name, None, start_line), f"/line/{start_line}")


def _ics_date(event: Component, bound: Literal["start", "end"]) -> date | None:
    """The first day of an all-day event, or the day after its last; None where that is no date or out of range."""
    try:
        day = getattr(event, bound)
    except (ValueError, OverflowError):
        return None
    return day if type(day) is date and FIRST_YEAR <= day.year <= LAST_YEAR else None
