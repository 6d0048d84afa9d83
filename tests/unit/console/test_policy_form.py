"""A policy as a form's fields and back, and a replay in bars."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from app.console.rules.policy_form import fields_of, spec_of
from app.console.rules.replay_view import calendar_text, last_quarter, pairs
from app.domain.tickets.policies import DEFAULT_POLICIES, Policy
from app.domain.time.limit import Limit
from app.errors import Invalid
from app.schemas.calendar_document import read_calendar
from app.schemas.policy import read_policy
from app.services.rules.china_calendar import china_spec

ZONE = ZoneInfo("Asia/Shanghai")
RICH = replace(
    DEFAULT_POLICIES[0], code="rich", match={"unit": ("GA", "GA.1"), "kind": ("complaint",)}, calendar="cn",
    limits={"complete": Limit("working_hours", 12.5), "accept": Limit("days", 2, "midnight", True)},
    valid_from=datetime(2026, 2, 28, 16, tzinfo=UTC), valid_to=datetime(2027, 1, 1, tzinfo=UTC),
)  # fmt: skip


@pytest.mark.parametrize("policy", [*DEFAULT_POLICIES, RICH], ids=lambda policy: policy.code)
def test_a_policy_comes_back_from_its_form_as_it_went_in(policy: Policy) -> None:
    fields = fields_of(policy.to_spec(), ZONE)
    said = {key: value for key, value in spec_of(fields, ZONE).items() if value is not None}
    assert read_policy({**said, "code": policy.code}).to_spec() == policy.to_spec()


def test_a_moment_is_entered_on_the_offices_clock() -> None:
    assert fields_of(RICH.to_spec(), ZONE)["valid_from"] == "2026-03-01T00:00"
    assert spec_of({"valid_from": "2026-03-01T00:00"}, ZONE)["valid_from"] == "2026-03-01T00:00:00+08:00"


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("limits.complete.amount", "-1", "/limits/complete/amount"),
        ("limits.complete.amount", "1000000000", "/limits/complete/amount"),
        ("limits.complete.amount", "five", "/limits/complete/amount"),
        ("limits.complete.unit", "weeks", "/limits/complete/unit"),
        ("extension_days", "", "/extension_days"),
        ("valid_from", "tomorrow", "/valid_from"),
    ],
)
def test_wrong_input_is_refused_at_its_field(field: str, value: str, pointer: str) -> None:
    fields = {**fields_of(DEFAULT_POLICIES[0].to_spec(), ZONE), field: value}
    with pytest.raises(Invalid) as refused:
        read_policy({**{k: v for k, v in spec_of(fields, ZONE).items() if v is not None}, "code": "x"})
    assert [problem.pointer for problem in refused.value.problems] == [pointer]
    assert pointer[1:].replace("/", ".") == field


def test_a_limit_without_an_amount_is_none() -> None:
    fields = {**fields_of(DEFAULT_POLICIES[0].to_spec(), ZONE), "limits.contact.amount": "  "}
    assert "contact" not in spec_of(fields, ZONE)["limits"]


@pytest.mark.parametrize(
    ("today", "since", "until"),
    [
        (date(2026, 11, 26), date(2026, 7, 1), date(2026, 9, 30)),
        (date(2026, 1, 1), date(2025, 10, 1), date(2025, 12, 31)),
        (date(2026, 3, 31), date(2025, 10, 1), date(2025, 12, 31)),
        (date(2026, 4, 1), date(2026, 1, 1), date(2026, 3, 31)),
    ],
)
def test_replay_defaults_to_the_previous_quarter(today: date, since: date, until: date) -> None:
    assert last_quarter(today) == (since, until)


def test_bars_share_one_scale_and_skip_units_without_values() -> None:
    rows = [
        {"name": name, "overdue_before": a, "overdue_after": b}
        for name, a, b in (("A", 2, 8), ("B", 0, 0), ("C", 4, 0))
    ]
    drawn = pairs(rows, lambda row: row["name"])
    assert [(one.name, one.before_width, one.after_width) for one in drawn] == [
        ("A", "25.0%", "100.0%"), ("C", "50.0%", "0.0%"),
    ]  # fmt: skip
    assert pairs([], str) == []


def test_a_proposed_calendar_reads_back_from_its_year_on() -> None:
    found = read_calendar(china_spec(), code="cn")
    again = read_calendar(json.loads(calendar_text(found, 2025))["calendar"], code="cn")
    assert (again.week, again.published) == (found.week, found.published)
    assert again.days == {day: spans for day, spans in found.days.items() if day.year >= 2025}
