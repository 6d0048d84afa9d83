"""Files as they come: any packing, encoding, delimiter and shape; bad rows set aside, neighbours unharmed."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from app.errors import BadRequest, DubanError, TooLarge
from ingest.formats.base import FileLimits, SourceRow, raw_text, unique_names
from ingest.formats.header import HeaderRule, combined
from ingest.formats.json_rows import REST
from ingest.formats.open import RowFile

HEADER = ["编号", "标题", "内容"]
TABLE = [
    ["1", "夜间施工噪声扰民", "市民反映小区旁工地，连续三晚施工到凌晨"],
    ["2", "路灯不亮", '人民路口的路灯"坏了"\n已有一周'],
    ["3", "咨询办理社保", ""],
]


def csv_text(rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    """The rows as delimited text, each cell quoted."""
    return "".join(delimiter.join('"' + c.replace('"', '""') + '"' for c in row) + "\r\n" for row in rows)


def write(folder: Path, content: bytes | str, name: str = "table.csv") -> Path:
    """A file in ``folder`` with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **how: Any) -> tuple[list[str], list[SourceRow]]:
    """Columns and rows of a file."""
    with RowFile(path, **how) as file:
        rows = list(file.rows())
        assert file.consumed == file.total
        return list(file.columns), rows


def faults(rows: Sequence[SourceRow]) -> dict[int, str]:
    """Row number → code of its fault."""
    return {row.number: row.fault.code for row in rows if row.fault}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_encoding_of_simplified_chinese_is_told(tmp_path: Path, encoding: str) -> None:
    columns, rows = read(write(tmp_path, csv_text([HEADER, *TABLE]).encode(encoding)))
    assert columns == HEADER
    assert [list(row.cells) for row in rows] == TABLE


def test_big5_is_told_from_gb18030(tmp_path: Path) -> None:
    table = [["編號", "標題"], ["1", "人民路的路燈不亮，請相關單位處理"]]
    columns, rows = read(write(tmp_path, csv_text(table).encode("big5")))
    assert [columns, list(rows[0].cells)] == table


def test_western_accents_are_not_taken_for_chinese(tmp_path: Path) -> None:
    table = [["id", "title"], ["1", "Café à la carte, naïve déjà vu, São Paulo, señor"]]
    assert list(read(write(tmp_path, csv_text(table).encode("cp1252")))[1][0].cells) == table[1]


def test_an_encoding_visible_only_late_in_the_file_is_found(tmp_path: Path) -> None:
    rows = [["id", "title"], *([str(i), "street light out"] for i in range(40_000)), ["x", "路灯不亮，市民投诉"]]
    found = read(write(tmp_path, csv_text(rows).encode("gb18030")))[1]
    assert list(found[-1].cells) == rows[-1]


def test_a_damaged_byte_spoils_its_own_cell_alone(tmp_path: Path) -> None:
    content = csv_text([HEADER, *TABLE]).encode().replace("不亮".encode(), b"\xe4\xb8")
    rows = read(write(tmp_path, content))[1]
    assert list(rows[0].cells) == TABLE[0]
    assert "\udce4\udcb8" in rows[1].cells[1]
    assert json.loads(raw_text(rows[1], HEADER))["标题"] == "路灯\udce4\udcb8"
    assert raw_text(rows[1], HEADER).encode()


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    with RowFile(write(tmp_path, csv_text([HEADER, *TABLE], delimiter))) as file:
        assert file.delimiter == delimiter
        assert [list(row.cells) for row in file.rows()] == TABLE


def test_the_hint_that_excel_writes_is_obeyed(tmp_path: Path) -> None:
    columns, rows = read(write(tmp_path, "sep=;\r\na;b,c\r\n1;2,3\r\n"))
    assert columns == ["a", "b,c"]
    assert list(rows[0].cells) == ["1", "2,3"]


