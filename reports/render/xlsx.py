"""A report as a workbook: summary, charts, breakdowns, series, definitions, and the tickets behind the figures.

Everything but the list of tickets comes from the report's JSON, so that a sealed edition always gives the same
workbook. Run it off the event loop: 50,000 tickets take some seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from app.domain.words import SATISFACTION, STATUS, say
from reports.figures.counting import DIMENSIONS, columns_of
from reports.metrics import BALANCE_LEFT, BALANCE_RIGHT, BY_KEY, GROUPS, REGISTRY, Definition
from reports.period import Period
from reports.render.book import (
    BLUE,
    GREEN,
    GREY,
    NAVY,
    ORANGE,
    PALE,
    RED,
    ROWS_PER_SHEET,
    Cell,
    ReportWorkbook,
    TableColumn,
)
from reports.render.charts_native import Charts
from reports.render.words import name_of, scope_of, title_of, word

_BREAKDOWN = ("received", "share", "completed", "completion_rate", "due", "on_time", "on_time_rate", "overdue", "open",
              "satisfaction_rate", "supervised", "repeat_rate")  # fmt: skip
"""The figures that a breakdown's sheet shows; the CSV and the JSON have all of them."""
_SERIES = ("received", "completed", "completion_rate", "due", "on_time", "on_time_rate", "overdue", "open",
           "satisfaction_rate")  # fmt: skip
_ABOUT_WIDTH, _ABOUT_SIGNS = 66, 84
_MOMENT = "yyyy-mm-dd hh:mm"


@dataclass(frozen=True, slots=True)
class TicketList:
    """The facts that a report was computed from, for its list of tickets."""

    facts: pd.DataFrame
    period: Period
    as_of: datetime


def render(document: dict[str, Any], path: Path, lang: str = "zh", behind: TicketList | None = None) -> None:
    """Write the report ``document`` to ``path``; with ``behind``, also the tickets that its figures count."""
    edition = str(document["edition"] or word("draft", lang))
    footer = f"{word('edition', lang)} {edition} · {word('hash', lang)} {(document['hash'] or '–')[:32]}"
    created = datetime.fromisoformat(document["as_of"])
    with ReportWorkbook(
        path, title=title_of(document, lang), created=created, footer=footer, page=word("page", lang)
    ) as book:
        _summary(book, document, lang)
        charts = Charts(book, document, lang)
        charts.page()
        for dimension in DIMENSIONS:
            _breakdown(book, document, dimension, lang, charts)
        _series(book, document, lang, charts)
        if behind is not None:
            _tickets(book, document, behind, lang)
        _definitions(book, document, lang)
        charts.data()


def about_lines(document: dict[str, Any], lang: str) -> list[str]:
    """Return the small print under a title: scope, as-of moment, edition, version of the definitions."""
    start, end, as_of = (document[key][:16].replace("T", " ") for key in ("start", "end", "as_of"))
    gap = "    "
    colon = ": " if lang == "en" else "："
    first = [f"{word('scope', lang)}{colon}{scope_of(document, lang)}", f"{word('period', lang)}{colon}{start} – {end}",
             f"{word('as_of', lang)}{colon}{as_of}"]  # fmt: skip
    second = [f"{word('edition', lang)}{colon}{document['edition'] or word('draft', lang)}"]
    if document.get("definitions_version"):
        second.append(f"{word('definitions_version', lang)}{colon}{document['definitions_version']}")
    if document.get("verdicts_from_source"):
        second.append(f"{word('verdicts', lang)}{colon}{document['verdicts_from_source']:,}")
    if document.get("hash"):
        second.append(f"{word('hash', lang)}{colon}{document['hash'][:16]}…")
    return [gap.join(first), gap.join(second)]


