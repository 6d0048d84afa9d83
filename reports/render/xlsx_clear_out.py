"""A clear-out list as a workbook: the outcome of the last list, the list itself, and counts by reason and unit."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from reports.metrics import BY_KEY
from reports.render.book import NAVY, ReportWorkbook, TableColumn
from reports.render.csv import clear_out_rows
from reports.render.words import name_of, title_of, word
from reports.render.xlsx import about_lines


def render(document: dict[str, Any], path: Path, lang: str = "zh") -> None:
    """Write the clear-out list ``document`` to ``path``."""
    footer = f"{word('edition', lang)} {document['edition'] or word('draft', lang)}"
    if document.get("hash"):
        footer += f" · {word('hash', lang)} {document['hash'][:32]}"
    created = datetime.fromisoformat(document["as_of"])
    with ReportWorkbook(
        path, title=title_of(document, lang), created=created, footer=footer, page=word("page", lang)
    ) as book:
        _list(book, document, lang)
        _counts(book, document, lang)


def _list(book: ReportWorkbook, document: dict[str, Any], lang: str) -> None:
    """Write the list, with wide empty cells for what the leader is to fill in."""
    columns = [
        TableColumn(word("number", lang), 21),
        TableColumn(word("title", lang), 34),
        TableColumn(word("of_unit", lang), 16),
        TableColumn(word("of_category", lang), 14),
        TableColumn(word("reasons", lang), 30),
        TableColumn(word("stage", lang), 10, centred=True),
        TableColumn(word("unit_days", lang), 12, "#,##0.0"),
        TableColumn(word("citizen_days", lang), 10, "#,##0.0"),
        TableColumn(word("lists", lang), 9, "0", centred=True),
        TableColumn(word("leader", lang), 12),
        TableColumn(word("measures", lang), 26),
        TableColumn(word("condition", lang), 22),
        TableColumn(word("state", lang), 10, centred=True),
    ]
    sheet = book.sheet(word("clear-out", lang), colour=NAVY)
    last = len(columns) - 1
    book.heading(sheet, 0, title_of(document, lang), last, size=18)
    lines = [*about_lines(document, lang), _account(document, lang)]
    for at, line in enumerate(lines, 1):
        book.note(sheet, at, line, last)
    book.table(sheet, len(lines) + 1, columns, clear_out_rows(document, lang))


def _account(document: dict[str, Any], lang: str) -> str:
    """Return the number listed and the outcome of the last list, as a sentence."""
    summary = document["summary"]
    colon, gap = (": ", "    ") if lang == "en" else ("：", "    ")
    parts = [f"{word('listed', lang)}{colon}{summary['listed']:,}"]
    settled = summary.get("last")
    if settled:
        rate = settled["rate"]["value"]
        parts.append(
            f"{word('last_list', lang)} ({settled['period']}){colon}{word('listed', lang)} {settled['listed']:,}, "
            f"{word('cleared', lang)} {settled['cleared']:,}, {word('carried_over', lang)} {settled['carried_over']:,}, "
            f"{word('put_back', lang)} {settled['put_back']:,}, "
            f"{word('clearing_rate', lang)} {'–' if rate is None else f'{rate:.2%}'}"
        )
    return gap.join(parts)


def _counts(book: ReportWorkbook, document: dict[str, Any], lang: str) -> None:
    """Write the number of listed tickets by reason and by unit; a ticket may have several reasons."""
    for section, key in (("by_reason", "reason"), ("unit", "of_unit")):
        rows = document["summary"]["by_reason" if section == "by_reason" else "by_unit"]
        sheet = book.sheet(word(section, lang), landscape=False)
        columns = [TableColumn(word(key, lang), 40), TableColumn(word("count", lang), 14, BY_KEY["received"].format)]
        book.table(sheet, 0, columns, ([name_of(row, lang), row["count"]] for row in rows))
