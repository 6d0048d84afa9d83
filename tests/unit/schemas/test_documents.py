"""Rule documents with one wrong value: refused at its place, in words of both languages, whatever the value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.domain.supervision.rungs import DEFAULT_LADDER
from app.domain.time.limit import Limit
from app.errors import Invalid
from app.schemas.calendar_document import YearDocument, read_calendar, read_spans
from app.schemas.ladder import read_ladder
from app.schemas.limit import read_limit
from app.schemas.policy import read_policy
from app.validation import validated

LIMIT: dict[str, Any] = {"unit": "days", "amount": 3, "ends": "midnight", "count_first_day": True}
POLICY: dict[str, Any] = {
    "code": "noise", "version": 2, "name_zh": "噪音", "name_en": "Noise", "match": {"kind": ["complaint"]},
    "limits": {"complete": LIMIT}, "extension_days": 5, "extensions": 2, "return_days": 1, "max_returns": 1,
    "calendar": "cn", "valid_from": "2026-01-01T00:00:00Z", "valid_to": "2027-01-01T00:00:00Z",
}  # fmt: skip
CALENDAR: dict[str, Any] = {
    "time_zone": "Asia/Shanghai", "week": {"mon": [["09:00", "12:00"]]}, "days": {"2026-02-17": [["09:00", "10:00"]]},
    "published": [2026], "names": {"2026-02-17": "春节"},
}  # fmt: skip
LADDER = {**DEFAULT_LADDER.to_spec(), "rungs": DEFAULT_LADDER.to_spec()["rungs"][2:4]}
READERS: list[tuple[Callable[[object], object], dict[str, Any]]] = [
    (read_limit, LIMIT), (read_policy, POLICY), (read_calendar, CALENDAR), (read_ladder, LADDER),
]  # fmt: skip
WRONG: list[Any] = [
    5.5, -(10**400), float("nan"), float("-inf"), "\ud800", "x" * 70_000, {"a/b": {"~": [None]}}, [[[]]],
    date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), {"z": 2},
]  # fmt: skip


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in ``document``."""
    yield at
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from places(value, (*at, key))


def replaced(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copy = deepcopy(document)
    holder = copy
    for step in at[:-1]:
        holder = holder[step]
    holder[at[-1]] = value
    return copy


@pytest.mark.parametrize(("read", "document"), READERS, ids=lambda one: getattr(one, "__name__", ""))
def test_any_wrong_value_is_refused_at_its_place(read: Callable[[object], object], document: dict[str, Any]) -> None:
    read(document)
    tried = 0
    for at in places(document):
        for value in WRONG:
            try:
                read(replaced(document, at, value))
            except Invalid as refused:
                tried += 1
                for problem in refused.problems:
                    first = f"/{at[0]}" if at else ""
                    assert problem.pointer.startswith(first), (at, value, problem)
                    assert problem.en != "is not acceptable", (at, value, problem)
    assert tried > 10 * len(document)


def test_a_value_keeps_its_meaning_in_its_document() -> None:
    policy = read_policy(POLICY)
    assert policy.to_spec() == POLICY
    assert read_limit(LIMIT) == policy.limits["complete"] == Limit("days", 3, "midnight", count_first_day=True)
    assert read_ladder(LADDER).to_spec() == LADDER
    assert read_spans([["22:00", "06:00"], ["09:00:30", "12:00"]]) == ((32430, 43200), (79200, 108000))


def test_a_validity_may_end_in_the_year_9999() -> None:
    policy = read_policy({**POLICY, "valid_to": "9999-12-31T00:00:00Z"})
    assert policy.valid_to == datetime(9999, 12, 31, tzinfo=UTC)


def test_a_limit_of_zero_names_the_amount() -> None:
    with pytest.raises(Invalid) as refused:
        read_policy({"code": "x", "limits": {"accept": {**LIMIT, "amount": 0}}})
    assert [(p.pointer, p.zh, p.en) for p in refused.value.problems] == [
        ("/limits/accept/amount", "应大于 0", "must be above 0")
    ]


def test_an_offset_ends_at_the_same_time_by_default() -> None:
    rungs = [{"code": "a", "target": "complete", "offset": {"unit": "days", "amount": -1}}]
    ladder = read_ladder({"code": "x", "rungs": rungs})
    assert ladder.rungs[0].offset == Limit("days", -1, "same_time")


def test_days_outside_the_year_are_named() -> None:
    content = {"days": {"2026-01-01": [], "2027-01-01": None}, "names": {"2025-01-01": "元旦"}}
    year = validated(YearDocument.model_validate, content)
    with pytest.raises(Invalid) as refused:
        year.check_year(2026)
    assert [p.pointer for p in refused.value.problems] == ["/days/2027-01-01", "/names/2025-01-01"]