def _summary(book: ReportWorkbook, document: dict[str, Any], lang: str) -> None:
    """Write the headlines in large type, then every figure with its parts and comparisons, then the balance."""
    columns = [TableColumn(word("figure", lang), 26 if lang == "en" else 20), TableColumn(word("value", lang), 12, "#,##0"),
               TableColumn(word("numerator", lang), 11, "#,##0"), TableColumn(word("denominator", lang), 12.5, "#,##0"),
               TableColumn(word("previous", lang), 12, "#,##0"), TableColumn(word("change", lang), 13, "0"),
               TableColumn(word("last_year", lang), 12, "#,##0"), TableColumn(word("change_year", lang), 13, "0"),
               TableColumn(word("about", lang), _ABOUT_WIDTH)]  # fmt: skip
    sheet = book.sheet(word("summary", lang), colour=NAVY)
    sheet.fit_to_pages(1, 1)
    book.columns(sheet, columns)
    last = len(columns) - 1
    book.heading(sheet, 0, title_of(document, lang), last, size=18)
    lines = about_lines(document, lang)
    for at, line in enumerate(lines, 1):
        book.note(sheet, at, line, last)
    _cards(book, sheet, len(lines) + 2, document, lang)
    row = len(lines) + 5
    book.header(sheet, row, columns)
    sheet.freeze_panes(row + 1, 1)
    row += 1
    for group, (zh, en) in GROUPS.items():
        if group == "balance":
            continue
        band = book.format(bold=True, font_color=NAVY, bg_color=PALE, bottom=1, bottom_color=BLUE)
        for at in range(last + 1):
            sheet.write_string(row, at, (en if lang == "en" else zh) if at == 0 else "", band)
        row += 1
        for each in REGISTRY:
            if each.group == group and each.key != "share":
                _figure_row(book, sheet, row, columns, each, document, lang)
                row += 1
    _balance(book, sheet, row + 1, document, lang, last)


def _cards(book: ReportWorkbook, sheet: Any, row: int, document: dict[str, Any], lang: str) -> None:
    """The headline figures, large, across the page: label above, value below."""
    keys = [each.key for each in REGISTRY if each.headline]
    sheet.set_row(row, 18)
    sheet.set_row(row + 1, 30)
    for at, key in enumerate(keys):
        each = BY_KEY[key]
        box = {"bg_color": PALE, "left": 2, "left_color": "#FFFFFF"}
        sheet.write_string(row, at, each.label(lang), book.format(font_size=9, font_color=GREY, align="center", **box))
    for at, key in enumerate(keys):
        value = document["figures"][key]["value"]
        large = book.format(font_size=15, bold=True, font_color=NAVY, align="center", num_format=BY_KEY[key].format,
                            bg_color=PALE, left=2, left_color="#FFFFFF")  # fmt: skip
        if value is None:
            sheet.write_string(row + 1, at, "–", large)
        else:
            sheet.write_number(row + 1, at, value, large)


def _figure_row(
    book: ReportWorkbook,
    sheet: Any,
    row: int,
    columns: Sequence[TableColumn],
    each: Definition,
    document: dict[str, Any],
    lang: str,
) -> None:
    figure = document["figures"][each.key]
    cells: list[tuple[Cell, str, dict[str, Any]]] = [
        (each.label(lang), "", {"bold": each.headline}),
        (figure["value"], each.format, {"bold": True}),
        (figure.get("numerator"), "#,##0", {}),
        (figure.get("denominator", figure.get("n")), "#,##0", {}),
    ]
    for which in ("previous", "last_year"):
        past = ((document.get("compare") or {}).get(which) or {}).get(each.key, {}).get("value")
        text, colour = change(each, figure["value"], past, lang)
        cells += [(past, each.format, {}), (text, "0", {"font_color": colour})]
    cells.append((each.about(lang), "", {"font_size": 9, "font_color": GREY, "indent": 1}))
    if _lines_needed(each.about(lang)) > 1:
        sheet.set_row(row, 13 * _lines_needed(each.about(lang)))
    for at, (cell, number, dress) in enumerate(cells):
        if cell is None and at in {2, 3}:
            cell, number = "", ""  # a count has no parts: an empty cell, not a missing value
        book.cell(sheet, row, at, cell, TableColumn("", columns[at].width, number), **dress)


