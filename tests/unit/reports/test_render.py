"""Reports as files: what is downloaded says what the report says, and no text in it becomes a formula."""

from __future__ import annotations

import csv as standard_csv
import json as standard_json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from app.errors import Invalid
from app.text import Text
from reports.facts.frame import PATH_SEPARATOR
from reports.facts.names import Names
from reports.figures.body import EarlierFacts, Point, compute, figures_of, tickets_behind
from reports.metrics import BY_KEY, REGISTRY, definitions_version
from reports.render import FORMATS, TicketList, csv, file_name, render
from reports.render.words import WORDS
from reports.render.xlsx import change
from tests.unit.reports.sample_facts import APRIL_1, MARCH, at, frame, many, ticket

EVIL = '=HYPERLINK("http://example.org","x")'


def _facts() -> Any:
    done: dict[str, Any] = {"status": "closed", "completed_at": at("03-08 15:00"), "complete_due_at": at("03-11 17:30"),
                            "unit": "S1", "unit_path": PATH_SEPARATOR.join(("B", "S1")), "satisfaction": "satisfied"}  # fmt: skip
    rows = many(7, at("03-04 09:00"), 1, **done)
    rows += many(2, at("03-05 09:00"), 20, unit="S2", unit_path=PATH_SEPARATOR.join(("B", "S2")))
    rows.append(ticket(30, at("02-20 09:00"), start_state="open", number="=1+1"))
    return frame(rows)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """A sealed month with a past and a series, and a unit whose name is an attack."""
    facts, february = _facts(), MARCH.previous()
    then = frame(many(4, at("02-05 09:00"), unit="S1", unit_path=PATH_SEPARATOR.join(("B", "S1"))))
    past = {"previous": EarlierFacts(february, at("03-01 00:00"), then)}
    series = [Point(february, at("03-01 00:00"), figures_of(then, february, at("03-01 00:00")))]
    names = Names({"unit": {"B": Text("县局", "Bureau"), "S1": Text("一所 & 分队", "Station 1"), "S2": Text(EVIL, "")}})
    return compute(facts, MARCH, APRIL_1, {"unit": None}, names=names, past=past, series=series).as_json(1, "ab" * 32)


CLEAR_OUT: dict[str, Any] = {
    "kind": "clear-out", "period": "2024-03", "start": "2024-03-01T00:00:00+08:00", "end": "2024-04-01T00:00:00+08:00",
    "as_of": "2024-04-01T00:00:00+08:00", "scope": {"unit": "S1"}, "edition": 2, "hash": None,
    "summary": {
        "listed": 1,
        "by_reason": [{"code": "overdue", "name": "超期较久", "name_en": "Long overdue", "count": 1}],
        "by_unit": [{"code": "S1", "name": "一所", "name_en": "Station 1", "count": 1}],
        "last": {"period": "2024-02", "listed": 3, "cleared": 2, "carried_over": 1, "put_back": 0,
                 "rate": {"value": 0.6667, "numerator": 2, "denominator": 3}},
    },
    "items": [{
        "ticket_id": 1, "number": "20240301-000001", "title": EVIL,
        "unit": {"code": "S1", "name": "一所", "name_en": "Station 1"},
        "category": None, "reasons": [{"code": "overdue", "zh": "超期 12 个工作日", "en": "overdue by 12 working days"}],
        "stage": {"code": "urged", "name": "督促办", "name_en": "Urged"}, "unit_seconds": 36000, "citizen_seconds": 864000,
        "lists": 2, "leader": None, "measures": None, "condition": None, "state": "open",
    }],
}  # fmt: skip


def _sheets(path: Path) -> dict[str, list[list[Any]]]:
    book = CalamineWorkbook.from_path(path)
    return {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}


def test_the_json_is_the_document_itself(document: dict[str, Any], tmp_path: Path) -> None:
    render(document, "json", tmp_path / "r.json")
    assert standard_json.loads((tmp_path / "r.json").read_text("utf-8")) == document


def test_the_csv_has_every_figure_with_parts_and_a_bom(document: dict[str, Any], tmp_path: Path) -> None:
    render(document, "csv", tmp_path / "r.csv", lang="en")
    raw = (tmp_path / "r.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(standard_csv.DictReader(raw.decode("utf-8-sig").splitlines()))
    whole = {row["Key"]: row for row in rows if row["Section"] == "Whole"}
    assert set(whole) == {each.key for each in REGISTRY}
    rate = whole["completion_rate"]
    assert (rate["Value"], rate["Numerator"], rate["Denominator"], rate["Previous period"]) == (
        "0.7778",
        "7",
        "9",
        "0.0",
    )
    assert whole["score_speed"]["Value"] == ""  # nothing to divide by: empty, not 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=1+1", "'=1+1"), ("+86", "'+86"), ("-1", "'-1"), ("@a", "'@a"), ("\t=1", "'\t=1"), ("＝1", "'＝1"),
     ("一所", "一所"), ("a=b", "a=b"),
     (-1, -1), (0.5, 0.5), (None, None)],
)  # fmt: skip
def test_a_text_that_looks_like_a_formula_is_marked_as_text(text: csv.Cell, shown: csv.Cell) -> None:
    assert csv.safe(text) == shown


def test_no_name_becomes_a_formula_in_a_csv(document: dict[str, Any], tmp_path: Path) -> None:
    render(document, "csv", tmp_path / "r.csv")
    cells = [
        cell for row in standard_csv.reader((tmp_path / "r.csv").read_text("utf-8-sig").splitlines()) for cell in row
    ]
    assert f"'{EVIL}" in cells
    assert EVIL not in cells


