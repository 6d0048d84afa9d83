"""The reporter in the raw row of a reject: found by the profile that read it, masked, and what nobody can tell hidden whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.connectors.registry import load_spec
from ingest.rejects.masked_rows import UNREADABLE, RawRow, mask_row
from ingest.rows.profile import load_profile

DUBAN = load_profile("duban")


@pytest.mark.parametrize(
    ("why", "row", "held", "masked"),
    [
        ("a pushed row", {"title": "x", "reporter": {"name": "张三丰", "phone": "13812345678"}}, ("name", "phone"),
         {"title": "x", "reporter": {"name": "张**", "phone": "138****5678"}}),
        ("a phone that came as a number", {"reporter": {"phone": 13812345678}}, ("phone",),
         {"reporter": {"phone": "138****5678"}}),
        ("a member that no reporter has", {"reporter": {"wechat": "zsf"}}, ("name", "phone", "id_number"),
         {"reporter": {"wechat": "***"}}),
        ("a reporter that is no object", {"reporter": "张三丰 13812345678"}, ("name", "phone", "id_number"),
         {"reporter": "***"}),
        ("a name that is no text", {"reporter": {"name": ["张三丰"]}}, ("name",), {"reporter": {"name": "***"}}),
    ],
)  # fmt: skip
def test_of_a_pushed_row_the_reporter_is_masked(why: str, row: Any, held: tuple[str, ...], masked: Any) -> None:
    found = mask_row(json.dumps(row), None)
    assert found.personal == held, why
    assert json.loads(found.masked or "") == masked, why


def test_a_row_without_a_reporter_is_left_as_it_came() -> None:
    for raw in ('{"title":"x"}', '{"title": "x", "reporter": null}', '{"reporter": {"name": ""}}'):
        assert mask_row(raw, None) == RawRow((), raw)


def test_file_columns_are_recognised_by_profile_in_any_spelling() -> None:
    found = mask_row(json.dumps({"编号": "1", "姓　名": "张三丰", "联系电话": "13812345678", "备注": "张"}), DUBAN)
    assert found.personal == ("name", "phone")
    assert json.loads(found.masked or "") == {"编号": "1", "姓　名": "张**", "联系电话": "138****5678", "备注": "张"}


def test_feed_records_are_recognised_by_mapping_even_nested() -> None:
    profile = load_spec("hotline12345").profile()
    (path,) = (name.split(".") for name in profile.fields["reporter.phone"].columns[:1])
    row: Any = "13812345678"
    for step in reversed(path):
        row = {step: row}
    found = mask_row(json.dumps(row), profile)
    assert found.personal == ("phone",)
    assert "13812345678" not in (found.masked or "13812345678")


@pytest.mark.parametrize("raw", ["1,路灯,张三丰", '["1", "张三丰"]', '{"broken', '"张三丰"', "[" * 100_000])
def test_data_without_field_names_is_masked_completely(raw: str) -> None:
    assert mask_row(raw, DUBAN) == mask_row(raw, None) == UNREADABLE
