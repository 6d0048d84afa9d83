"""Holiday files of three shapes: what is read, and how a wrong line is named."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from ingest.formats.holidays import CalendarEdit, DayEdit, apply_edit, own_years, read_calendar_file

HOURS = [["09:00", "12:00"], ["13:30", "17:30"]]
BASE = read_calendar(
    {"week": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), HOURS), "published": [2025]}, code="cn", version=1
)


def holiday_cn(year: Any, *days: tuple[str, str, bool]) -> bytes:
    rows = [{"name": name, "date": day, "isOffDay": off} for name, day, off in days]
    return json.dumps({"year": year, "papers": [], "days": rows}).encode()


NEW_YEAR = holiday_cn(2027, ("元旦", "2026-12-27", False), ("元旦", "2026-12-31", True), ("元旦", "2027-01-01", True))
CSV = """日期,类型,名称,工时
2026-12-27,班,元旦,
2026-12-31,休,元旦,
2027-01-01,休,元旦,
2027-02-06,班,春节,09:00-12:00
2027/2/8,休,春节,
20270209,休,春节,
2027年2月10日,休,春节,
"""
ICS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
DTSTART;VALUE=DATE:20270101
SUMMARY:元旦（休）
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20270206
DTEND;VALUE=DATE:20270208
SUMMARY:春节
  补班
BEGIN:VALARM
SUMMARY:提醒
END:VALARM
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20270208
DTEND;VALUE=DATE:20270213
SUMMARY:Spring Festival\\, off
END:VEVENT
END:VCALENDAR
"""


def read(text: str | bytes, name: str) -> CalendarEdit:
    return read_calendar_file(text if isinstance(text, bytes) else text.encode(), name)


def test_a_holiday_file_publishes_its_year_and_amends_the_last() -> None:
    edit = read(NEW_YEAR, "2027.json")
    assert edit.publishes == (2027,)
    assert {day: said for day, said in edit.days.items() if day.year == 2026} == {
        date(2026, 12, 27): DayEdit(False, "元旦"),
        date(2026, 12, 31): DayEdit(True, "元旦"),
    }
    calendar = apply_edit(BASE, edit)
    assert (calendar.version, sorted(calendar.published or ())) == (2, [2025, 2027])
    assert calendar.kind_of_day(date(2026, 12, 27)) == ("makeup", "元旦")
    assert calendar.kind_of_day(date(2026, 12, 31)) == ("holiday", "元旦")
    assert calendar.hours(date(2026, 12, 27)) == BASE.week[0]


def test_a_file_without_days_publishes_nothing() -> None:
    edit = read(holiday_cn(2027), "2027.json")
    assert edit == CalendarEdit({}, ())
    assert not apply_edit(BASE, edit).is_published(2027)


def test_csv_and_ics_say_the_same_in_their_own_way() -> None:
    table, events = read(CSV, "holidays.csv"), read(ICS, "holidays.ics")
    assert table.publishes == events.publishes == (2027,)
    assert table.days[date(2027, 2, 6)] == DayEdit(False, "春节", ((32_400, 43_200),), 5)
    assert table.days[date(2027, 2, 10)] == DayEdit(True, "春节", None, 8)
    assert events.days[date(2027, 1, 1)] == DayEdit(True, "元旦", None, 4)
    assert events.days[date(2027, 2, 7)] == DayEdit(False, "春节", None, 8)
    assert events.days[date(2027, 2, 12)] == DayEdit(True, "Spring Festival, off", None, 17)
    assert len(events.days) == 8


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_comes_in_any_of_the_usual_encodings_and_delimiters(encoding: str, delimiter: str) -> None:
    content = CSV.replace(",", delimiter).replace("\n", "\r\n").encode(encoding)
    assert read(content, "a.CSV").days == read(CSV, "a.csv").days


def test_csv_may_have_english_headers_comments_and_several_spans() -> None:
    edit = read('Kind,Date,Hours\n# a note\n\nwork,2027-02-06,"9:00-12:00, 13:30–17:30"\noff,2027-02-08,\n', "a.csv")
    assert edit.days[date(2027, 2, 6)].hours == BASE.week[0]
    assert edit.days[date(2027, 2, 8)] == DayEdit(True, "", None, 5)


def test_a_year_loaded_again_forgets_what_it_no_longer_names() -> None:
    first = apply_edit(
        BASE, read(holiday_cn(2026, ("春节", "2026-02-16", True), ("春节", "2026-02-17", True)), "a.json")
    )
    second = apply_edit(first, read(holiday_cn(2026, ("春节", "2026-02-17", True)), "a.json"))
    assert second.kind_of_day(date(2026, 2, 16)) == ("workday", "")
    assert second.kind_of_day(date(2026, 2, 17)) == ("holiday", "春节")


def test_reloading_a_year_keeps_amendments_of_the_next_file() -> None:
    both = apply_edit(
        apply_edit(BASE, read(NEW_YEAR, "a.json")), read(holiday_cn(2026, ("春节", "2026-02-17", True)), "a.json")
    )
    assert both.kind_of_day(date(2026, 12, 27)) == ("makeup", "元旦")


