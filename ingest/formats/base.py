"""What every source of rows gives: numbered rows over named columns, with a measure of how far it has got."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any, NamedTuple

from app.errors import FieldProblem
from app.turns import Turns

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How much a file may be, so that none can exhaust memory or disk. Sizes are in bytes unless stated otherwise.

    ``ratio`` is unpacked to packed, judged once ``ratio_from`` bytes are out: a bomb is a thousand to one, real tables
    ten or twenty. ``record`` is one line, JSON element or quoted record, in characters. ``memory`` and ``seconds`` (of
    a processor) are what the process that reads a spreadsheet may take, and ``turns`` says how many such processes there
    may be at once; none: as many as ask.
    """

    unpacked: int = 16 * 1024 * MIB
    ratio: int = 300
    ratio_from: int = 32 * MIB
    rows: int = 20_000_000
    columns: int = 1_000
    record: int = MIB
    spreadsheet: int = 1024 * MIB
    cells: int = 32_000_000
    memory: int = 6 * 1024 * MIB
    seconds: int = 600
    turns: Turns | None = None


class SourceRow(NamedTuple):
    """One row: ``number`` counts from 1 below the header, blank rows included, as a spreadsheet shows it less the
    header; ``cells`` follow the file's columns; a ``fault`` says why the cells cannot be trusted. ``line`` is what
    came, where that is not the cells themselves."""

    number: int
    cells: Sequence[Any]
    fault: FieldProblem | None = None
    line: str | None = None


def weight_of(row: SourceRow) -> int:
    """Return approximately how many bytes a row takes in memory, to bound the memory of buffered rows."""
    if row.line is not None:  # a small container is twenty times its text
        return len(row.line) + 64 * (row.line.count(",") + row.line.count("[") + row.line.count("{"))
    return sum([len(cell) + 64 if isinstance(cell, str) else 64 for cell in row.cells])


def raw_text(row: SourceRow, columns: Sequence[str]) -> str:
    """The row as it came, whole: its line, or its cells as a JSON object (an array, where they do not fit the columns).
    Lone surrogates stand escaped, so that any database can keep it."""
    if row.line is not None:
        return row.line.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")
    fits = len(row.cells) == len(columns)
    content: Any = dict(zip(columns, row.cells, strict=True)) if fits else list(row.cells)
    raw = json.dumps(content, ensure_ascii=False, default=_plain_json)
    return raw.encode("utf-8", "backslashreplace").decode()


def _plain_json(value: Any) -> Any:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def unique_names(cells: Sequence[Any]) -> list[str]:
    """Header cells as column names: trimmed, the second ``x`` as ``x (2)``, a nameless column as ``column 7``."""
    names: list[str] = []
    taken: set[str] = set()
    for position, cell in enumerate(cells, 1):
        name = " ".join(str("" if cell is None else cell).replace("\ufeff", "").split()) or f"column {position}"
        candidate, copy = name, 2
        while candidate in taken:
            candidate, copy = f"{name} ({copy})", copy + 1
        taken.add(candidate)
        names.append(candidate)
    return names
