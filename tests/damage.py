"""A table damaged in ten ways, a known number of rows each: what an import must say of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

WAYS: dict[str, str] = {
    "no identifier": "missing",
    "a time in words": "moment_written",
    "30 February": "moment_impossible",
    "a word without a code": "value_unknown",
    "cells missing": "column_count",
    "a cell too many": "column_count",
    "a quotation mark never closed": "quote_unclosed",
    "on time and late at once": "verdict_both",
    "another row's identifier": "differs",
    "no title": "missing",
}
"""What was done to a row → the reason for which it must be refused."""


def expected(rows: int) -> Counter[str]:
    """How many rows are refused for which reason, of ``rows`` damaged ones."""
    found: Counter[str] = Counter()
    for number, reason in enumerate(WAYS.values()):
        found[reason] += len(range(number, rows, len(WAYS)))
    return found


def damaged(header: Sequence[str], rows: Sequence[Sequence[str]], count: int, seed: int = 7) -> str:
    """The Pingshan table as CSV, ``count`` of its rows damaged, each in one of the ten ways; the first row is left."""
    place = {name: header.index(name) for name in header}
    chosen = random.Random(seed).sample(range(1, len(rows)), count)
    ways = {row: list(WAYS)[number % len(WAYS)] for number, row in enumerate(chosen)}
    lines = [_line(header)]
    for number, row in enumerate(rows):
        cells, way = list(row), ways.get(number)
        if way == "no identifier":
            cells[place["REC_ID"]] = "-"
        elif way == "a time in words":
            cells[place["CREATE_TIME"]] = "昨天下午"
        elif way == "30 February":
            cells[place["CREATE_TIME"]] = "2018-02-30 10:00:00"
        elif way == "a word without a code":
            cells[place["EVENT_PROPERTY_NAME"]] = "闲聊"
        elif way == "cells missing":
            cells = cells[:-3]
        elif way == "a cell too many":
            cells = [*cells, "多余"]
        elif way == "on time and late at once":
            cells[place["INTIME_ARCHIVE_NUM"]] = cells[place["OVERTIME_ARCHIVE_NUM"]] = "1"
        elif way == "another row's identifier":
            cells[place["REC_ID"]] = rows[0][place["REC_ID"]]
        elif way == "no title":
            cells[place["MAIN_TYPE_NAME"]] = cells[place["SUB_TYPE_NAME"]] = "-"
        line = _line(cells)
        lines.append('"' + line if way == "a quotation mark never closed" else line)
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return ",".join(f'"{cell}"' if "," in cell else cell for cell in cells)
