"""The ticket as pushed: what is taken, what is refused, where and in which words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequest, DubanError, Invalid
from ingest.rows.ticket_in import (
    ATTRIBUTES_BYTES,
    CLOCK_TOLERANCE,
    KIND_WORDS,
    HistoricalTicket,
    TicketIn,
    canonical,
    differing_fields,
    fingerprint,
    validate_ticket,
)

LEAST: dict[str, Any] = {"external_id": "A-1", "title": "夜间施工噪声"}


def refused(content: dict[str, Any] | bytes | str) -> dict[str, str]:
    """Pointer → code of each problem of ``content``, which must have some."""
    with pytest.raises(Invalid) as caught:
        validate_ticket(content)
    for found in caught.value.problems:
        assert found.zh
        assert found.en
        assert "{" not in found.en.replace("{…}", "")
    return {found.pointer: found.code for found in caught.value.problems}


def test_an_identifier_and_a_title_are_enough() -> None:
    ticket = validate_ticket(LEAST)
    assert (ticket.external_id, ticket.priority, ticket.kind) == ("A-1", "normal", None)


def test_a_full_ticket_is_taken_as_the_contract_has_it() -> None:
    raw = {
        **LEAST,
        "content": "连续三晚",
        "kind": "complaint",
        "category": "noise",
        "priority": "urgent",
        "severity": "major",
        "received_at": "2026-09-25T17:40:00+08:00",
        "source_due_at": "2026-09-30T09:00:00Z",
        "reporter": {"name": "张三", "phone": "13800000000", "id_number": "X"},
        "address": "人民路 1 号",
        "latitude": 33,
        "longitude": 117.5,
        "grid": "G1",
        "unit": "U1",
        "parent_external_id": "A-0",
        "attributes": {"channel": "app", "tags": ["a", 1, None, True, {"deep": 1.5}]},
    }
    ticket = validate_ticket(json.dumps(raw).encode())
    assert ticket == validate_ticket(json.dumps(raw)) == validate_ticket(raw)
    assert ticket.received_at == datetime(2026, 9, 25, 9, 40, tzinfo=UTC)
    assert ticket.reporter is not None
    assert ticket.reporter.phone == "13800000000"
    assert ticket.latitude == 33.0


@pytest.mark.parametrize(("word", "kind"), KIND_WORDS.items())
def test_kinds_are_taken_in_chinese_and_in_english(word: str, kind: str) -> None:
    assert validate_ticket({**LEAST, "kind": word}).kind == validate_ticket({**LEAST, "kind": kind}).kind == kind


def test_text_is_stripped_and_empty_text_is_none() -> None:
    ticket = validate_ticket({"external_id": " A-1\n", "title": "\u3000噪声 ", "content": "  ", "address": ""})
    assert (ticket.external_id, ticket.title, ticket.content, ticket.address) == ("A-1", "噪声", None, None)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("external_id", "", "string_too_short"),
        ("external_id", "x" * 65, "string_too_long"),
        ("external_id", 7, "string_type"),
        ("external_id", None, "string_type"),
        ("title", " \t\n", "string_too_short"),
        ("title", "题" * 201, "string_too_long"),
        ("title", "a\0b", "string_pattern_mismatch"),
        ("title", "a\ud800b", "string_unicode"),
        ("content", "字" * 10_001, "string_too_long"),
        ("kind", "grumble", "literal_error"),
        ("priority", "high", "literal_error"),
        ("severity", "大", "literal_error"),
        ("received_at", "2026-03-02T09:30:00", "moment_naive"),
        ("received_at", "2026-03-02", "moment_format"),
        ("received_at", "yesterday", "moment_format"),
        ("received_at", 1_790_000_000, "moment_type"),
        ("received_at", "1790000000", "moment_format"),
        ("received_at", "2026-02-29T00:00:00Z", "moment_impossible"),
        ("received_at", "2026-03-02T24:30:00Z", "moment_impossible"),
        ("received_at", "0001-01-01T00:00:00+14:00", "moment_range"),
        ("source_due_at", "9999-12-31T23:59:59-12:00", "moment_range"),
        ("latitude", 90.01, "less_than_equal"),
        ("latitude", -90.01, "greater_than_equal"),
        ("longitude", 180.5, "less_than_equal"),
        ("latitude", float("nan"), "finite_number"),
        ("longitude", float("inf"), "finite_number"),
        ("latitude", "33", "float_type"),
        ("latitude", True, "float_type"),
        ("reporter", "张三", "model_type"),
        ("attributes", [], "dict_type"),
        ("recieved_at", "2026-03-02T09:30:00Z", "extra_forbidden"),
    ],
)
def test_each_field_refuses_what_it_cannot_hold(field: str, value: object, code: str) -> None:
    content = {**LEAST, field: value}
    assert refused(content) == {f"/{field}": code}
    if not (isinstance(value, float) or (isinstance(value, str) and "\ud800" in value)):
        assert refused(json.dumps(content).encode()) == {f"/{field}": code}


def test_the_longest_that_fits_is_taken() -> None:
    ticket = validate_ticket({"external_id": "x" * 64, "title": "题" * 200, "content": "字" * 10_000})
    assert ticket.content is not None
    assert (len(ticket.external_id), len(ticket.title), len(ticket.content)) == (64, 200, 10_000)


def test_every_problem_is_told_at_once_and_at_its_place() -> None:
    found = refused(
        b'{"title": "", "reporter": {"nmae": "x"}, "latitude": NaN, "attributes": {"a/b": [1, {"~": 1e999}]}}'
    )
    assert found == {
        "/external_id": "missing",
        "/title": "string_too_short",
        "/reporter/nmae": "extra_forbidden",
        "/latitude": "finite_number",
        "/attributes/a~1b/1/~0": "attributes_number",
    }


def test_a_misspelt_field_is_answered_with_the_right_spelling() -> None:
    with pytest.raises(Invalid, match="did you mean received_at"):
        validate_ticket({**LEAST, "recieved_at": "2026-03-02T09:30:00Z"})


def test_a_lone_surrogate_in_a_json_escape_is_named_by_its_field() -> None:
    assert refused(b'{"external_id": "1", "title": "\\ud83d"}') == {"/title": "string_unicode"}
    assert validate_ticket(b'{"external_id": "1", "title": "\\ud83d\\ude00"}').title == "😀"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b'{"external_id": 1,}', b"[" * 100_000, b"1" * 5_000 + b"x", "{'a': 1}"]
)
def test_what_is_not_json_at_all_is_a_bad_request(raw: bytes | str) -> None:
    with pytest.raises(BadRequest):
        validate_ticket(raw)


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"null", b"12"])
def test_json_that_is_no_object_is_refused_as_a_whole(raw: bytes) -> None:
    assert refused(raw) == {"": "model_type"}


def nested(levels: int) -> dict[str, Any]:
    """An object of objects, ``levels`` deep."""
    content: dict[str, Any] = {}
    for _ in range(levels - 1):
        content = {"a": content}
    return content


def test_attributes_may_be_five_levels_deep_and_not_six() -> None:
    assert validate_ticket({**LEAST, "attributes": nested(5)}).attributes == nested(5)
    assert refused({**LEAST, "attributes": nested(6)}) == {"/attributes": "attributes_depth"}
    assert refused(json.dumps({**LEAST, "attributes": nested(900)}).encode()) == {"/attributes": "attributes_depth"}


def test_attributes_are_limited_to_sixteen_kibibytes() -> None:
    room = ATTRIBUTES_BYTES - len('{"a":""}')
    assert validate_ticket({**LEAST, "attributes": {"a": "x" * room}}).attributes
    assert refused({**LEAST, "attributes": {"a": "x" * (room + 1)}}) == {"/attributes": "attributes_size"}


@pytest.mark.parametrize(
    ("attributes", "where", "code"),
    [
        ({"a": "x\0"}, "/attributes/a", "string_pattern_mismatch"),
        ({"a\0": "x"}, "/attributes", "string_pattern_mismatch"),
        ({"a": ["\udc80"]}, "/attributes/a/0", "string_unicode"),
        ({"a": 2**64}, "/attributes/a", "attributes_number"),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "/attributes/a", "attributes_type"),
    ],
)
def test_attributes_refuse_what_a_database_could_not_keep(attributes: dict[str, Any], where: str, code: str) -> None:
    assert refused({**LEAST, "attributes": attributes}) == {where: code}


def test_a_future_time_is_accepted_within_the_tolerance_only() -> None:
    now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    edge = now + CLOCK_TOLERANCE
    assert validate_ticket({**LEAST, "received_at": edge.isoformat()}, now=now).received_at == edge
    with pytest.raises(Invalid) as caught:
        validate_ticket({**LEAST, "received_at": (edge + timedelta(seconds=1)).isoformat()}, now=now)
    assert [found.pointer for found in caught.value.problems] == ["/received_at"]


@pytest.mark.parametrize(
    "change",
    [
        {"priority": "normal"},
        {"priority": None},
        {"content": None},
        {"content": " "},
        {"attributes": {}},
        {"reporter": {"name": ""}},
        {"title": " 夜间施工噪声\n"},
    ],
)
def test_the_same_said_differently_is_the_same_content(change: dict[str, Any]) -> None:
    assert fingerprint(validate_ticket({**LEAST, **change})) == fingerprint(validate_ticket(LEAST))


def test_one_moment_in_two_offsets_is_the_same_content() -> None:
    one = validate_ticket({**LEAST, "received_at": "2026-03-02T09:30:00+08:00", "kind": "投诉"})
    two = validate_ticket({"kind": "complaint", "received_at": "2026-03-02T01:30:00.000Z", **LEAST})
    assert fingerprint(one) == fingerprint(two)
    assert differing_fields(one, two) == []


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"title": "白天施工噪声"}, ["title"]),
        ({"reporter": {"phone": "1"}}, ["reporter.phone"]),
        ({"attributes": {"a": 1}, "kind": "help"}, ["attributes", "kind"]),
        ({"latitude": 1.5, "received_at": "2026-03-02T01:30:00Z"}, ["latitude", "received_at"]),
    ],
)
def test_changed_content_changes_the_fingerprint_by_field(change: dict[str, Any], names: list[str]) -> None:
    one, two = validate_ticket(LEAST), validate_ticket({**LEAST, **change})
    assert fingerprint(one) != fingerprint(two)
    assert differing_fields(one, two) == differing_fields(canonical(two), one) == names


def test_history_prefers_a_verdict_from_times_to_the_sources() -> None:
    past = {**LEAST, "status": "closed", "source_verdict": "late"}
    due, done = "2020-01-03T00:00:00Z", "2020-01-03T00:00:00Z"
    timed = HistoricalTicket.model_validate({**past, "source_due_at": due, "completed_at": done})
    assert timed.verdict() == "on_time"  # exactly at the deadline is on time
    late = HistoricalTicket.model_validate({**past, "source_due_at": due, "completed_at": "2020-01-03T00:00:01Z"})
    assert late.verdict() == "late"
    assert HistoricalTicket.model_validate(past).verdict() == "late"
    assert HistoricalTicket.model_validate({**past, "status": "accepted"}).verdict() is None


names = st.sampled_from([*TicketIn.model_fields, "x"]) | st.text(max_size=3)
leaves = st.none() | st.booleans() | st.floats() | st.integers() | st.text()
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


@given(documents)
def test_no_json_value_brings_validation_down(value: Any) -> None:
    try:
        answer = fingerprint(validate_ticket(json.dumps(value)))
    except DubanError as error:
        answer = error.message.zh + error.message.en
    assert answer
