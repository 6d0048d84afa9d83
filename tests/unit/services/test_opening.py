"""The deadlines kept for a stretch of time are those that each start would have been given by itself."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.supervision.ladder import DEFAULT_LADDER
from app.domain.tickets.policies import DEFAULT_POLICIES, Policy
from app.domain.time.due import Limit
from app.schemas.calendar_document import read_calendar
from app.services.core.reference import Reference, SourceInfo
from app.services.intake.opening import DeadlinePlanner
from app.services.rules.china_calendar import china_spec

SOURCE = SourceInfo(1, "s", "s", None, False, True)
DAYS = {name: [["09:00", "12:00"], ["13:30", "17:30"]] for name in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
CALENDARS: dict[str, Mapping[str, Any]] = {
    "China": china_spec(),
    "nights": {"time_zone": "Asia/Shanghai", "week": {day: [["22:10", "06:50"]] for day in DAYS}},
    "Kathmandu": {"time_zone": "Asia/Kathmandu", "week": {**DAYS, "sat": []}},
    "Lord Howe": {"time_zone": "Australia/Lord_Howe", "week": {**DAYS, "sun": []}},
    "round the clock": {"time_zone": "America/New_York", "week": {day: [["00:00", "24:00"]] for day in DAYS}},
}
LIMITS = (
    Limit("working_days", 5),
    Limit("working_days", 1, "midnight"),
    Limit("working_days", 3, "close", count_first_day=True),
    Limit("working_days", 2, "same_time"),
    Limit("days", 3),
    Limit("working_hours", 8),
    Limit("hours", 2),
)


def reference(spec: Mapping[str, Any], *policies: Policy) -> Reference:
    calendar = read_calendar(spec)
    return Reference(1, {1: SOURCE}, {}, {}, {}, {"cn": (1, calendar)}, tuple(enumerate(policies, 1)), DEFAULT_LADDER,
                     {"source": {}, "unit": {}, "grid": {}, "category": {}})  # fmt: skip


@pytest.mark.parametrize("name", CALENDARS)
@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_cached_results_of_a_span_equal_those_of_each_start(name: str, limit: Limit) -> None:
    known = DeadlinePlanner(reference(CALENDARS[name], Policy("default", 1, "x", "x", {}, {"complete": limit})))
    choose = random.Random(name)
    base = datetime(2026, 3, 20, tzinfo=UTC)
    for _ in range(300):
        start = base + timedelta(minutes=choose.randrange(30 * 24 * 60), microseconds=choose.choice([0, 0, -1, 1]))
        plan = known.plan(SOURCE, "help", None, "normal", None, None, start)
        assert known.of(plan, start) == known.work_out(plan, start), start


def test_a_policy_is_chosen_by_the_time_it_is_in_force() -> None:
    change = datetime(2026, 3, 1, tzinfo=UTC)
    old = Policy("a", 1, "旧", "old", {}, {"complete": Limit("days", 1)}, valid_to=change)
    new = Policy("b", 1, "新", "new", {}, {"complete": Limit("days", 2)}, valid_from=change)
    known = DeadlinePlanner(reference(CALENDARS["China"], old, new))
    moments = (change - timedelta(microseconds=1), change, change + timedelta(days=1))
    chosen = [known.plan(SOURCE, None, None, "normal", None, None, at).policy.code for at in moments]
    assert chosen == ["a", "b", "b"]


def test_every_default_policy_is_found_by_what_it_asks_about() -> None:
    known = DeadlinePlanner(reference(CALENDARS["China"], *DEFAULT_POLICIES))
    at = datetime(2026, 3, 2, 2, tzinfo=UTC)
    asked = [("help", "normal", None), ("consult", "normal", None), ("dispute", "normal", "major"),
             ("consult", "emergency", None)]  # fmt: skip
    found = [
        known.plan(SOURCE, kind, None, priority, severity, None, at).policy.code for kind, priority, severity in asked
    ]
    assert found == ["default", "consult", "complex", "emergency"]