@pytest.mark.parametrize(("lang", "summary", "unit"), [("zh", "概览", "一所 & 分队"), ("en", "Summary", "Station 1")])
def test_the_workbook_says_what_the_report_says(
    document: dict[str, Any], tmp_path: Path, lang: str, summary: str, unit: str
) -> None:
    render(document, "xlsx", tmp_path / "r.xlsx", lang=lang, behind=TicketList(_facts(), MARCH, APRIL_1))
    sheets = _sheets(tmp_path / "r.xlsx")
    labelled = {row[0]: row for row in sheets[summary] if row[0]}
    assert labelled[BY_KEY["completion_rate"].label(lang)][1:5] == [0.7778, 7, 9, 0]
    assert labelled[BY_KEY["score_speed"].label(lang)][1] == "–"
    text = "\n".join(str(cell) for row in sheets[summary] for cell in row)
    assert definitions_version() in text
    assert "2024-04-01 00:00" in text
    by_unit = [row[0] for row in sheets[WORDS["unit"][1 if lang == "en" else 0]]]
    assert [name for name in by_unit if name in {unit, EVIL}] == [unit, EVIL]
    for section in ("category", "source", "kind", "grid", "priority", "series", "definitions", "tickets", "charts"):
        assert WORDS[section][1 if lang == "en" else 0] in sheets


def test_the_workbook_list_has_as_many_rows_as_the_figure(document: dict[str, Any], tmp_path: Path) -> None:
    facts = _facts()
    render(document, "xlsx", tmp_path / "r.xlsx", lang="en", behind=TicketList(facts, MARCH, APRIL_1))
    header, *rows = _sheets(tmp_path / "r.xlsx")["Tickets"]
    for heading, key in (
        ("In received", "received"),
        ("In open", "open"),
        ("Completed in period", "completed_in_period"),
    ):
        counted = [row for row in rows if row[header.index(heading)] == "Yes"]
        assert len(counted) == document["figures"][key]["value"] == len(tickets_behind(facts, MARCH, APRIL_1, key))
    assert "=1+1" in {row[0] for row in rows}  # a text, as it is
    first = rows[0]
    assert first[header.index("Received")] == datetime(2024, 3, 4, 9, 0)  # noqa: DTZ001 - a spreadsheet's local time
    assert first[header.index("Verdict")] == "On time"


def test_one_edition_gives_the_same_workbook_every_time(document: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        render(document, "xlsx", tmp_path / name)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_a_report_without_tickets_can_be_rendered(tmp_path: Path) -> None:
    empty = compute(frame([]), MARCH, APRIL_1, {"unit": None}).as_json()
    for format_ in FORMATS:
        render(empty, format_, tmp_path / f"r.{format_}", behind=TicketList(frame([]), MARCH, APRIL_1))
        assert (tmp_path / f"r.{format_}").stat().st_size > 0


@pytest.mark.parametrize(("lang", "reason"), [("zh", "超期 12 个工作日"), ("en", "overdue by 12 working days")])
def test_a_clear_out_list_is_rendered_with_its_account(tmp_path: Path, lang: str, reason: str) -> None:
    for format_ in FORMATS:
        render(CLEAR_OUT, format_, tmp_path / f"c.{format_}", lang=lang)
    cells = [cell for sheet in _sheets(tmp_path / "c.xlsx").values() for row in sheet for cell in row]
    assert {"20240301-000001", EVIL, reason, 10.0, 2.0} <= set(cells)
    assert any("66.67%" in str(cell) for cell in cells)
    lines = (tmp_path / "c.csv").read_text("utf-8-sig")
    assert reason in lines
    assert f'"\'{EVIL.replace(chr(34), chr(34) * 2)}"' in lines


def test_a_file_is_named_by_kind_period_and_unit(document: dict[str, Any]) -> None:
    assert file_name(document, "xlsx") == "monthly-2024-03.xlsx"
    assert file_name(CLEAR_OUT, "csv") == "clear-out-2024-03-S1.csv"
    assert (
        file_name({"kind": "daily", "period": "2024-03-01", "scope": {"unit": "../x"}}, "csv")
        == "daily-2024-03-01-.._x.csv"
    )


def test_an_unknown_format_is_refused_with_the_known_ones(document: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="json, csv, xlsx"):
        render(document, "doc", tmp_path / "r.doc")


@pytest.mark.parametrize(
    ("key", "now", "past", "text", "colour"),
    [
        ("completion_rate", 0.9165, 0.9192, "-0.27 pp", "#C0392B"),
        ("completion_rate", 0.95, 0.9, "+5.00 pp", "#2E8B57"),
        ("overdue", 5, 10, "-50.0%", "#2E8B57"),
        ("received", 11, 10, "+10.0%", "#6B7280"),
        ("received", 10, 10, "unchanged", "#6B7280"),
        ("received", 10, 0, None, "#6B7280"),
        ("completion_rate", 0.9, None, None, "#6B7280"),
    ],
)
def test_a_change_says_how_much_and_whether_it_is_good(
    key: str, now: float | None, past: float | None, text: str | None, colour: str
) -> None:
    assert change(BY_KEY[key], now, past, "en") == (text, colour)


@pytest.mark.parametrize("key", WORDS)
def test_every_word_exists_in_both_languages(key: str) -> None:
    assert all(WORDS[key])