@pytest.mark.parametrize("packing", ["plain", "gz", "zip", "zip with clutter"])
def test_packed_files_are_read_as_they_are_whatever_their_name(tmp_path: Path, packing: str) -> None:
    content = csv_text([HEADER, *TABLE]).encode()
    if packing == "gz":
        content = gzip.compress(content)
    elif packing.startswith("zip"):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("data/工单.csv", content)
            if packing.endswith("clutter"):
                out.writestr("__MACOSX/data/._工单.csv", b"x")
                out.writestr("data/.DS_Store", b"x")
        content = archive.getvalue()
    assert [list(row.cells) for row in read(write(tmp_path, content, "file"))[1]] == TABLE


def test_rows_are_numbered_below_the_header_and_blank_ones_count(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "a,b\n1,x\n\n,\n4,y\n"))[1]
    assert [(row.number, row.cells[0]) for row in rows] == [(1, "1"), (4, "4")]


def test_a_wrong_number_of_columns_is_rejected_keeping_the_row(tmp_path: Path) -> None:
    columns, rows = read(write(tmp_path, "a,b,c\n1,2,3\n1,2\n1,2,3,4\n1,2,3,,\n5,6,7\n"))
    assert faults(rows) == {2: "column_count", 3: "column_count"}
    assert json.loads(raw_text(rows[2], columns)) == ["1", "2", "3", "4"]
    assert [list(row.cells) for row in rows if not row.fault] == [["1", "2", "3"], ["1", "2", "3"], ["5", "6", "7"]]


@pytest.mark.parametrize("after", ["", '4,"x"\n', 'a "quoted" word,y\n'])
def test_a_quote_never_closed_costs_its_own_row_and_no_other(tmp_path: Path, after: str) -> None:
    body = 'a,b\n1,x\n2,"open\n3,y\n' + after
    rows = read(write(tmp_path, body))[1]
    assert faults(rows) == {2: "quote_unclosed"}
    assert rows[1].line == '2,"open\n'
    good = [list(row.cells) for row in rows if not row.fault]
    assert good[:2] == [["1", "x"], ["3", "y"]]
    assert len(good) == body.count("\n") - 2


def test_a_field_or_line_without_end_is_one_reject(tmp_path: Path) -> None:
    limits = FileLimits(record=200_000)
    body = "a,b\n1,x\n2," + "y" * 150_000 + "\n3," + "z" * 900_000 + "\n4,w\n"
    rows = read(write(tmp_path, body), limits=limits)[1]
    assert faults(rows) == {2: "record_unreadable", 3: "record_too_long"}
    assert [row.number for row in rows if not row.fault] == [1, 4]
    assert len(rows[2].line or "") < 201_000


def test_an_unclosed_quote_costs_only_the_lines_it_spans(tmp_path: Path) -> None:
    body = 'a,b\n1,"x\n' + 'p","q\n' * 100_000 + "3,y\n"
    rows = read(write(tmp_path, body))[1]
    assert len(rows) == 100_002
    assert [list(row.cells) for row in rows if not row.fault][-1] == ["3", "y"]


def test_an_unclosed_quote_before_an_endless_line_loses_no_row(tmp_path: Path) -> None:
    body = 'a,b\n1,"x\n2,y\n3,' + "z" * 300_000 + "\n4,w\n"
    rows = read(write(tmp_path, body), limits=FileLimits(record=200_000))[1]
    assert faults(rows) == {1: "quote_unclosed", 3: "record_too_long"}
    assert [list(row.cells) for row in rows if not row.fault] == [["2", "y"], ["4", "w"]]


def test_titles_above_a_known_header_are_skipped(tmp_path: Path) -> None:
    body = "某区工单表,,\n\n2026 年 3 月,,\n编号,标题,内容\n1,甲,乙\n"
    columns, rows = read(write(tmp_path, body), header=HeaderRule(lambda names: "编号" in names))
    assert columns == HEADER
    assert [list(row.cells) for row in rows] == [["1", "甲", "乙"]]


def test_a_header_that_is_not_there_leaves_every_row_to_be_read(tmp_path: Path) -> None:
    columns, rows = read(write(tmp_path, "x,y\n1,2\n3,4\n"), header=HeaderRule(lambda names: "编号" in names))
    assert columns == ["x", "y"]
    assert [row.number for row in rows] == [1, 2]


def test_columns_of_one_name_or_of_none_are_told_apart() -> None:
    assert unique_names(["a", " a ", "", None, "b\n c"]) == ["a", "a (2)", "column 3", "column 4", "b c"]


