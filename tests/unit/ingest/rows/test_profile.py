"""Profiles and what they make of rows. The rows are invented; the cities' own files are read in ``tests/real``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.errors import Invalid, NotFound
from ingest.formats.base import SourceRow
from ingest.rows.mapper import Mapper, fitting_code
from ingest.rows.profile import Profile, column_key, list_profiles, load_profile, parse_profile
from ingest.rows.ticket_in import HistoricalTicket, NewNode
from ingest.rows.validate import MappedRow, RejectedRow, map_rows, open_mapped

LEAST = """
name = "x"
title = { zh = "某市", en = "Some city" }
source = { code = "x", zh = "某市", en = "Some city" }
time_zone = "Asia/Shanghai"
missing = ["-"]
[fields]
external_id = "id"
title = ["title", "subject"]
"""


def profile(more: str = "") -> Profile:
    """The least profile there can be, with ``more``."""
    return parse_profile(LEAST + more)


def mapped(of: Profile, row: dict[str, Any]) -> HistoricalTicket:
    """The ticket that ``of`` makes of one row."""
    found = Mapper(of, list(row)).map(SourceRow(1, list(row.values())))
    assert isinstance(found, HistoricalTicket), found
    return found


def refused(of: Profile, row: dict[str, Any]) -> dict[str, str]:
    """Pointer → code of what is wrong with one row."""
    found = Mapper(of, list(row)).map(SourceRow(1, list(row.values())))
    assert isinstance(found, tuple), found
    return {problem.pointer: problem.code for problem in found}


def test_the_bundled_profiles_are_sound() -> None:
    found = {each.name: each for each in list_profiles()}
    assert list(found) == ["baltimore311", "boston311", "duban", "pingshan"]
    for name, each in found.items():
        assert each == load_profile(name)
        assert each.title.zh
        assert each.title.en


def test_a_profile_can_be_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(LEAST, encoding="utf-8")
    assert load_profile(str(path)).name == "x"
    assert load_profile("mine", [tmp_path]).name == "x"
    with pytest.raises(NotFound, match="baltimore311, boston311, duban, mine, pingshan"):
        load_profile("nowhere", [tmp_path])
    with pytest.raises(NotFound):
        load_profile(str(tmp_path / "absent.toml"))


@pytest.mark.parametrize(
    ("more", "pointer", "words"),
    [
        ("x = ", "", "TOML"),
        ('colour = "id"', "", "colour"),
        ('[values.colour]\n"a" = "b"', "", "colour"),
        ("[unit]\nlevels = []", "/unit/levels", ""),
        ("[unit]\nlevels = [{}]", "/unit/levels/0", "code column or a name column"),
        ('unit = "u"\n[unit]\nlevels = [{ name = "u" }]', "", "both as a field and as a tree"),
        ("[mapping]", "/mapping", "unknown field"),
        ('kind = { columns = ["a"], join = ["b"] }', "/fields/kind", "either columns"),
        ('[verdict]\non_time = { column = "a", is = [] }', "/verdict/late", "required"),
    ],
)
def test_a_mistake_in_a_profile_is_named_at_its_place(more: str, pointer: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        profile(more)
    assert any(found.pointer == pointer and words in found.en for found in caught.value.problems), caught.value


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ('"Asia/Shanghai"', '"Asia/Atlantis"', "/time_zone"),
        ('"Asia/Shanghai"', '"../etc"', "/time_zone"),
        ('missing = ["-"]', 'times = ["%Y-%Q"]', "/times"),
        ('name = "x"', 'name = "../x"', "/name"),
        ('external_id = "id"', "", ""),
    ],
)
def test_a_profile_needs_a_name_a_zone_times_and_the_two_fields(old: str, new: str, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_profile(LEAST.replace(old, new, 1))
    assert pointer in {found.pointer for found in caught.value.problems}


def test_a_file_without_required_columns_is_refused_with_its_own() -> None:
    with pytest.raises(Invalid, match=r"no column title / subject; it has: id, name"):
        Mapper(profile(), ["id", "name"])


def test_columns_are_found_by_any_name_order_width_or_case() -> None:
    assert mapped(profile(), {"x": "?", "ＳＵＢＪＥＣＴ ": "噪声", " Id": "7"}).title == "噪声"
    assert mapped(profile(), {"id": "7", "subject": "b", "title": "a"}).title == "a"


def test_a_spaced_or_wrapped_heading_is_the_same_heading() -> None:
    ticket = mapped(load_profile("duban"), {"编\n号": "1", "标　　题": "路灯", "姓 名": "张三"})
    assert (ticket.external_id, ticket.title, ticket.reporter and ticket.reporter.name) == ("1", "路灯", "张三")
    assert column_key("Case  ID") == column_key("case id") != column_key("caseid")


def test_headings_and_words_in_traditional_chinese_are_read() -> None:
    ticket = mapped(load_profile("duban"), {"編號": "1", "標題": "路燈不亮", "類型": "投訴", "受理時間": "2026-01-05"})
    assert (ticket.external_id, ticket.kind) == ("1", "complaint")
    assert ticket.received_at == datetime(2026, 1, 4, 16, tzinfo=UTC)


@pytest.mark.parametrize("word", ["合计", "总计", " 小计 ", "合計"])
def test_a_row_that_adds_up_the_others_is_no_ticket(word: str) -> None:
    assert refused(load_profile("duban"), {"编号": word, "标题": "12"}) == {"/external_id": "row_of_sums"}


def test_nothing_is_nothing_however_it_is_written() -> None:
    of = profile('address = "a"\ncontent = "c"\nlatitude = { columns = ["l"], missing = ["0"] }')
    ticket = mapped(of, {"id": "1", "title": "t", "a": " ", "c": "-", "l": "0"})
    assert (ticket.address, ticket.content, ticket.latitude) == (None, None, None)


def test_values_are_translated_and_unknown_ones_list_the_known() -> None:
    of = profile('kind = "k"\n[values.kind]\n"来访" = "help"\n"表扬" = "praise"')
    assert mapped(of, {"id": "1", "title": "t", "k": "来访"}).kind == "help"
    assert mapped(of, {"id": "1", "title": "t", "k": "help"}).kind == "help"
    assert mapped(of, {"id": "1", "title": "t", "k": "-"}).kind is None
    assert refused(of, {"id": "1", "title": "t", "k": "牢骚"}) == {"/kind": "value_unknown"}


def test_a_star_stands_for_every_other_value() -> None:
    of = profile('kind = "k"\n[values.kind]\n"来访" = "help"\n"*" = "consult"')
    assert mapped(of, {"id": "1", "title": "t", "k": "其他"}).kind == "consult"


def test_everything_wrong_with_a_row_is_told_with_its_columns() -> None:
    of = profile('received_at = "t0"\nlatitude = "lat"\nlongitude = "lon"\ncontent = "c"')
    row = {"id": "", "title": "t", "t0": "yesterday", "lat": "north", "lon": "181", "c": "a\0b"}
    assert refused(of, row) == {
        "/received_at": "moment_written",
        "/latitude": "float_parsing",
        "/external_id": "missing",
        "/content": "string_pattern_mismatch",
        "/longitude": "less_than_equal",
    }
    found = Mapper(of, list(row)).map(SourceRow(1, list(row.values())))
    assert isinstance(found, tuple)
    assert "(column t0)" in found[0].en
    assert "（列 t0）" in found[0].zh


def test_numbers_of_a_spreadsheet_do_as_identifiers() -> None:
    assert mapped(profile(), {"id": 20180704.0, "title": "t"}).external_id == "20180704"
    assert mapped(profile(), {"id": "１２３", "title": "t"}).external_id == "123"


def test_each_json_object_may_use_another_of_several_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_text(
        '{"编号": "1", "标题": "甲", "受理时间": "2026-01-05 09:00"}\n'
        '{"external_id": "2", "title": "乙", "标题": "", "kind": "投诉"}\n',
        encoding="utf-8",
    )
    with open_mapped(path, load_profile("duban")) as source:
        rows = list(map_rows(source))
    tickets = [row.ticket for row in rows if isinstance(row, MappedRow)]
    rejects = [row for row in rows if isinstance(row, RejectedRow)]
    assert rejects == []
    assert [(t.external_id, t.title, t.kind, t.received_at is not None) for t in tickets] == [
        ("1", "甲", None, True),
        ("2", "乙", "complaint", False),
    ]


def test_an_empty_code_omits_the_field() -> None:
    of = profile('kind = "k"\n[values.kind]\n"来访" = "help"\n"其他" = ""')
    assert mapped(of, {"id": "1", "title": "t", "k": "其他"}).kind is None
    assert refused(of, {"id": "1", "title": "t", "k": "来信"}) == {"/kind": "value_unknown"}
    of = profile('kind = "k"\n[values.kind]\n"来访" = "help"\n"*" = ""')
    assert mapped(of, {"id": "1", "title": "t", "k": "来信"}).kind is None


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({}, "received"),
        ({"派": "2026-01-01 09:00"}, "dispatched"),
        ({"派": "2026-01-01 09:00", "结": "2026-01-02 09:00"}, "completed"),
        ({"结": "2026-01-02 09:00", "档": "2026-01-03 09:00"}, "closed"),
        ({"结": "2026-01-02 09:00", "废": "2026-01-03 09:00"}, "void"),
        ({"结": "2026-01-02 09:00", "态": "办理中"}, "accepted"),
    ],
)
def test_a_row_without_a_status_stands_where_its_moments_tell(row: dict[str, str], status: str) -> None:
    of = profile(
        'dispatched_at = "派"\ncompleted_at = "结"\nclosed_at = "档"\nvoided_at = "废"\nstatus = "态"\n'
        '[values.status]\n"办理中" = "accepted"'
    ).model_copy(update={"status_from_times": True})
    ticket = mapped(of, {"id": "1", "title": "t", "派": "", "结": "", "档": "", "废": "", "态": "", **row})
    assert ticket.status == status
    assert (ticket.completed_at is not None) == (status in ("completed", "closed"))


def test_a_shortened_composite_identifier_stays_unique() -> None:
    of = parse_profile(LEAST.replace('"id"', '{ join = ["id", "subject"], shorten = true }'))
    one, other = (mapped(of, {"id": "1", "title": "t", "subject": "长" * 80 + end}).external_id for end in "ab")
    assert one != other
    assert max(map(len, (one, other))) <= 64


def test_a_long_title_is_refused_or_shortened_without_loss() -> None:
    long = "长" * 300
    assert refused(profile(), {"id": "1", "title": long}) == {"/title": "string_too_long"}
    of = parse_profile(LEAST.replace('["title", "subject"]', '{ columns = ["title"], shorten = true }'))
    ticket = mapped(of, {"id": "1", "title": long})
    assert (ticket.title, ticket.content) == ("长" * 199 + "…", long)


def test_joined_columns_skip_empty_and_repeated_values() -> None:
    of = parse_profile(LEAST.replace('["title", "subject"]', '{ join = ["a", "b", "c"], separator = " / " }'))
    assert mapped(of, {"id": "1", "a": "环卫", "b": "-", "c": "垃圾"}).title == "环卫 / 垃圾"
    assert mapped(of, {"id": "1", "a": "环卫", "b": "环卫"}).title == "环卫"


UNITS = '[unit]\nlevels = [{ code = "uid", name = "uname" }]'


def test_spellings_of_one_unit_are_merged_under_the_first() -> None:
    mapper = Mapper(profile(UNITS), ["id", "title", "uid", "uname"])
    names = []
    for cells in (
        ["1", "t", "8", "-"],
        ["2", "t", "8", "城管办"],
        ["3", "t", "8", "城管办（甲街道）"],
        ["4", "t", "9", "城管办"],
    ):
        found = mapper.map(SourceRow(1, cells))
        assert isinstance(found, HistoricalTicket)
        names.append((found.unit, found.unit_path[-1].name))
    assert names == [("8", "8"), ("8", "城管办"), ("8", "城管办"), ("9", "城管办")]


def test_a_tree_starts_at_the_root_and_skips_missing_levels() -> None:
    of = profile('[grid]\nlevels = [{ code = "d", name = "dn" }, { code = "s" }, { name = "c" }]')
    row = {"id": "1", "title": "t", "d": "1", "dn": "某区", "s": "-", "c": "南社区"}
    ticket = mapped(of, row)
    assert ticket.grid == "南社区"
    assert ticket.grid_path == (NewNode("1", "某区"), NewNode("南社区", "南社区"))
    assert mapped(of, {**row, "d": "", "dn": "", "c": "-"}).grid is None


def test_codes_unique_only_under_their_parent_include_it() -> None:
    of = profile('[category]\ncodes = "path"\nlevels = [{ code = "m" }, { code = "s", name = "sn" }]')
    assert mapped(of, {"id": "1", "title": "t", "m": "178", "s": "602", "sn": "甲"}).category == "178/602"
    assert mapped(of, {"id": "1", "title": "t", "m": "181", "s": "602", "sn": "乙"}).category == "181/602"


def test_a_code_too_long_keeps_its_beginning_and_stays_unique() -> None:
    one, two = fitting_code("长" * 70 + "a"), fitting_code("长" * 70 + "b")
    assert len(one) == len(two) == 64
    assert one != two
    assert fitting_code("x" * 64) == "x" * 64


FLAGS = """
[verdict]
on_time = { column = "in", is = ["1"] }
late = { column = "over", is = ["1"] }
"""


@pytest.mark.parametrize(
    ("on_time", "late", "status", "verdict"),
    [("1", "0", "completed", "on_time"), ("0", "1", "completed", "late"), ("-", "-", "dispatched", None)],
)
def test_flags_without_times_complete_a_ticket_with_a_verdict(
    on_time: str, late: str, status: str, verdict: str | None
) -> None:
    of = profile(FLAGS + 'use = "rest"\ncompletes = true\notherwise = "dispatched"')
    ticket = mapped(of, {"id": "1", "title": "t", "in": on_time, "over": late})
    assert (ticket.status, ticket.source_verdict, ticket.verdict()) == (status, verdict, verdict)


def test_both_flags_at_once_are_refused() -> None:
    of = profile(FLAGS + 'use = "rest"')
    assert refused(of, {"id": "1", "title": "t", "in": "1", "over": "1"}) == {"/source_flag": "verdict_both"}


@pytest.mark.parametrize("due", ["2016-01-05 03:30:00", " "])
@pytest.mark.parametrize(
    ("header", "flag"), [(("sla_target_dt", "on_time"), "ONTIME"), (("target_dt", "ontime"), "ONTIME")]
)
def test_boston_is_read_under_both_headers_without_its_flag(header: tuple[str, str], flag: str, due: str) -> None:
    row = {
        "case_enquiry_id": "1", "case_title": "t", "open_dt": "2016-01-01 12:00:00", header[0]: due,
        "closed_dt": "2016-01-02 00:00:00", header[1]: flag, "case_status": "Closed", "closure_reason": " ",
    }  # fmt: skip
    ticket = mapped(load_profile("boston311"), row)
    assert ticket.received_at == datetime(2016, 1, 1, 17, tzinfo=UTC)
    assert (ticket.source_flag, ticket.source_verdict, ticket.result) == ("on_time", None, None)
    assert ticket.verdict() == ("on_time" if due.strip() else None)


@pytest.mark.parametrize(
    ("status", "expected", "closing"),
    [
        ("Closed", "closed", True), ("Closed (Duplicate)", "closed", True), ("Closed (Transferred)", "closed", True),
        ("Open", "dispatched", False), ("Pending", "dispatched", False), ("In Progress", "accepted", False),
        ("New", "received", False), ("New (Duplicate)", "void", False), ("Open (Duplicate)", "void", False),
    ],
)  # fmt: skip
def test_a_baltimore_duplicate_is_void_only_if_never_closed(status: str, expected: str, closing: bool) -> None:
    row = {
        "ServiceRequestNum": "18-1", "SRType": "SW-Dirty Alley", "CreatedDate": "04/12/2018 11:11:26 AM",
        "SRStatus": status, "StatusDate": "04/12/2018 12:45:48 PM", "DueDate": "04/13/2018 11:11:26 AM",
        "CloseDate": "04/13/2018 11:11:26 AM" if closing else "",
    }  # fmt: skip
    ticket = mapped(load_profile("baltimore311"), row)
    assert ticket.status == expected
    assert ticket.verdict() == ("on_time" if closing else None)
    assert (ticket.voided_at is not None) == (expected == "void")
    assert ticket.received_at == datetime(2018, 4, 12, 15, 11, 26, tzinfo=UTC)


def test_a_closing_time_on_an_open_ticket_does_not_close_it() -> None:
    row = {"编号": "1", "标题": "t", "状态": "办理中", "办结时间": "2026-03-02 09:30", "作废时间": "2026-03-03"}
    ticket = mapped(load_profile("duban"), row)
    assert (ticket.status, ticket.completed_at, ticket.voided_at) == ("accepted", None, None)
    assert ticket.attributes == {"办结时间": "2026-03-02 09:30", "作废时间": "2026-03-03"}


CHINESE = {
    "工单编号": "A1", "标题": "夜间噪声", "内容": "连续三晚", "诉求类型": "投诉", "优先级": "紧急",
    "受理时间": "2026年3月2日 9时30分",
    "姓名": "张三", "联系电话": "１３８", "事发地址": "人民路", "承办单位": "U1", "纬度": "33", "热线渠道": "微信",
}  # fmt: skip
ENGLISH = {
    "external_id": "A1", "title": "夜间噪声", "content": "连续三晚", "kind": "complaint", "priority": "urgent",
    "received_at": "2026-03-02T01:30:00Z", "reporter.name": "张三", "reporter.phone": "138", "address": "人民路", "unit": "U1",
    "latitude": "33", "热线渠道": "微信",
}  # fmt: skip


def test_own_columns_are_read_in_both_languages_keeping_the_rest() -> None:
    of = load_profile("duban")
    ticket = mapped(of, CHINESE)
    assert ticket == mapped(of, ENGLISH)
    assert ticket.reporter is not None
    assert (ticket.kind, ticket.reporter.phone, ticket.attributes) == ("complaint", "138", {"热线渠道": "微信"})
    assert ticket.received_at == datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


def file_of(folder: Path, rows: Sequence[str], name: str = "x.csv") -> Path:
    """A file of these lines."""
    path = folder / name
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_a_pushed_ticket_in_a_json_file_is_read_unchanged(tmp_path: Path) -> None:
    line = (
        '{"external_id": "A1", "title": "t", "reporter": {"phone": "1"}, "latitude": 3.5, '
        '"attributes": {"a": {"b": 1}}, "extra": [1]}'
    )
    with open_mapped(file_of(tmp_path, [line]), load_profile("duban")) as source:
        (found,) = map_rows(source)
    assert isinstance(found, MappedRow)
    assert found.ticket.reporter is not None
    assert (found.ticket.reporter.phone, found.ticket.latitude) == ("1", 3.5)
    assert found.ticket.attributes == {"a": {"b": 1}, "extra": [1]}


def test_every_reject_keeps_row_number_reason_and_text(tmp_path: Path) -> None:
    lines = ["编号,标题,受理时间", "1,甲,2026-03-02", "2,乙", ",丙,", '4,"丁', "5,戊,明天", "6,己,2026-03-02 09:30"]
    with open_mapped(file_of(tmp_path, lines), load_profile("duban")) as source:
        rows = list(map_rows(source))
    tickets = [row.ticket for row in rows if isinstance(row, MappedRow)]
    rejects = [row for row in rows if isinstance(row, RejectedRow)]
    assert [ticket.external_id for ticket in tickets] == ["1", "6"]
    assert [(each.row.number, each.errors[0].code) for each in rejects] == [
        (2, "column_count"), (3, "missing"), (4, "quote_unclosed"), (5, "moment_written"),
    ]  # fmt: skip
    assert "丙" in rejects[1].raw
    assert rejects[2].raw == '4,"丁\n'


def test_a_future_ticket_is_rejected_and_reading_resumes(tmp_path: Path) -> None:
    lines = ["编号,标题,受理时间", "1,甲,2026-03-02", "2,乙,2026-03-03", "3,丙,2026-03-04"]
    now = datetime(2026, 3, 3, tzinfo=UTC)
    with open_mapped(file_of(tmp_path, lines), load_profile("duban")) as source:
        first, second = map_rows(source, now=now, after=1)
    assert isinstance(first, MappedRow)
    assert isinstance(second, RejectedRow)
    assert [(found.pointer, found.code) for found in second.errors] == [("/received_at", "moment_future")]
