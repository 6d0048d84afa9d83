"""How much working time a calendar is sure of in a hundred years: by hand, and against the limits themselves."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.time.due import Limit, LimitUnit, due
from app.domain.time.reach import YEARS, Reach, reach
from app.domain.time.workcalendar import WorkCalendar
from app.schemas.calendar_document import read_calendar
from tests.unit.domain.time.test_due_properties import calendars, examples, starts

HOUR = [["09:00", "10:00"]]


def closed(first: date, days: int) -> dict[str, Any]:
    """So many days off in a row."""
    return {(first + timedelta(days=n)).isoformat(): [] for n in range(days)}


@pytest.mark.parametrize(
    ("spec", "days", "hours"),
    [
        ({"week": {"wed": HOUR}}, 5_217, 5_217),
        ({"week": {"wed": HOUR, "thu": [["22:00", "06:00"]]}}, 10_434, 46_953),
        ({"week": {"wed": HOUR}, "days": {"2026-03-04": []}}, 5_216, 5_216),  # a Wednesday
        ({"week": {"wed": HOUR}, "days": {"2026-03-05": []}}, 5_217, 5_217),  # a Thursday: off as it is
        ({"week": {"wed": HOUR}, "days": {"2026-03-05": HOUR}}, 5_217, 5_217),  # one more, which other years have not
        ({"week": {"wed": HOUR}, "days": {"2026-03-04": [["09:00", "09:30"]]}}, 5_217, 5_216),  # half an hour less
        ({"week": {"wed": HOUR}, "days": closed(date(2026, 3, 4), 40_000)}, 0, 0),
        ({"week": {}, "days": {"2026-03-04": HOUR}}, 0, 0),
    ],
)
def test_what_a_calendar_is_sure_of(spec: dict[str, Any], days: int, hours: int) -> None:
    assert reach(read_calendar(spec)) == Reach(days, hours)


def test_natural_time_and_limits_counted_back_have_bounds() -> None:
    found = Reach(5, 40)
    units: list[tuple[LimitUnit, int]] = [("working_days", 5), ("working_days", -5), ("working_hours", 40)]
    assert all(found.holds(Limit(unit, amount)) for unit, amount in [*units, ("days", 20_000), ("hours", 200_000)])
    assert not any(found.holds(Limit(unit, amount + (1 if amount > 0 else -1))) for unit, amount in units)


@examples(20)
@given(calendars(), starts, st.sampled_from(["working_days", "working_hours"]), st.integers(0, 30_000))
def test_what_is_within_reach_ends_in_a_hundred_years(
    calendar: WorkCalendar, start: datetime, unit: LimitUnit, off: int
) -> None:
    calendar = calendar.with_days({date(2026, 6, 1) + timedelta(days=n): () for n in range(off)})
    most = reach(calendar)
    amount = most.working_days if unit == "working_days" else most.working_hours
    greatest = Limit(unit, min(amount, 20_000 if unit == "working_days" else 200_000))
    if greatest.amount:
        ends = due(calendar, start, greatest).due_at
        assert ends <= start.astimezone(UTC) + timedelta(days=YEARS * 365.25 + 2)