@pytest.mark.parametrize("shape", ["ndjson", "array", "pretty array"])
def test_json_comes_by_lines_or_as_one_array(tmp_path: Path, shape: str) -> None:
    items: list[Any] = [{"id": str(i), "reporter": {"phone": i, "x": 1}, "more": "甲" * 50} for i in range(3_000)]
    if shape == "ndjson":
        text = "\n\n".join(json.dumps(item, ensure_ascii=False) for item in items)
    else:
        text = json.dumps(items, ensure_ascii=False, indent=1 if shape == "pretty array" else None)
    columns, rows = read(write(tmp_path, text), wanted=["id", "reporter.phone", "absent"])
    assert columns == ["id", "reporter.phone", "absent", REST]
    assert [row.cells[0] for row in rows] == [str(i) for i in range(3_000)]
    assert rows[7].cells == ["7", 7, None, {"reporter": {"x": 1}, "more": "甲" * 50}]


def test_a_broken_line_of_ndjson_is_kept_as_it_came(tmp_path: Path) -> None:
    rows = read(write(tmp_path, '{"id": 1}\n{"id": 2\n[3]\n' + "{" * 5_000 + '\n{"id": 5}'), wanted=["id"])[1]
    assert faults(rows) == {2: "json_invalid", 3: "model_type", 4: "json_invalid"}
    assert raw_text(rows[1], ["id"]) == '{"id": 2'
    assert rows[-1].cells[0] == 5


@pytest.mark.parametrize(
    "tail", ['{"id": 2', '{"id": 2} {"id": 3}]', '{"id": nope}]', "", '{"id": 2}] x', '{"id": 2},]', "[" * 90_000]
)
def test_a_broken_array_yields_earlier_elements_and_position(tmp_path: Path, tail: str) -> None:
    taken: list[SourceRow] = []
    with RowFile(write(tmp_path, '[{"id": 1},' + tail), wanted=["id"]) as file, pytest.raises(BadRequest):
        taken.extend(file.rows())
    with RowFile(write(tmp_path, '[{"id": 1},' + tail), wanted=["id"]) as file:
        assert next(iter(file.rows())).cells[0] == 1


def workbook(path: Path, rows: Sequence[Sequence[Any]], sheet: str = "工单", first: str | None = None) -> Path:
    """An XLSX file; with ``first``, an empty sheet of that name stands before."""
    with xlsxwriter.Workbook(str(path), {"default_date_format": "yyyy-mm-dd"}) as book:
        if first:
            book.add_worksheet(first)
        page = book.add_worksheet(sheet)
        for index, row in enumerate(rows):
            page.write_row(index, 0, row)
    return path


def test_a_spreadsheet_gives_its_first_sheet_that_holds_anything(tmp_path: Path) -> None:
    path = workbook(tmp_path / "x.bin", [HEADER, *TABLE, ["", "", ""], [5, "五", 1.5]], first="说明")
    with RowFile(path) as file:
        rows = list(file.rows())
        assert (file.format, list(file.columns), file.consumed) == ("xlsx", HEADER, file.total)
    assert [row.cells[0] for row in rows] == ["1", "2", "3", 5.0]
    assert [row.number for row in rows] == [1, 2, 3, 5]


def test_a_missing_sheet_is_refused_with_the_existing_ones(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="工单"):
        RowFile(workbook(tmp_path / "x.xlsx", [HEADER, *TABLE]), sheet="台账")


def test_a_far_corner_cell_is_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, HEADER)
        page.write(1_048_575, 16_383, "x")
    with pytest.raises(TooLarge, match="cells"):
        RowFile(path)


@pytest.mark.parametrize("name", ["table.xls", "table.ods", "table", "table.csv"])
def test_a_workbook_is_read_whatever_its_name_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with xlsxwriter.Workbook(str(tmp_path / "made.xlsx")) as book:
        book.add_worksheet().write_row(0, 0, HEADER)
    path.write_bytes((tmp_path / "made.xlsx").read_bytes())
    with RowFile(path) as file:
        assert list(file.columns) == HEADER


