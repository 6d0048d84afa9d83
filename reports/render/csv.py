"""A report or clear-out list as CSV: one line per figure, with numerator and denominator, for further calculation.

UTF-8 with a byte order mark, which Excel needs to detect the encoding. A text that a spreadsheet would parse as a
formula is prefixed with an apostrophe (OWASP, CSV injection); numbers stay numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reports.figures.counting import DIMENSIONS
from reports.metrics import BY_KEY
from reports.render.words import name_of, word

Cell = str | int | float | None

_FORMULA_SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def safe(value: Cell) -> Cell:
    """Return ``value`` safe for a spreadsheet: a text that looks like a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_SIGNS) else value


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table to ``path``, every cell made safe; a missing value is empty."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow([safe(cell) for cell in header])
        writer.writerows([safe(cell) for cell in row] for row in rows)


def render(document: dict[str, Any], path: Path, lang: str = "zh") -> None:
    """Write a report (one line per figure) or a clear-out list (one line per ticket) to ``path``."""
    columns: tuple[str, ...]
    if document["kind"] == "clear-out":
        columns = ("number", "title", "of_unit", "of_category", "reasons", "stage", "unit_days", "citizen_days", "lists",
                   "leader", "measures", "condition", "state")  # fmt: skip
        write_rows(path, [word(column, lang) for column in columns], clear_out_rows(document, lang))
        return
    columns = ("section", "code", "name", "key", "figure", "value", "numerator", "denominator", "previous", "last_year")
    write_rows(path, [word(column, lang) for column in columns], _figure_rows(document, lang))


def clear_out_rows(document: dict[str, Any], lang: str) -> Iterator[list[Cell]]:
    """Return a clear-out list's rows, one per ticket, in the document's order."""
    joint = "; " if lang == "en" else "；"
    for item in document["items"]:
        unit, category, stage = (_named(item.get(part), lang) for part in ("unit", "category", "stage"))
        yield [
            item["number"],
            item["title"],
            unit,
            category,
            joint.join(reason["en" if lang == "en" else "zh"] for reason in item["reasons"]),
            stage,
            round(item["unit_seconds"] / 3600, 1),
            round(item["citizen_seconds"] / 86400, 1),
            item["lists"],
            item.get("leader"),
            item.get("measures"),
            item.get("condition"),
            word(item["state"], lang),
        ]


def _named(part: dict[str, Any] | None, lang: str) -> str | None:
    return name_of(part, lang) if part else None


def _figure_rows(document: dict[str, Any], lang: str) -> Iterator[list[Cell]]:
    compare = document.get("compare") or {}
    yield from _lines(word("whole", lang), "", word("whole", lang), document["figures"], compare, lang)
    for dimension in DIMENSIONS:
        for row in document[f"by_{dimension}"]:
            name = name_of(row, lang)
            yield from _lines(word(dimension, lang), row["code"], name, row["figures"], row.get("compare") or {}, lang)
    for point in document["series"]:
        yield from _lines(word("series", lang), point["period"], point["period"], point["figures"], {}, lang)


def _lines(
    section: str, code: str, name: str, figures: dict[str, Any], compare: dict[str, Any], lang: str
) -> Iterator[list[Cell]]:
    for key, figure in figures.items():
        past = [((compare.get(which) or {}).get(key) or {}).get("value") for which in ("previous", "last_year")]
        label = BY_KEY[key].label(lang) if key in BY_KEY else key
        yield [
            section,
            code,
            name,
            key,
            label,
            figure["value"],
            figure.get("numerator"),
            figure.get("denominator"),
            *past,
        ]