def test_holiday_files_in_any_order_give_the_same_calendar() -> None:
    spring = read(holiday_cn(2026, ("春节", "2026-02-17", True)), "a.json")
    year = read(NEW_YEAR, "b.json")
    assert apply_edit(apply_edit(BASE, spring), year) == apply_edit(apply_edit(BASE, year), spring)


def test_the_years_to_publish_can_be_told() -> None:
    assert read_calendar_file(CSV.encode(), "a.csv", years=[2026, 2027]).publishes == (2026, 2027)


def test_a_few_days_in_december_do_not_make_their_year_known() -> None:
    days = [date(2026, 12, 31), *(date(2027, 10, n) for n in range(1, 8))]
    assert own_years(days) == [2027]
    assert own_years([*days, *(date(2026, 10, n) for n in range(1, 8))]) == [2026, 2027]
    assert own_years([*days, date(2028, 1, 1)]) == [2027]
    assert own_years([date(2026, 12, 31), date(2027, 1, 1)]) == [2027]
    assert own_years([]) == []


DAY = ("元旦", "2027-01-01", True)


@pytest.mark.parametrize(
    ("name", "content", "pointer", "said"),
    [
        ("a.json", b"{", "/line/1", "line 1: not JSON"),
        ("a.json", b"[" * 100_000, "", "nested too deeply"),
        ("a.json", b"[]", "/days", "holiday-cn shape"),
        ("a.json", holiday_cn("2027", DAY), "/year", "must be a year"),
        ("a.json", holiday_cn(2027, ("元旦", "2027-02-29", True)), "/days/0/date", "no such day"),
        ("a.json", holiday_cn(2027, ("元旦", "2025-12-31", True)), "/days/0/date", "neither in 2027"),
        ("a.json", holiday_cn(2027, DAY, DAY), "/days/1/date", "2027-01-01 stands twice"),
        ("a.json", b'{"year": 2027, "days": [5]}', "/days/0", "must be {name, date, isOffDay}"),
        ("a.json", b'{"year": 2027, "days": [{"date": "2027-01-01"}]}', "/days/0/isOffDay", "must be true"),
        ("a.json", b'{"year": 2027, "days": [{"date": "2027-01-01", "isOffDay": true, "name": 5}]}', "/days/0/name", "text"),
        ("a.csv", "", "/line/1", "the file is empty"),
        ("a.csv", "日期,名称\n2027-01-01,元旦\n", "/line/1", "no column kind"),
        ("a.csv", "date,kind\n2027-01-01,off\n2027-02-29,off\n", "/line/3", "line 3: '2027-02-29': no such day"),
        ("a.csv", "date,kind\n2027011,off\n", "/line/2", "no such day"),
        ("a.csv", "date,kind\n2027-01-01,maybe\n", "/line/2", "'maybe' should be off or work"),
        ("a.csv", "date,kind\n2027-01-01,off\n2027-01-01,work\n", "/line/3", "stands twice (first in line 2)"),
        ("a.csv", "date,kind,hours\n2027-01-02,work,9 to 5\n", "/line/2", "are written 09:00-12:00"),
        ("a.csv", "date,kind,hours\n2027-01-02,work,09:00-12:00 11:00-13:00\n", "/line/2", "overlap"),
        ("a.csv", "date,kind,hours\n2027-01-01,off,09:00-12:00\n", "/line/2", "a day off has no hours"),
        ("a.ics", "", "/line/1", "the file is empty"),
        ("a.ics", "date,kind\n", "/line/1", "begins with BEGIN:VCALENDAR"),
        ("a.ics", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20270101\n", "/line/2", "no END:VEVENT"),
        ("a.ics", ICS.replace("DTSTART;VALUE=DATE:20270101", "DTSTART:20270101T090000Z"), "/line/4", "an all-day event"),
        ("a.ics", ICS.replace("DTSTART;VALUE=DATE:20270101\n", ""), "/line/3", "an all-day event"),
        ("a.ics", ICS.replace("20270213", "20270208"), "/line/18", "1–60 days after"),
        ("a.ics", ICS.replace("20270213", "20370213"), "/line/18", "1–60 days after"),
        ("a.ics", ICS.replace("SUMMARY:元旦", "RRULE:FREQ=YEARLY\nSUMMARY:元旦"), "/line/5", "RRULE"),
        ("a.ics", ICS.replace("DATE:20270101", "DATE:20270208"), "/line/17", "stands twice (first in line 4)"),
        ("a.xls", "", "", "a .json, .ics or .csv file"),
        ("a.csv", b"\xff\xff\xff", "", "neither UTF-8 nor GB18030"),
        ("a.csv", b"a" * (4 * 1024 * 1024 + 1), "", "larger than 4 MiB"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_what_would_be_right(
    name: str, content: str | bytes, pointer: str, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read(content, name)
    problem = refused.value.problems[0]
    assert problem.pointer == pointer
    assert said in problem.en
    assert problem.zh


def test_all_wrong_lines_are_named_up_to_a_page() -> None:
    with pytest.raises(Invalid) as refused:
        read("date,kind\n" + "2027-02-30,off\n" * 1000, "a.csv")
    assert len(refused.value.problems) == 50
    assert refused.value.problems[49].pointer == "/line/51"