def test_an_oversized_workbook_row_is_rejected_alone(tmp_path: Path) -> None:
    path = tmp_path / "fat.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, ["a", "b", "c"])
        page.write_row(1, 0, ["1", "x" * 600, "y" * 600])
        page.write_row(2, 0, ["2", "x" * 600, "y" * 300])
    with RowFile(path, limits=FileLimits(record=1_000)) as file:
        fat, good = file.rows()
    assert (fat.number, [len(cell) for cell in fat.cells]) == (1, [1, 600, 399])
    assert fat.fault is not None
    assert fat.fault.code == "record_too_long"
    assert (good.number, good.fault) == (2, None)


BOMB = FileLimits(ratio=50, ratio_from=1_000_000, spreadsheet=1_000_000)


@pytest.mark.parametrize("packing", ["gz", "zip", "xlsx"])
def test_a_bomb_is_refused_while_it_unpacks(tmp_path: Path, packing: str) -> None:
    load = b"a,b\n" + b"1,2\n" * 4_000_000
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("xl/worksheets/sheet1.xml" if packing == "xlsx" else "a.csv", load)
    path = write(tmp_path, gzip.compress(load) if packing == "gz" else archive.getvalue())
    with pytest.raises(TooLarge), RowFile(path, limits=BOMB) as file:
        for _ in file.rows():
            pass


def test_more_rows_than_allowed_is_said(tmp_path: Path) -> None:
    with RowFile(write(tmp_path, "a\n" + "1\n" * 5), limits=FileLimits(rows=4)) as file, pytest.raises(TooLarge):
        list(file.rows())


def broken_files() -> dict[str, bytes]:
    """Files that cannot be read, by what is wrong with them."""
    good = gzip.compress(csv_text([HEADER] + TABLE * 2_000).encode())
    two, none = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(two, "w") as out:
        out.writestr("a.csv", "a")
        out.writestr("b.csv", "b")
    with zipfile.ZipFile(none, "w") as out:
        out.writestr("folder/", "")
    packed = bytearray(two.getvalue())
    return {
        "gzip that breaks off": good[: len(good) // 2],
        "gzip with a wrong checksum": good[:-8] + b"\0\0\0\0" + good[-4:],
        "gzip of nonsense": b"\x1f\x8b" + b"nonsense" * 10,
        "zip that breaks off": bytes(packed[:40]),
        "zip of two files": bytes(packed),
        "zip of none": none.getvalue(),
        "an old Excel file of nonsense": b"\xd0\xcf\x11\xe0" + b"nonsense" * 100,
        "nothing": b"",
        "blank lines": b"\n\n \n",
        "empty gzip": gzip.compress(b""),
        "a workbook of nonsense": b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml" + b"x" * 100,
    }


@pytest.mark.parametrize("what", broken_files())
def test_what_cannot_be_read_is_refused_in_both_languages(tmp_path: Path, what: str) -> None:
    with pytest.raises(DubanError) as caught, RowFile(write(tmp_path, broken_files()[what])) as file:
        list(file.rows())
    assert caught.value.message.zh
    assert caught.value.message.en
    assert str(tmp_path) not in caught.value.message.zh + caught.value.message.en


def test_a_missing_file_and_an_unknown_encoding_are_reported(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no file"):
        RowFile(tmp_path / "nowhere.csv")
    with pytest.raises(BadRequest, match="unknown encoding"):
        RowFile(write(tmp_path, "a\n1\n"), encoding="klingon")


def test_progress_grows_to_the_size_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, csv_text([HEADER] + TABLE * 4_000))
    with RowFile(path) as file:
        seen = [file.consumed for _ in file.rows()]
        assert file.total == path.stat().st_size
    assert 0 < seen[0] < seen[len(seen) // 2] < seen[-1] == path.stat().st_size
    assert seen == sorted(seen)


# ------------------------------------------------------------------------------------ headers of several rows, merged


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([["编号", "标题"]], ["编号", "标题"]),
        (
            [["编号", "诉求人", "", "时间", ""], ["", "姓名", "电话", "受理", "办结"]],
            ["编号", "诉求人 姓名", "诉求人 电话", "时间 受理", "时间 办结"],
        ),
        ([["编号", "诉求人", ""], ["编号", "姓名", "电话"]], ["编号", "诉求人 姓名", "诉求人 电话"]),
        ([["编号", "", "标题"], ["", "来源", ""]], ["编号", "来源", "标题"]),
        (
            [["甲", "", "乙", ""], ["一", "", "二", ""], ["x", "y", "x", "y"]],
            ["甲 一 x", "甲 一 y", "乙 二 x", "乙 二 y"],
        ),
        ([["a", None], ["", ""]], ["a", "column 2"]),
    ],
)
def test_a_heading_merged_over_columns_or_rows_names_each_column(rows: list[list[Any]], names: list[str]) -> None:
    assert combined(rows) == names


