"""China's working days 2018–2026, day by day: the chinesecalendar package held against the holiday-cn files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count, takewhile
from pathlib import Path

import pytest

from app.domain.time.due import Limit, due
from app.domain.time.workcalendar import WorkCalendar
from app.schemas.calendar_document import read_calendar
from app.services.rules.china_calendar import china_spec
from ingest.formats.holidays import apply_edit, read_calendar_file

pytestmark = pytest.mark.real

YEARS = range(2018, 2027)


@pytest.fixture(scope="module")
def from_files(real_data: Path) -> WorkCalendar:
    """The calendar that loading all files makes, the empty one of 2027 too."""
    calendar = read_calendar({**china_spec([]), "published": []}, code="cn")
    for path in sorted((real_data / "holidays").glob("*.json")):
        calendar = apply_edit(calendar, read_calendar_file(path.read_bytes(), path.name))
    return calendar


def days_of(years: range) -> list[date]:
    first, last = date(years[0], 1, 1), date(years[-1], 12, 31)
    return list(takewhile(lambda day: day <= last, (first + timedelta(days=n) for n in count())))


def test_both_sources_say_the_same_of_every_day(from_files: WorkCalendar) -> None:
    package = read_calendar(china_spec(YEARS), code="cn")
    days = days_of(YEARS)
    assert len(days) == 3287
    differing = [day for day in days if from_files.hours(day) != package.hours(day)]
    assert differing == []


def test_the_files_publish_their_years_and_2027_is_not_known(from_files: WorkCalendar) -> None:
    assert sorted(from_files.published or ()) == list(YEARS)
    late = due(from_files, datetime(2026, 12, 31, 2, tzinfo=UTC), Limit("working_days", 1))
    assert late.provisional


def test_days_that_only_the_next_years_file_names_are_laid_on(from_files: WorkCalendar) -> None:
    assert from_files.kind_of_day(date(2018, 12, 29)) == ("makeup", "元旦")
    assert from_files.kind_of_day(date(2018, 12, 31)) == ("holiday", "元旦")


def test_loading_the_files_in_any_order_makes_the_same_calendar(real_data: Path, from_files: WorkCalendar) -> None:
    calendar = read_calendar({**china_spec([]), "published": []}, code="cn")
    for path in sorted((real_data / "holidays").glob("*.json"), reverse=True):
        calendar = apply_edit(calendar, read_calendar_file(path.read_bytes(), path.name))
    assert calendar.to_spec() == from_files.to_spec()
