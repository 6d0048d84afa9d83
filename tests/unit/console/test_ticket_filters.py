"""The filters of the ticket list in a page address: dates and moments."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from starlette.requests import Request

from app.console.tickets.routes import filters_of
from app.errors import Invalid

ZONE = ZoneInfo("Asia/Shanghai")


def asked(query: str) -> dict[str, object]:
    return filters_of(Request({"type": "http", "query_string": query.encode(), "headers": []}), ZONE)


def test_the_last_day_of_a_date_range_is_included() -> None:
    found = asked("received_from=2026-09-01&received_to=2026-09-30")
    assert found["received_from"] == datetime(2026, 9, 1, tzinfo=ZONE)
    assert found["received_to"] == datetime(2026, 10, 1, tzinfo=ZONE)


def test_a_full_moment_is_an_exclusive_end_as_in_the_api() -> None:
    found = asked("received_to=2026-09-30T08:00:00%2B08:00")
    assert found["received_to"] == datetime(2026, 9, 30, 8, tzinfo=ZONE)


@pytest.mark.parametrize("day", ["9999-12-31", "2026-02-30", "yesterday"])
def test_an_impossible_end_date_is_refused(day: str) -> None:
    with pytest.raises(Invalid):
        asked(f"received_to={day}")