def knows(*columns: str) -> HeaderRule:
    """A rule that knows these columns, the first of which must be there."""
    return HeaderRule(lambda names: len(set(names) & set(columns)) if columns[0] in names else 0)


TWO_ROWS = "某区 2026 年工单表,,,\n编号,诉求人,,标题\n,姓名,电话,\n1,张三,13812345678,路灯\n"


def test_a_header_of_two_known_rows_is_read_whole(tmp_path: Path) -> None:
    columns, rows = read(write(tmp_path, TWO_ROWS), header=knows("编号", "标题", "诉求人 姓名", "诉求人 电话"))
    assert columns == ["编号", "诉求人 姓名", "诉求人 电话", "标题"]
    assert [(row.number, list(row.cells)) for row in rows] == [(1, ["1", "张三", "13812345678", "路灯"])]


def test_columns_take_the_lowest_known_heading(tmp_path: Path) -> None:
    columns, _ = read(write(tmp_path, TWO_ROWS), header=knows("编号", "标题", "诉求人", "姓名", "电话"))
    assert columns == ["编号", "姓名", "电话", "标题"]


def test_a_sheet_of_instructions_before_the_table_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("填表说明").write_row("A1", ["请勿修改表头", "编号"])
        sheet = book.add_worksheet("三月")
        sheet.write_row("A1", ["编号", "标题"])
        sheet.write_row("A2", ["1", "路灯"])
    columns, rows = read(path, header=HeaderRule(lambda names: {"编号", "标题"} <= set(names)))
    assert (columns, [list(row.cells) for row in rows]) == (["编号", "标题"], [["1", "路灯"]])


@pytest.mark.parametrize(
    "text",
    ["<html><table><tr><td>编号</td></tr></table></html>", "\n <!DOCTYPE html>\n<html>", '<?xml version="1.0"?><a/>',
     "<table border=1><tr><td>1</td></tr></table>"],
)  # fmt: skip
def test_an_html_page_named_xls_is_refused_with_advice(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadRequest, match="save it as XLSX"):
        RowFile(write(tmp_path, text))


def test_rows_read_during_header_detection_are_fully_checked(tmp_path: Path) -> None:
    body = 'x\n编号,标题\n1,a\n2,"open\n3,b\n4,"c"\n' + "5," + "y" * 300_000 + "\n6,d\n"
    rows = read(write(tmp_path, body), header=knows("编号"), limits=FileLimits(record=200_000))[1]
    assert faults(rows) == {2: "quote_unclosed", 5: "record_too_long"}
    assert [list(row.cells) for row in rows if not row.fault] == [["1", "a"], ["3", "b"], ["4", "c"], ["6", "d"]]


def test_of_a_sheet_too_the_merged_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("工单")
        sheet.merge_range("A1:D1", "某区工单表")
        sheet.merge_range("A2:A3", "编号")
        sheet.merge_range("B2:C2", "诉求人")
        sheet.write_row("B3", ["姓名", "电话"])
        sheet.merge_range("D2:D3", "标题")
        sheet.write_row("A4", [1, "张三", "13812345678", "路灯"])
    columns, rows = read(path, header=knows("编号", "诉求人 姓名"))
    assert columns == ["编号", "诉求人 姓名", "诉求人 电话", "标题"]
    assert [(row.number, list(row.cells)) for row in rows] == [(1, [1.0, "张三", "13812345678", "路灯"])]
