"""Which policy applies, and why; and what a policy may say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest

from app.domain.tickets.policies import DEFAULT_POLICIES, TARGETS, Policy, Subject, choose, explain_choice
from app.domain.time.limit import Limit
from app.errors import Invalid, NotFound
from app.schemas.policy import read_policy

AT = datetime(2026, 3, 2, tzinfo=UTC)


def policy(code: str, version: int = 1, *, since: int | None = None, until: int | None = None, **match: Any) -> Policy:
    wanted = {key: (value,) if isinstance(value, str) else value for key, value in match.items()}
    begins, ends = (None if year is None else datetime(year, 1, 1, tzinfo=UTC) for year in (since, until))
    return Policy(code, version, code, code, wanted, {}, valid_from=begins, valid_to=ends)


SUBJECT = Subject(
    source="hotline",
    kind="complaint",
    category_path=("city", "noise", "night"),
    priority="normal",
    severity="major",
    unit_path=("county", "bureau", "station"),
    at=AT,
)


@pytest.mark.parametrize(
    ("subject", "code", "days"),
    [
        (Subject(kind="consult"), "consult", 2),
        (Subject(kind="complaint"), "default", 5),
        (Subject(kind=None), "default", 5),
        (Subject(kind="dispute", severity="ordinary"), "default", 5),
        (Subject(kind="dispute", severity="major"), "complex", 15),
        (Subject(kind="dispute", severity="grave"), "complex", 15),
        (Subject(kind="complaint", severity="grave"), "default", 5),
        (Subject(kind="complaint", priority="urgent"), "default", 5),
    ],
)
def test_the_defaults_are_those_of_the_domain(subject: Subject, code: str, days: int) -> None:
    chosen = choose(DEFAULT_POLICIES, subject)
    assert chosen.code == code
    assert chosen.limits["complete"] == Limit("working_days", days)
    assert chosen.limits["accept"] == chosen.limits["contact"] == Limit("working_days", 1)
    assert chosen.limits["callback"] == Limit("working_days", 1)
    assert chosen.limits["supervise"] == Limit("working_days", 3)
    assert (chosen.extension_days, chosen.extensions, chosen.return_days, chosen.max_returns) == (10, 1, 2, 2)


@pytest.mark.parametrize("kind", ["consult", "dispute", "complaint", None])
def test_an_emergency_is_an_emergency_of_whatever_kind(kind: str | None) -> None:
    chosen = choose(DEFAULT_POLICIES, Subject(kind=kind, severity="grave", priority="emergency"))
    assert chosen.code == "emergency"
    assert chosen.limits["complete"] == Limit("hours", 2)
    assert chosen.limits["accept"] == Limit("hours", 0.5)


def test_every_default_sets_every_target() -> None:
    assert all(tuple(policy.limits) == TARGETS for policy in DEFAULT_POLICIES)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (policy("b", kind="complaint"), policy("a")),
        (policy("b", kind="complaint", source="hotline"), policy("a", unit="station")),
        (policy("b", category="night"), policy("a", category="noise")),
        (policy("b", category=("city", "night")), policy("a", category="noise")),
        (policy("b", unit="station"), policy("a", unit="county")),
        (policy("b", category="city", unit="station"), policy("a", category="night", unit="county")),
        (policy("b", unit="county"), policy("a", category="night")),
        (policy("b", category="city"), policy("a", severity="major")),
        (policy("b", severity="major"), policy("a", kind="complaint")),
        (policy("b", kind="complaint"), policy("a", source="hotline")),
        (policy("b", source="hotline"), policy("a", priority="normal")),
        (policy("b", since=2026, kind="complaint"), policy("a", since=2025, kind="complaint")),
        (policy("b", since=2025, kind="complaint"), policy("a", kind="complaint")),
        (policy("a", kind="complaint"), policy("b", kind="complaint")),
    ],
)
def test_the_more_specific_policy_applies(first: Policy, second: Policy) -> None:
    assert choose([first, second], SUBJECT) is first
    assert choose([second, first], SUBJECT) is first


def test_priority_outranks_any_number_of_other_conditions() -> None:
    many = policy("a", unit="station", category="night", severity="major", kind="complaint", source="hotline")
    urgent = policy("z", priority=("urgent", "emergency"))
    assert choose([many, urgent], replace(SUBJECT, priority="urgent")) is urgent
    assert choose([many, urgent], SUBJECT) is many


def test_the_order_of_the_policies_does_not_matter() -> None:
    four = [policy("a"), policy("b", kind="complaint"), policy("c", unit="county"), policy("d", unit="station")]
    assert {choose(order, SUBJECT).code for order in permutations(four)} == {"d"}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (policy("x", kind="consult"), "kind should be consult, and is complaint"),
        (policy("x", category="parking"), "category should be parking, and is city/noise/night"),
        (policy("x", unit=("a", "b")), "unit should be a or b, and is county/bureau/station"),
    ],
)
def test_a_policy_that_does_not_match_says_why(other: Policy, why: str) -> None:
    choice = explain_choice([policy("all"), other], SUBJECT)
    assert [(one.policy.code, one.matches) for one in choice.considered] == [("all", True), ("x", False)]
    assert choice.considered[1].why_en == why
    assert choice.why_en == "no conditions: it is for all other tickets"
    assert "没有条件" in choice.why_zh


def test_an_empty_field_matches_no_condition() -> None:
    choice = explain_choice([policy("all"), policy("x", severity="major")], Subject(at=AT))
    assert choice.policy.code == "all"
    assert choice.considered[1].why_en.endswith("is empty")


def test_the_highest_version_in_force_counts() -> None:
    versions = [policy("a", 1), policy("a", 2, since=2026), policy("a", 3, since=2027)]
    assert choose(versions, SUBJECT).version == 2
    assert choose(versions, replace(SUBJECT, at=datetime(2025, 12, 31, tzinfo=UTC))).version == 1
    assert choose(versions, replace(SUBJECT, at=datetime(2027, 1, 1, tzinfo=UTC))).version == 3
    assert choose(versions, replace(SUBJECT, at=None)).version == 3


def test_a_policy_applies_from_its_start_until_before_its_end() -> None:
    one = policy("a", since=2026, until=2027)
    moments = [datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC),
               datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]  # fmt: skip
    assert [one.in_force(at) for at in moments] == [False, True, True, False]


def test_where_no_policy_applies_that_is_said() -> None:
    with pytest.raises(NotFound):
        choose([policy("x", kind="consult")], SUBJECT)


FULL: dict[str, Any] = {
    "code": "night-noise",
    "version": 3,
    "name_zh": "夜间噪音",
    "name_en": "Noise at night",
    "match": {"unit": ["station"], "category": ["night", "noise"]},
    "limits": {
        "accept": {"unit": "hours", "amount": 0.5, "ends": "close", "count_first_day": False},
        "complete": {"unit": "working_days", "amount": 3, "ends": "midnight", "count_first_day": True},
    },
    "extension_days": 5,
    "extensions": 2,
    "return_days": 1,
    "max_returns": 1,
    "calendar": "cn",
    "valid_from": "2026-01-01T00:00:00Z",
    "valid_to": "2027-01-01T00:00:00Z",
}


def test_a_policy_is_written_as_it_is_read() -> None:
    read = read_policy(FULL)
    assert read.to_spec() == FULL
    assert read_policy(read.to_spec()) == read
    assert hash(read_policy(read.to_spec())) == hash(read)
    for one in DEFAULT_POLICIES:
        assert read_policy(one.to_spec()) == one
    assert (read.name("zh"), read.name("en")) == ("夜间噪音", "Noise at night")


def test_a_policy_may_leave_out_what_has_a_default() -> None:
    read = read_policy({"code": "short", "match": {"kind": "consult"}})
    assert (read.version, read.name_zh, read.match["kind"], read.extension_days) == (1, "short", ("consult",), 10)


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"code": "Night Noise"}, ["/code"]),
        ({"code": None}, ["/code"]),
        ({"version": 0}, ["/version"]),
        ({"version": True}, ["/version"]),
        ({"name_zh": ""}, ["/name_zh"]),
        ({"limits": {"complete": {"unit": "working_days", "amount": -1}}}, ["/limits/complete/amount"]),
        ({"limits": {"complete": {"unit": "working_days", "amount": 0}}}, ["/limits/complete/amount"]),
        ({"limits": {"complete": {"unit": "days", "amount": 10**9}}}, ["/limits/complete/amount"]),
        ({"limits": {"finish": {"unit": "days", "amount": 1}}}, ["/limits/finish"]),
        ({"limits": {"complete": 5}}, ["/limits/complete"]),
        ({"limits": 5}, ["/limits"]),
        ({"match": {"colour": "red"}}, ["/match/colour"]),
        ({"match": {"kind": []}}, ["/match/kind"]),
        ({"match": {"kind": [5]}}, ["/match/kind/0"]),
        ({"match": "kind"}, ["/match"]),
        ({"extension_days": -1}, ["/extension_days"]),
        ({"extensions": 1.5}, ["/extensions"]),
        ({"max_returns": True}, ["/max_returns"]),
        ({"calendar": 5}, ["/calendar"]),
        ({"valid_from": "2026-01-01"}, ["/valid_from"]),
        ({"valid_from": "soon"}, ["/valid_from"]),
        ({"valid_to": "2025-01-01T00:00:00Z"}, ["/valid_to"]),
        ({"limit": {}}, ["/limit"]),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_its_place(change: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        read_policy({**FULL, **change})
    assert [problem.pointer for problem in refused.value.problems] == pointers


def test_a_policy_is_an_object() -> None:
    with pytest.raises(Invalid):
        read_policy([])
