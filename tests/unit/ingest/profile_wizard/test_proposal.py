"""A mapping proposed for a file that nobody has described: headings, values, the draft, the preview, the profile saved."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import xlsxwriter

from app.errors import BadRequest, Conflict, Invalid, NotFound
from ingest.profile_wizard.draft import Identity, ProfileDraft, document_of, draft_of, profile_of
from ingest.profile_wizard.preview import preview
from ingest.profile_wizard.proposal import MappingProposal, propose
from ingest.profile_wizard.sampling import read_sample
from ingest.profile_wizard.saved import named_profile, save_profile, saved_profiles, toml_of
from ingest.profile_wizard.sniffing import formats_of, is_id_number
from ingest.profile_wizard.views import proposal_view, slug
from ingest.profile_wizard.vocabulary import code_of, match_heading
from ingest.profile_wizard.word_codes import uncoded_words, with_codes
from ingest.rows.profile import list_profiles, load_profile, parse_profile
from ingest.rows.values import MomentReader

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WHO = Identity("mycity", "某市", "Some city", "mycity", "某市", "Some city")
HEADER = (
    "信件编号", "来信人", "联系手机", "来信时间", "信件标题", "信件内容", "信件类型", "办理进度", "办结日期", "所属街道",
)  # fmt: skip
TEXT = "人民路口的路灯坏了一周，夜里走路看不清，请派人修理"
ROWS = [
    ("X-1", "张三", "13812345678", "2026/1/5 9:30", "路灯不亮", TEXT, "投诉", "已答复", "2026年1月7日", "东湖街道"),
    ("X-2", "李四", "-", "2026-01-06 10:00:00", "咨询社保", TEXT * 2, "咨询", "在办", "-", "西山街道"),
    ("X-3", "王五", "13912345678", "2026年1月6日 11时20分", "感谢社区", TEXT, "点赞", "待定", "", "东湖街道"),
]  # fmt: skip


def table(folder: Path, rows: Sequence[Sequence[Any]], name: str = "letters.csv", encoding: str = "utf-8") -> Path:
    """A CSV file with these rows."""
    path = folder / name
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def proposed(path: Path) -> MappingProposal:
    return propose(read_sample(path), "Asia/Shanghai")


def columns(found: MappingProposal) -> dict[str, str]:
    return {target: "+".join(guess.columns) for target, guess in found.guesses.items()}


# --------------------------------------------------------------------------------------------------- headings, words


@pytest.mark.parametrize(
    ("heading", "target"),
    [
        ("工单编号", "external_id"), ("工单编号（必填）", "external_id"), ("Service Request Number", "external_id"),
        ("ServiceRequestNum", "external_id"), ("case_enquiry_id", "external_id"), ("留言主题", "title"),
        ("诉求人姓名", "reporter.name"), ("诉求人 姓名", "reporter.name"),
        ("市民来电时间", "received_at"), ("时间 受理", "received_at"),
        ("OPEN_DT", "received_at"), ("Closed Date", "closed_at"), ("ＳＬＡ_target_dt", "source_due_at"),
        ("上级工单编号", "parent_external_id"), ("承办单位名称", "unit.1.name"), ("承办单位编码", "unit.1.code"),
        ("DISPOSE_UNIT_ID", "unit.1.code"), ("二级分类", "category.2.name"), ("SUB_TYPE_ID", "category.2.code"),
        ("所属街道", "grid.2.name"), ("群众满意度", "satisfaction"), ("答复意见", "result"), ("答复时间", "completed_at"),
    ],
)  # fmt: skip
def test_a_heading_is_known_in_many_spellings(heading: str, target: str) -> None:
    assert match_heading(heading)[0].target == target


@pytest.mark.parametrize("heading", ["点赞数", "REPORT_NUM", "column 7", "", "12345"])
def test_what_says_nothing_is_not_made_to_say_something(heading: str) -> None:
    assert match_heading(heading) == ()


@pytest.mark.parametrize(
    ("field", "word", "code"),
    [
        ("kind", "求决", "help"), ("kind", "投诉类", "complaint"), ("kind", "Complaint", "complaint"), ("kind", "其他", None),
        ("status", "办结归档", "closed"), ("status", "In Progress", "accepted"),
        ("satisfaction", "很不满意", "very_dissatisfied"),
        ("satisfaction", "满意", "satisfied"), ("satisfaction", "不满意", "dissatisfied"), ("priority", "特急", "emergency"),
        ("severity", "重大", "grave"), ("status", "complaint", None),
    ],
)  # fmt: skip
def test_a_word_maps_to_its_code_or_none_when_ambiguous(field: str, word: str, code: str | None) -> None:
    assert code_of(field, word) == code


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("cells", "formats"),
    [
        (["2020/1/6 12:09:38", "2018-12-26"], ("iso",)),
        (["2020年1月6日 12时09分", "2020-01-06"], ("iso", "%Y年%m月%d日 %H时%M分")),
        (["04/12/2018 11:11:26 AM"], ("%m/%d/%Y %I:%M:%S %p",)),
        (["4/12/2018 11:11", "12/25/2018 9:00"], ("%m/%d/%Y %H:%M",)),
        (["25/12/2018 9:00", "4/12/2018 11:11"], ("%d/%m/%Y %H:%M",)),
        (["3/4/2018"], ("%m/%d/%Y",)),
        (["20180704172441"], ("%Y%m%d%H%M%S",)),
        ([43285.5, "43286"], ("excel",)),
        ([datetime(2020, 1, 1), "2020/1/2"], ("iso",)),  # noqa: DTZ001 - as a spreadsheet has it
    ],
)
def test_the_fewest_formats_that_read_a_column_are_found(cells: list[Any], formats: tuple[str, ...]) -> None:
    assert formats_of(cells) == (1.0, formats)
    read = MomentReader(formats, ZoneInfo("Asia/Shanghai"))
    assert all(read(cell) for cell in cells)


@pytest.mark.parametrize("cells", [["投诉", "咨询"], ["13812345678"], [12.0, 7.0], ["2018", "2019"], []])
def test_what_is_no_moment_is_not_taken_for_one(cells: list[Any]) -> None:
    assert formats_of(cells) == (0.0, ())


def test_an_id_number_is_told_by_its_check_digit() -> None:
    assert is_id_number("11010519491231002X")
    assert not is_id_number("110105194912310021")
    assert not is_id_number("13812345678")


# ----------------------------------------------------------------------------------------------------------- proposal


def test_every_column_of_a_citys_letters_is_mapped_with_reasons(tmp_path: Path) -> None:
    found = proposed(table(tmp_path, [HEADER, *ROWS]))
    assert columns(found) == {
        "external_id": "信件编号", "reporter.name": "来信人", "reporter.phone": "联系手机", "received_at": "来信时间",
        "title": "信件标题", "content": "信件内容", "kind": "信件类型", "status": "办理进度", "completed_at": "办结日期",
        "grid.1.name": "所属街道",
    }  # fmt: skip
    assert all(guess.reasons for guess in found.guesses.values())
    assert found.draft.missing == ("-",)
    assert found.draft.times == ("iso", "%Y年%m月%d日 %H时%M分", "%Y年%m月%d日")
    assert found.draft.words["kind"] == {"投诉": "complaint", "咨询": "consult", "点赞": "praise"}
    assert found.draft.words["status"] == {"已答复": "completed", "在办": "accepted"}
    view = proposal_view(found, WHO, "en")
    assert view["unknown_words"] == {"status": ["待定"]}
    assert {"sure", "likely"} >= {guess["level"] for guess in view["guesses"] if guess["target"] != "grid.1.name"}


def test_headings_that_say_nothing_are_made_up_for_by_the_values(tmp_path: Path) -> None:
    header = [f"F{n}" for n in range(1, len(HEADER) + 1)]
    said = [(n, f"第{n}件", f"{'情况说明' * 12}{n}", "投诉" if n % 2 else "咨询") for n in range(1, 21)]
    rows = [(f"X-{n}", "张三", f"138123456{n:02}", f"2026-01-{n:02} 09:00", *rest) for n, *rest in said]
    found = columns(proposed(table(tmp_path, [header[:7], *rows])))
    assert found["reporter.phone"] == "F3"
    assert found["received_at"] == "F4"
    assert found["content"] == "F6"
    assert found["kind"] == "F7"
    assert found["external_id"] in ("F1", "F5")


def test_missing_id_and_title_columns_are_composed_from_others(
    tmp_path: Path,
) -> None:
    rows = [("来电时间", "来电号码", "来电内容")]
    rows += [
        (f"2026-01-05 09:{n:02}", "13812345678" if n % 3 else "13912345678", f"反映情况第{n % 4}种，" * 4)
        for n in range(30)
    ]
    path = table(tmp_path, rows)
    found = proposed(path)
    assert found.guesses["external_id"].columns == ("来电时间", "来电号码")
    assert found.guesses["title"].columns == ("来电内容",)
    seen = preview(path, profile_of(found.draft, WHO), NOW)
    assert (seen.tickets, seen.rejects) == (30, 0)


def test_without_any_way_to_tell_rows_apart_a_person_is_asked(tmp_path: Path) -> None:
    found = proposed(table(tmp_path, [("标题", "类型"), *[("路灯", "投诉")] * 9]))
    assert "external_id" not in found.guesses
    assert any("编号列" in note.zh for note in found.notes)
    with pytest.raises(Invalid, match="external_id"):
        profile_of(found.draft, WHO)


def test_a_closing_without_a_status_completes(tmp_path: Path) -> None:
    rows = [
        ("编号", "标题", "受理时间", "答复时间"),
        ("1", "甲", "2026-01-05", "2026-01-06"),
        ("2", "乙", "2026-01-05", ""),
    ]
    path = table(tmp_path, rows)
    found = proposed(path)
    assert found.draft.status_from_times
    seen = preview(path, profile_of(found.draft, WHO), NOW)
    assert [ticket.status for _, ticket in seen.shown] == ["completed", "received"]


def test_a_workbook_with_title_and_merged_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("说明")
        sheet = book.add_worksheet("一月")
        sheet.merge_range("A1:F1", "某区 2026 年 1 月工单明细表")
        sheet.merge_range("A2:A3", "工单编号")
        sheet.merge_range("B2:C2", "诉求人")
        sheet.write_row("B3", ["姓名", "电话"])
        sheet.merge_range("D2:E2", "时间")
        sheet.write_row("D3", ["受理", "办结"])
        sheet.merge_range("F2:F3", "诉求标题")
        when = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        for n in range(8):
            sheet.write_row(3 + n, 0, [f"G{n}", "张三", f"1381234567{n}"])
            if n % 2:
                sheet.write_datetime(3 + n, 3, datetime(2026, 1, 5, 9, n), when)  # noqa: DTZ001 - as typed
            else:
                sheet.write(3 + n, 3, f"2026年1月5日 9时{n}分")
            sheet.write(3 + n, 4, 46027.5)
            sheet.write(3 + n, 5, f"第 {n} 件事")
    sample = read_sample(path)
    assert (sample.sheet, sample.sheets) == ("一月", ("说明", "一月"))
    assert sample.columns == ("工单编号", "诉求人 姓名", "诉求人 电话", "时间 受理", "时间 办结", "诉求标题")
    found = propose(sample, "Asia/Shanghai")
    assert columns(found) == {
        "external_id": "工单编号", "title": "诉求标题", "reporter.name": "诉求人 姓名", "reporter.phone": "诉求人 电话",
        "received_at": "时间 受理", "completed_at": "时间 办结",
    }  # fmt: skip
    assert found.draft.times == ("%Y年%m月%d日 %H时%M分", "excel")
    seen = preview(path, profile_of(found.draft, WHO), NOW)
    assert (seen.tickets, seen.rejects, seen.whole) == (8, 0, True)


def test_members_of_json_are_columns_by_their_path(tmp_path: Path) -> None:
    path = tmp_path / "calls.ndjson"
    lines = [
        {"id": n, "subject": f"第 {n} 件", "caller": {"name": "张三", "phone": "13812345678"}, "tags": ["a"]}
        for n in range(6)
    ]
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    sample = read_sample(path)
    assert sample.columns == ("id", "subject", "caller.name", "caller.phone", "tags")
    found = propose(sample, "Asia/Shanghai")
    assert columns(found) == {
        "external_id": "id",
        "title": "subject",
        "reporter.name": "caller.name",
        "reporter.phone": "caller.phone",
    }
    (_, ticket), *_ = preview(path, profile_of(found.draft, WHO), NOW).shown
    assert ticket.reporter is not None
    assert (ticket.external_id, ticket.reporter.phone, ticket.attributes) == ("0", "13812345678", {"tags": ["a"]})


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
        b"\x7fELF\x02\x01\x01" + bytes(range(1, 32)) * 9,
    ],
)
def test_what_is_no_table_is_refused_with_what_would_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letters.csv"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match="no table"):
        read_sample(path)


# ------------------------------------------------------------------------------------------------------------ preview


def test_a_preview_says_what_an_import_would_do_with_each_row(tmp_path: Path) -> None:
    rows = [
        HEADER,
        *ROWS,
        ROWS[0],
        (*ROWS[1][:4], "改了标题", *ROWS[1][5:]),
        ("", *ROWS[0][1:]),
        ("X-9", "", "", "昨天", *ROWS[0][4:]),
        ("X-10",),
    ]
    path = table(tmp_path, rows)
    profile = profile_of(proposed(table(tmp_path, [HEADER, *ROWS], "first.csv")).draft, WHO)
    seen = preview(path, profile, NOW)
    assert (seen.rows, seen.tickets, seen.repeated, seen.rejects) == (8, 2, 1, 5)
    reasons = {reason.code: [row for row, _ in reason.examples] for reason in seen.by_reason}
    assert reasons == {"value_unknown": [3], "differs": [5], "missing": [6], "moment_written": [7], "column_count": [8]}
    assert seen.words["kind"] == {"投诉": 4, "咨询": 2, "点赞": 1}
    first = preview(path, profile, NOW, most=2)
    assert (first.rows, first.tickets, first.whole) == (2, 2, False)


def test_a_file_that_breaks_off_shows_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    path.write_text('[{"编号": "1", "标题": "甲"}, {"编号": "2", "标', encoding="utf-8")
    seen = preview(path, load_profile("duban"), NOW)
    assert (seen.tickets, seen.broken is not None) == (1, True)


# ------------------------------------------------------------------------------------------- drafts, profiles, saving


def test_each_bundled_profile_comes_through_a_draft_unharmed() -> None:
    for profile in list_profiles():
        who = Identity(
            profile.name, profile.title.zh, profile.title.en, profile.source.code, profile.source.zh, profile.source.en
        )
        there = [name for place in profile.places() for name in place.all_names[:1] if place.columns] + [
            name for place in profile.places() for name in place.join
        ]
        assert profile_of(draft_of(profile, there), who, profile) == profile
        assert parse_profile(toml_of(profile)) == profile


def test_a_changed_column_keeps_what_a_draft_cannot_say() -> None:
    base = load_profile("pingshan")
    draft = draft_of(base, base.column_names())
    draft.columns["address"] = ("ADDRESS",)
    made = profile_of(draft, WHO, base)
    assert made.fields["address"].columns == ("ADDRESS",)
    assert (made.verdict, made.attributes, made.category) == (base.verdict, base.attributes, base.category)
    assert document_of(made)["verdict"]["on_time"]["is"] == ["1"]


def test_levels_named_alone_are_told_apart_by_their_parents() -> None:
    draft = ProfileDraft(
        columns={"external_id": ("a",), "title": ("b",), "grid.1.name": ("街道",), "grid.2.name": ("社区",)}
    )
    made = profile_of(draft, WHO)
    assert made.grid is not None
    assert made.grid.codes == "path"
    draft.columns |= {"grid.1.code": ("街道号",), "grid.2.code": ("社区号",)}
    made = profile_of(draft, WHO)
    assert made.grid is not None
    assert made.grid.codes == "own"


def test_a_saved_profile_is_found_and_replaced_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "profiles"
    made = profile_of(ProfileDraft(columns={"external_id": ("编号",), "title": ("标题",)}), WHO)
    path = save_profile(folder, made)
    assert path.name == "mycity.toml"
    assert named_profile("mycity", folder) == made
    assert "mycity" in [profile.name for profile in saved_profiles(folder)]
    with pytest.raises(Conflict):
        save_profile(folder, made)
    other = made.model_copy(update={"keep_rest": False})
    save_profile(folder, other, replace=True)
    assert named_profile("mycity", folder) == other
    assert [each.name for each in folder.iterdir()] == ["mycity.toml"]
    assert tomllib.loads(path.read_text("utf-8"))["fields"]["title"] == "标题"


def test_a_bundled_name_is_never_free_and_a_path_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(Conflict):
        save_profile(tmp_path, load_profile("pingshan"), replace=True)
    (tmp_path / "x.toml").write_text(toml_of(load_profile("duban")), encoding="utf-8")
    for name in (str(tmp_path / "x.toml"), "../x", "x.toml", ""):
        with pytest.raises(NotFound):
            named_profile(name, tmp_path)


def test_words_without_a_code_are_counted_and_can_be_mapped() -> None:
    profile = load_profile("duban")
    rows = [
        {"编号": "1", "类型": "闲聊"},
        {"类型": "闲聊 "},
        {"类型": "投诉", "状态": "待定"},
        {"类型": "-"},
        {"kind": "complaint"},
    ]
    raws = [*(json.dumps(row, ensure_ascii=False) for row in rows), "no JSON", "[1]"]
    found = uncoded_words(profile, raws)
    assert found == {"kind": {"闲聊": 2}, "status": {"待定": 1}}
    extended = with_codes(profile, {"kind": {"闲聊": "consult"}, "status": {"待定": ""}})
    assert uncoded_words(extended, raws) == {}
    assert extended.values["kind"]["投诉"] == "complaint"


def test_a_bundled_profile_that_was_mended_stands_before_itself(tmp_path: Path) -> None:
    extended = with_codes(load_profile("duban"), {"kind": {"闲聊": "consult"}})
    save_profile(tmp_path, extended, override_bundled=True)
    assert named_profile("duban", tmp_path) == extended
    assert named_profile("duban", tmp_path / "elsewhere") == load_profile("duban")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("taidi_att4_sample120.xlsx", "taidi-att4-sample120"),
        ("2026年1月.csv.gz", "2026-1"),
        ("某市.csv", ""),
        ("..", ""),
    ],
)
def test_a_files_name_suggests_that_of_its_profile(name: str, told: str) -> None:
    assert slug(name) == told
