"""Records of an upstream, whatever they are: each becomes a ticket or a reject, and none brings the page down."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.connectors.registry import load_spec
from ingest.devtools.simulator.forms import hotline_form, open311_form, platform_form
from ingest.devtools.simulator.world import Item
from ingest.feeds.records import RecordReader

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
ITEM = Item(1, "S1", "路灯不亮", 1, NOW, NOW)
FORMS = {"hotline12345": hotline_form, "sulaiban": platform_form, "open311": open311_form}
READERS = {name: RecordReader(load_spec(name)) for name in FORMS}

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=12)
    | st.sampled_from(["\ud800", "\0", "2026-02-30 00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "x" * 70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMS))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_record_with_anything_anywhere_is_a_ticket_or_a_reject(name: str, data: st.DataObject) -> None:
    record: Any = FORMS[name](ITEM)
    for key in data.draw(st.lists(st.sampled_from(sorted(record)), max_size=4)):
        record[key] = data.draw(anything)
    if data.draw(st.integers(0, 9)) == 0:
        record = data.draw(anything)
    (said,) = READERS[name].page([record], NOW)
    assert (said.ticket is None) == bool(said.errors)
    assert "\0" not in said.raw
    said.raw.encode("utf-8")  # as any database keeps it
    assert said.external_id is None or 0 < len(said.external_id.encode("utf-8")) <= 4 * 64
    assert READERS[name].updated_at_of_raw(said.raw, NOW) == said.updated_at


@pytest.mark.parametrize(
    "record",
    [{"id": "a\ud800b", "subject": None}, {"id": 10**30, "x": 2**70}, {"id": "1", "n": [[[[[]]]]], "f": 1e300}],
)
def test_a_refused_record_is_kept_as_json_that_can_be_read_again(record: dict[str, Any]) -> None:
    (said,) = READERS["sulaiban"].page([record], NOW)
    assert said.ticket is None
    assert json.loads(said.raw) == record
    said.raw.encode("utf-8")


def test_equal_records_count_once_and_older_versions_come_first() -> None:
    new, old = ({**platform_form(ITEM), "modified": f"2026-03-01T0{n}:00:00Z"} for n in (5, 3))
    found = READERS["sulaiban"].page([new, old, new], NOW)
    assert [said.updated_at and said.updated_at.hour for said in found] == [3, 5]


def test_an_invalid_record_is_identified_by_its_id_if_any() -> None:
    records = [{"id": 7}, {"id": " A7 "}, {"id": ""}, {"id": "x" * 65}, {"id": {"a": 1}}, {"id": True}, "A8", None]
    found = READERS["sulaiban"].page(records, NOW)
    assert [said.external_id for said in found] == ["7", "A7", None, None, None, "true", None, None]