def _lines_needed(text: str) -> int:
    """Estimate the lines of small print in the last column; a Chinese character is two wide."""
    return -(-sum(1 if sign.isascii() else 2 for sign in text) // _ABOUT_SIGNS)


def change(each: Definition, now: float | None, past: float | None, lang: str) -> tuple[str | None, str]:
    """Return the change of a figure as text, and its colour: percentage points for a ratio, percent for the rest."""
    if now is None or past is None or (each.kind != "ratio" and past == 0):
        return None, GREY
    moved = (now - past) * 100 if each.kind == "ratio" else (now - past) / past * 100
    moved = round(moved, 2 if each.kind == "ratio" else 1)
    unit = f" {word('points', lang)}" if each.kind == "ratio" else "%"
    text = f"{moved:+.2f}{unit}" if each.kind == "ratio" else f"{moved:+.1f}{unit}"
    if moved == 0:
        return word("unchanged", lang), GREY
    if not each.better:
        return text, GREY
    return text, GREEN if (moved > 0) == (each.better == "more") else RED


def _balance(book: ReportWorkbook, sheet: Any, row: int, document: dict[str, Any], lang: str, last: int) -> None:
    """Write both sides of the balance, term by term, and their sums."""
    sides = []
    for side in (BALANCE_LEFT, BALANCE_RIGHT):
        terms = [(BY_KEY[key].label(lang), document["balance"][key]) for key in side]
        shown = " + ".join(f"{label} {count:,}" for label, count in terms if count or label == terms[0][0])
        sides.append((shown, sum(count for _, count in terms)))
    (left, left_sum), (right, right_sum) = sides
    colon = ": " if lang == "en" else "："
    text = f"{word('balance', lang)}{colon}{left} = {right} ({left_sum:,} = {right_sum:,})"
    book.note(sheet, row, text, last)


def _breakdown(book: ReportWorkbook, document: dict[str, Any], dimension: str, lang: str, charts: Charts) -> None:
    """Write one dimension's rows; names in a tree are indented by depth, and units carry rank and interval."""
    rows = document[f"by_{dimension}"]
    columns = [TableColumn(word("name", lang), 34)]
    columns += [TableColumn(BY_KEY[key].label(lang), 11, BY_KEY[key].format) for key in _BREAKDOWN]
    ranked = dimension == "unit"
    if ranked:
        columns += [
            TableColumn(word("rank", lang), 10, "0", centred=True),
            TableColumn(word("interval", lang), 17, "", centred=True),
        ]
    sheet = book.sheet(word(dimension, lang))
    book.heading(sheet, 0, f"{title_of(document, lang)} · {word(dimension, lang)}", len(columns) - 1, size=14)
    book.note(sheet, 1, about_lines(document, lang)[0], len(columns) - 1)
    book.columns(sheet, columns)
    book.header(sheet, 2, columns)
    sheet.freeze_panes(3, 1)
    for at, row in enumerate(rows, 3):
        depth = row.get("depth", 0)
        dress: dict[str, Any] = {"bold": True, "bg_color": PALE} if depth == 0 and _has_children(rows, at - 3) else {}
        cells: list[Cell] = [name_of(row, lang), *(row["figures"][key]["value"] for key in _BREAKDOWN)]
        if ranked:
            rank = (row.get("ranking") or {}).get("on_time_rate", {"rank": None, "interval": None})
            bounds = rank["interval"]
            cells += [rank["rank"], f"{bounds[0]:.2%} – {bounds[1]:.2%}" if bounds else ""]
        book.row(sheet, at, columns, cells, indent=depth, **dress)
    if rows:
        sheet.autofilter(2, 0, len(rows) + 2, len(columns) - 1)
        bar = {"type": "data_bar", "bar_color": "#A9C1E8", "bar_solid": True}
        sheet.conditional_format(3, 1, len(rows) + 2, 1, bar)
    charts.insert(sheet, dimension, len(rows) + 4)


def _has_children(rows: Sequence[dict[str, Any]], at: int) -> bool:
    return at + 1 < len(rows) and rows[at + 1].get("parent") == rows[at]["code"] and bool(rows[at]["code"])


def _series(book: ReportWorkbook, document: dict[str, Any], lang: str, charts: Charts) -> None:
    columns = [TableColumn(word("period", lang), 24)]
    columns += [TableColumn(BY_KEY[key].label(lang), 12, BY_KEY[key].format) for key in _SERIES]
    sheet = book.sheet(word("series", lang))
    book.heading(sheet, 0, f"{title_of(document, lang)} · {word('series', lang)}", len(columns) - 1, size=14)
    rows = ([point["period"], *(point["figures"][key]["value"] for key in _SERIES)] for point in document["series"])
    charts.insert(sheet, "series", book.table(sheet, 1, columns, rows) + 1)


def _definitions(book: ReportWorkbook, document: dict[str, Any], lang: str) -> None:
    columns = [TableColumn(word("figure", lang), 26), TableColumn(word("key", lang), 26), TableColumn(word("about", lang), 70),
               TableColumn(word("numerator", lang), 52), TableColumn(word("denominator", lang), 34)]  # fmt: skip
    sheet = book.sheet(word("definitions", lang), colour=ORANGE)
    book.heading(
        sheet, 0, f"{word('definitions', lang)} · {document['definitions_version']}", len(columns) - 1, size=14
    )
    rows = ([each.label(lang), each.key, each.about(lang), each.numerator, each.denominator] for each in REGISTRY)
    book.table(sheet, 1, columns, rows)


def _tickets(book: ReportWorkbook, document: dict[str, Any], behind: TicketList, lang: str) -> None:
    """Write the ticket list: filtering a "counted in" column by yes gives as many rows as the figure states."""
    columns = [TableColumn(word("number", lang), 21)]
    columns += [TableColumn(word(f"of_{part}", lang), 18 if part in {"category", "unit", "grid"} else 10) for part in
                ("source", "kind", "category", "unit", "grid", "priority")]  # fmt: skip
    columns.append(TableColumn(word("status", lang), 10, centred=True))
    columns += [
        TableColumn(word(part, lang), 16, _MOMENT)
        for part in ("received_at", "dispatched_at", "due_at", "completed_at")
    ]
    columns += [TableColumn(word(part, lang), 10, centred=True) for part in ("verdict", "satisfaction", "supervised")]
    columns.append(TableColumn(word("reopened", lang), 9, "0", centred=True))
    columns += [TableColumn(word(part, lang), 10, centred=True) for part in
                ("in_received", "in_completed_in_period", "in_open", "in_voided")]  # fmt: skip
    rows = _ticket_rows(document, behind, lang)
    for sheet_number in range(1, max(1, -(-len(behind.facts) // ROWS_PER_SHEET)) + 1):
        name = word("tickets", lang) + (f" {sheet_number}" if sheet_number > 1 else "")
        book.table(book.sheet(name, colour=GREEN), 0, columns, islice(rows, ROWS_PER_SHEET))


def _ticket_rows(document: dict[str, Any], behind: TicketList, lang: str) -> Iterator[list[Cell]]:
    facts, answers = behind.facts, columns_of(behind.facts, behind.period, behind.as_of)
    yes = word("yes", lang)
    texts: list[list[Any]] = [facts["number"].astype(object).where(facts["number"].notna(), None).tolist()]
    for dimension in DIMENSIONS:
        names = {row["code"]: name_of(row, lang) for row in document[f"by_{dimension}"]}
        texts.append(_worded(facts[dimension], names))
    order = [0, 3, 4, 2, 1, 5, 6]  # number, source, kind, category, unit, grid, priority
    cells = [texts[at] for at in order]
    cells.append(_worded(facts["status"], {code: say(STATUS, code, lang) for code in STATUS}))
    moments = ("received_at", "dispatched_at", "complete_due_at", "completed_at")
    cells.extend(_moments(facts[name], behind.period.zone) for name in moments)
    on_time, due = answers.mask("on_time").tolist(), answers.mask("due").tolist()
    good, bad = word("on_time", lang), word("late", lang)
    cells.append([(good if kept else bad) if judged else None for kept, judged in zip(on_time, due, strict=True)])
    cells.append(_worded(facts["satisfaction"], {code: say(SATISFACTION, code, lang) for code in SATISFACTION}))
    cells.append([yes if each else None for each in facts["supervised"].tolist()])
    cells.append([each or "" for each in facts["reopened"].tolist()])
    counted = [answers.mask(BY_KEY[key].numerator) for key in ("received", "completed_in_period", "open", "voided")]
    cells.extend([yes if each else None for each in mask.tolist()] for mask in counted)
    return (list(row) for row in zip(*cells, strict=True))


def _worded(column: pd.Series, names: dict[str, str]) -> list[str | None]:
    words = [names.get(str(code), str(code)) for code in column.cat.categories]
    return [words[code] if code >= 0 else None for code in column.cat.codes.tolist()]


def _moments(column: pd.Series, zone: str) -> list[datetime | None]:
    local = column.dt.tz_convert(ZoneInfo(zone))
    return [None if missing else moment.to_pydatetime() for moment, missing in zip(local, local.isna(), strict=True)]
