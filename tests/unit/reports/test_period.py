"""Periods: what a key covers, what stands before it, and what happens where the calendar is uneven."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid
from reports.period import Period, last_ended, moment_at_same_age, parse_period

SHANGHAI = "Asia/Shanghai"
NEW_YORK = "America/New_York"


def contains(period: Period, moment: datetime) -> bool:
    """Whether an aware moment lies in a period: at its start yes, at its end no."""
    return period.start.astimezone(UTC) <= moment.astimezone(UTC) < period.end.astimezone(UTC)


@pytest.mark.parametrize(
    ("kind", "text", "start", "end"),
    [
        ("daily", "2024-03-15", "2024-03-15T00:00:00+08:00", "2024-03-16T00:00:00+08:00"),
        ("daily", "2024-12-31", "2024-12-31T00:00:00+08:00", "2025-01-01T00:00:00+08:00"),
        ("weekly", "2024-W11", "2024-03-11T00:00:00+08:00", "2024-03-18T00:00:00+08:00"),
        ("weekly", "2025-W01", "2024-12-30T00:00:00+08:00", "2025-01-06T00:00:00+08:00"),
        ("weekly", "2020-W53", "2020-12-28T00:00:00+08:00", "2021-01-04T00:00:00+08:00"),
        ("monthly", "2024-02", "2024-02-01T00:00:00+08:00", "2024-03-01T00:00:00+08:00"),
        ("monthly", "2024-12", "2024-12-01T00:00:00+08:00", "2025-01-01T00:00:00+08:00"),
        ("clear-out", "2024-03", "2024-03-01T00:00:00+08:00", "2024-04-01T00:00:00+08:00"),
        ("range", "2024-03-01..2024-03-15", "2024-03-01T00:00:00+08:00", "2024-03-16T00:00:00+08:00"),
        ("range", "2024-03-01..2024-03-01", "2024-03-01T00:00:00+08:00", "2024-03-02T00:00:00+08:00"),
    ],
)
def test_a_key_covers_local_days_and_names_itself(kind: str, text: str, start: str, end: str) -> None:
    period = parse_period(kind, text, SHANGHAI)
    assert (period.start.isoformat(), period.end.isoformat(), period.key) == (start, end, text)


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("daily", "2024-3-15", "2024-03-15"),
        ("daily", "2027-02-29", "2024-03-15"),
        ("daily", "2024-03", "2024-03-15"),
        ("daily", "２０２４-03-15", "2024-03-15"),
        ("weekly", "2024-W53", "2024-W11"),
        ("weekly", "2024-W00", "2024-W11"),
        ("weekly", "2024-03-15", "2024-W11"),
        ("monthly", "2024-13", "2024-03"),
        ("monthly", "0000-01", "2024-03"),
        ("monthly", "9999-12", "2024-03"),
        ("monthly", "1969-12", "1970"),
        ("clear-out", "", "2024-03"),
        ("range", "2024-03-15..2024-03-01", "ends before it begins"),
        ("range", "2024-03-15..9999-12-31", "2024-03-01..2024-03-15"),
        ("hourly", "2024-03-15", "daily, weekly, monthly, clear-out, range"),
    ],
)
def test_a_wrong_key_is_refused_with_what_would_be_right(kind: str, text: str, wanted: str) -> None:
    with pytest.raises(Invalid, match=r"use e\.g\.|use one of") as refused:
        parse_period(kind, text, SHANGHAI)
    assert wanted in refused.value.message.en
    assert refused.value.message.zh


def test_an_unknown_zone_is_refused() -> None:
    for zone in ("Asia/Duban", "", "../etc", "/Asia/Shanghai"):
        with pytest.raises(Invalid, match="Asia/Shanghai"):
            parse_period("daily", "2024-03-15", zone)


@pytest.mark.parametrize(
    ("kind", "text", "previous", "last_year"),
    [
        ("daily", "2024-03-01", "2024-02-29", "2023-03-01"),
        ("daily", "2024-02-29", "2024-02-28", "2023-02-28"),
        ("weekly", "2021-W01", "2020-W53", "2020-W01"),
        ("weekly", "2020-W53", "2020-W52", "2019-W52"),
        ("weekly", "2024-W01", "2023-W52", "2023-W01"),
        ("monthly", "2024-01", "2023-12", "2023-01"),
        ("clear-out", "2024-01", "2023-12", "2023-01"),
        ("range", "2024-03-01..2024-03-15", "2024-02-15..2024-02-29", "2023-03-01..2023-03-15"),
        ("range", "2024-02-01..2024-02-29", "2024-01-03..2024-01-31", "2023-02-01..2023-02-28"),
    ],
)
def test_what_stands_before_and_a_year_before(kind: str, text: str, previous: str, last_year: str) -> None:
    period = parse_period(kind, text, SHANGHAI)
    assert (period.previous().key, period.last_year().key) == (previous, last_year)


@pytest.mark.parametrize(
    ("kind", "text", "length", "oldest"),
    [
        ("daily", "2024-03-15", 31, "2024-02-14"),
        ("weekly", "2021-W05", 12, "2020-W47"),
        ("monthly", "2024-03", 13, "2023-03"),
        ("clear-out", "2024-03", 13, "2023-03"),
        ("range", "2024-03-01..2024-03-15", 31, "2024-02-14"),
    ],
)
def test_a_series_has_no_gap_and_ends_with_the_period(kind: str, text: str, length: int, oldest: str) -> None:
    period = parse_period(kind, text, SHANGHAI)
    series = period.series()
    assert (len(series), series[0].key) == (length, oldest)
    assert series[-1].until == period.until
    assert all(left.until == right.first for left, right in pairwise(series))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (SHANGHAI, "2024-03-10", 24.0),
        (NEW_YORK, "2024-03-10", 23.0),
        (NEW_YORK, "2024-11-03", 25.0),
        ("Australia/Lord_Howe", "2024-04-07", 24.5),
        ("America/Havana", "2024-03-10", 23.0),  # 00:00 does not exist: the day begins at 01:00
        ("America/Havana", "2024-11-03", 25.0),  # 00:00 comes twice: the day begins with the first
    ],
)
def test_a_day_has_as_many_hours_as_its_clocks_say(zone: str, day: str, hours: float) -> None:
    period = parse_period("daily", day, zone)
    assert period.end.astimezone(UTC) - period.start.astimezone(UTC) == timedelta(hours=hours)
    assert period.start.date() == period.first


def test_the_start_belongs_to_the_period_and_the_end_does_not() -> None:
    period = parse_period("monthly", "2024-03", SHANGHAI)
    microsecond = timedelta(microseconds=1)
    inside = [
        contains(period, m) for m in (period.start - microsecond, period.start, period.end - microsecond, period.end)
    ]
    assert inside == [False, True, True, False]


@pytest.mark.parametrize(
    ("kind", "now", "key"),
    [
        ("daily", "2024-03-14T15:59:59+00:00", "2024-03-13"),  # 23:59:59 in Shanghai
        ("daily", "2024-03-14T16:00:00+00:00", "2024-03-14"),  # midnight in Shanghai
        ("weekly", "2024-03-17T15:59:59+00:00", "2024-W10"),  # Sunday, a second before its end
        ("weekly", "2024-03-17T16:00:00+00:00", "2024-W11"),  # Monday 00:00
        ("monthly", "2024-02-29T15:59:59+00:00", "2024-01"),
        ("monthly", "2024-02-29T16:00:00+00:00", "2024-02"),
        ("clear-out", "2024-01-01T00:30:00+08:00", "2023-12"),
    ],
)
def test_the_scheduler_reports_on_the_period_that_has_just_ended(kind: str, now: str, key: str) -> None:
    assert last_ended(kind, datetime.fromisoformat(now), SHANGHAI).key == key


def test_a_range_cannot_be_scheduled() -> None:
    with pytest.raises(Invalid, match="cannot be scheduled"):
        last_ended("range", datetime(2024, 3, 1, tzinfo=UTC), SHANGHAI)


@pytest.mark.parametrize(
    ("as_of", "other_as_of"),
    [
        ("2024-04-01T00:30:00+08:00", "2024-03-01T00:30:00+08:00"),  # half an hour after the end, both
        ("2024-04-01T00:00:00+08:00", "2024-03-01T00:00:00+08:00"),  # at the end, both
        ("2024-03-10T12:00:00+08:00", "2024-02-10T12:00:00+08:00"),  # ten days in, both
        ("2024-03-31T12:00:00+08:00", "2024-03-01T00:00:00+08:00"),  # February has no 31 days: its end
    ],
)
def test_like_is_compared_with_like(as_of: str, other_as_of: str) -> None:
    march = parse_period("monthly", "2024-03", SHANGHAI)
    moment = moment_at_same_age(march.previous(), march, datetime.fromisoformat(as_of))
    assert moment == datetime.fromisoformat(other_as_of)


@given(
    kind=st.sampled_from(["daily", "weekly", "monthly"]),
    moment=st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from([SHANGHAI, NEW_YORK, "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"]),
)
def test_periods_tile_time(kind: str, moment: datetime, zone: str) -> None:
    """Each moment lies in exactly one period of a kind: the one after the last that has ended by then."""
    before: Period = last_ended(kind, moment, zone)
    assert before.end.astimezone(UTC) <= moment or before.until == date(2011, 12, 31)  # Apia had no 30 December 2011
    assert not contains(before, moment)
    assert not contains(before.previous(), moment)
    assert before.previous().end == before.start
    assert parse_period(kind, before.key, zone) == before
