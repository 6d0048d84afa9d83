"""Calendars: read, written, and what they say of a day; every bad one refused with its place."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.errors import Invalid
from app.schemas.calendar_document import read_calendar

HOURS = [["09:00", "12:00"], ["13:30", "17:30"]]
SPEC: dict[str, Any] = {
    "time_zone": "Asia/Shanghai",
    "week": dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), HOURS) | {"sat": [], "sun": []},
    "days": {"2026-02-14": HOURS, "2026-02-16": [], "2026-02-28": [["09:00", "12:00"]], "2026-03-06": [["09:00", "12:00"]]},
    "published": [2025, 2026],
    "names": {"2026-02-14": "春节", "2026-02-15": "春节", "2026-02-16": "春节"},
}  # fmt: skip
CALENDAR = read_calendar(SPEC, code="cn", version=3)


def test_a_calendar_is_written_as_it_is_read() -> None:
    assert CALENDAR.to_spec() == SPEC
    again = read_calendar(CALENDAR.to_spec(), code="cn", version=3)
    assert again == CALENDAR
    assert hash(again) == hash(CALENDAR)
    assert again.fingerprint == CALENDAR.fingerprint
    assert again != read_calendar(SPEC, code="cn", version=4)
    assert CALENDAR != "cn"


def test_calendar_fingerprints_are_equal_only_for_equal_rules() -> None:
    other = read_calendar({**SPEC, "days": {}}, code="cn", version=3)
    assert other.fingerprint != CALENDAR.fingerprint


def test_a_calendar_may_leave_out_all_but_its_hours() -> None:
    calendar = read_calendar({"week": {"mon": [["22:00", "06:00:30"]]}})
    assert calendar.time_zone == "Asia/Shanghai"
    assert calendar.week[0] == ((79_200, 108_030),)
    assert calendar.to_spec()["week"]["mon"] == [["22:00", "06:00:30"]]
    assert calendar.is_published(2077)


def test_spans_are_put_in_order() -> None:
    calendar = read_calendar({"week": {"mon": [["13:30", "17:30"], ["09:00", "12:00"]]}})
    assert calendar.to_spec()["week"]["mon"] == HOURS


@pytest.mark.parametrize(
    ("day", "working", "kind"),
    [
        ("2026-02-13", True, ("workday", "")),
        ("2026-02-14", True, ("makeup", "春节")),
        ("2026-02-15", False, ("holiday", "春节")),
        ("2026-02-16", False, ("holiday", "春节")),
        ("2026-02-21", False, ("weekend", "")),
        ("2026-02-28", True, ("makeup", "")),
        ("2026-03-06", True, ("special", "")),
    ],
)
def test_a_day_is_what_the_calendar_says(day: str, working: bool, kind: tuple[str, str]) -> None:
    assert CALENDAR.is_working_day(date.fromisoformat(day)) is working
    assert CALENDAR.kind_of_day(date.fromisoformat(day)) == kind


def test_only_the_years_named_are_published() -> None:
    assert [year for year in range(2024, 2028) if CALENDAR.is_published(year)] == [2025, 2026]


def test_a_moment_is_shown_on_the_calendars_clock() -> None:
    assert CALENDAR.local(datetime(2026, 3, 1, 16, tzinfo=UTC)).isoformat() == "2026-03-02T00:00:00+08:00"


def day(hours: Any) -> dict[str, Any]:
    return {"week": {"mon": hours}}


@pytest.mark.parametrize(
    ("spec", "pointers"),
    [
        ([], [""]),
        ({"weeks": {}, **day(HOURS)}, ["/weeks"]),
        (day([["09:00", "12:00"], ["11:59", "13:00"]]), ["/week/mon"]),
        (day([["09:00", "12:00"], ["09:00", "12:00"]]), ["/week/mon"]),
        (day([["09:00", "09:00"]]), ["/week/mon/0"]),
        (day([["24:00", "02:00"]]), ["/week/mon/0/0"]),
        (day([["24:30", "02:00"]]), ["/week/mon/0/0"]),
        (day([["9:00", "12:00"]]), ["/week/mon/0/0"]),
        (day([["09:00", "12:60"]]), ["/week/mon/0/1"]),
        (day([[9, 12]]), ["/week/mon/0/0", "/week/mon/0/1"]),
        (day([["09:00"]]), ["/week/mon/0"]),
        (day("09:00-12:00"), ["/week/mon"]),
        (day([["00:00", "00:01"]] * 25), ["/week/mon"]),
        ({"week": {}}, ["/week"]),
        ({"week": {"mon": []}, "days": {"2026-02-16": []}}, ["/week"]),
        ({}, ["/week"]),
        ({"week": []}, ["/week"]),
        ({"week": {"monday": HOURS}}, ["/week/monday"]),
        ({"week": {"mon": [["22:00", "06:00"]], "tue": [["05:59", "08:00"]]}}, ["/week/mon"]),
        ({"week": {"sun": [["22:00", "06:00"]], "mon": [["05:00", "08:00"]]}}, ["/week/sun"]),
        ({**day([["22:00", "06:00"]]), "days": {"2026-03-03": [["05:00", "08:00"]]}}, ["/days/2026-03-03"]),
        ({**day([["06:00", "08:00"]]), "days": {"2026-03-01": [["20:00", "07:00"]]}}, ["/days/2026-03-01"]),
        ({**day(HOURS), "days": {"2027-02-29": []}}, ["/days/2027-02-29"]),
        ({**day(HOURS), "days": {"2026-2-9": []}}, ["/days/2026-2-9"]),
        ({**day(HOURS), "days": {"a/b~c": []}}, ["/days/a~1b~0c"]),
        ({**day(HOURS), "days": {"1066-10-14": []}}, ["/days/1066-10-14"]),
        ({**day(HOURS), "days": []}, ["/days"]),
        ({**day(HOURS), "time_zone": "Asia/Beijing"}, ["/time_zone"]),
        ({**day(HOURS), "time_zone": "../etc/passwd"}, ["/time_zone"]),
        ({**day(HOURS), "time_zone": "Asia"}, ["/time_zone"]),
        ({**day(HOURS), "time_zone": None}, ["/time_zone"]),
        ({**day(HOURS), "time_zone": "a\x00b"}, ["/time_zone"]),
        ({**day(HOURS), "published": [2026, 2025, 2026]}, ["/published/2"]),
        ({**day(HOURS), "published": [True, 12026, "2026"]}, ["/published/0", "/published/1", "/published/2"]),
        ({**day(HOURS), "published": 2026}, ["/published"]),
        ({**day(HOURS), "names": {"2026-02-30": "春节"}}, ["/names/2026-02-30"]),
        ({**day(HOURS), "names": {"2026-02-03": ""}}, ["/names/2026-02-03"]),
        ({**day(HOURS), "names": []}, ["/names"]),
    ],
)
def test_an_invalid_calendar_is_refused_with_pointer(spec: Any, pointers: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        read_calendar(spec)
    assert [problem.pointer for problem in refused.value.problems] == pointers
    assert all(problem.zh and problem.en for problem in refused.value.problems)


def test_every_problem_is_told_at_once() -> None:
    spec = {"time_zone": "Mars", "week": {"mon": [["08:00", "08:00"]], "tue": 5}, "days": {"2027-02-29": []}}
    with pytest.raises(Invalid) as refused:
        read_calendar(spec)
    assert len(refused.value.problems) == 4


def test_touching_hours_are_no_overlap() -> None:
    calendar = read_calendar(
        {"week": {"mon": [["08:00", "12:00"], ["12:00", "16:00"], ["22:00", "06:00"]], "tue": [["06:00", "07:00"]]}}
    )
    assert len(calendar.week[0]) == 3


class Unread(dict[str, Any]):
    """An object that has a size, and fails whoever reads it."""

    def _read(self, *_: object) -> Any:
        raise AssertionError("it is read")

    __iter__ = __getitem__ = items = keys = values = _read


def test_a_vast_calendar_is_refused_before_it_is_read() -> None:
    days = Unread({(date(1901, 1, 1) + timedelta(days=n)).isoformat(): [] for n in range(40_001)})
    with pytest.raises(Invalid, match="/days"):
        read_calendar({**day(HOURS), "days": days})


def test_the_next_version_lays_days_over_the_last() -> None:
    changed = CALENDAR.with_days(
        {date(2026, 2, 16): None, date(2027, 1, 1): ()},
        names={date(2027, 1, 1): "元旦", date(2026, 2, 16): ""},
        publish=[2027],
    )
    assert changed.version == 4
    assert changed.is_working_day(date(2026, 2, 16))
    assert changed.kind_of_day(date(2026, 2, 16)) == ("workday", "")
    assert changed.kind_of_day(date(2027, 1, 1)) == ("holiday", "元旦")
    assert changed.is_published(2027)
    assert not CALENDAR.is_published(2027)
    assert CALENDAR.kind_of_day(date(2026, 2, 16)) == ("holiday", "春节")


def test_the_next_version_is_refused_where_its_hours_overlap() -> None:
    nights = read_calendar(day([["22:00", "06:00"]]))
    with pytest.raises(Invalid, match="/days/2026-03-03"):
        nights.with_days({date(2026, 3, 3): ((5 * 3600, 8 * 3600),)})


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Shanghai", "2026-03-08", 24),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("America/Sao_Paulo", "2018-11-04", 23),  # the change leaps over midnight itself
        ("America/Sao_Paulo", "2018-02-17", 25),  # and back over it
        ("America/Havana", "2026-11-01", 25),  # its 00:00 is shown twice
        ("Asia/Beirut", "2026-03-29", 23),
        ("Africa/Casablanca", "2026-02-15", 25),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_across_dst(zone: str, day: str, hours: float) -> None:
    at = date.fromisoformat(day)
    calendar = read_calendar({"time_zone": zone, "days": {day: [["00:00", "24:00"]]}})
    line = calendar.timeline(at.year, at.year)
    assert line.total == hours * 3600 * 1_000_000
    assert calendar.local(datetime.fromtimestamp(line.opens[0] / 1e6, UTC)).date() == at
