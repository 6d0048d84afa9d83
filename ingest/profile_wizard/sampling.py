"""Sample the first rows of an unknown file, for display and for the proposal of a mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.formats.base import FileLimits, SourceRow, weight_of
from ingest.formats.header import HeaderRule
from ingest.formats.json_rows import row_of
from ingest.formats.open import RowFile
from ingest.profile_wizard.vocabulary import heading_fit

ROWS = 1_000
"""Maximum rows of a sample."""
WEIGHT = 16 * 1024 * 1024
"""Approximate maximum bytes of a sample, which bounds memory for large rows."""
_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a file. ``rows``: readable rows; ``broken``: unreadable rows with their errors; ``whole``: the sample
    contains all rows of the file."""

    format: str
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    sheets: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[SourceRow, ...]
    broken: tuple[SourceRow, ...]
    whole: bool


def read_sample(
    path: Path,
    *,
    sheet: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    limits: FileLimits | None = None,
    most: int = ROWS,
) -> Sample:
    """Read the first ``most`` rows of the file at ``path`` with the best-fitting header. Raises BadRequest or TooLarge for
    a file that is not a table."""
    rule = HeaderRule(heading_fit, first=False)
    with RowFile(path, header=rule, encoding=encoding, delimiter=delimiter, sheet=sheet, limits=limits) as file:
        rows, broken, whole = _take(file.rows(), most)
        columns: Sequence[str] = file.columns
        if file.format in ("json", "ndjson"):
            columns, rows = _as_table(rows)
        return Sample(
            file.format, file.encoding, file.delimiter, file.sheet, tuple(file.sheets), tuple(columns), tuple(rows),
            tuple(broken), whole,
        )  # fmt: skip


def _take(source: Iterator[SourceRow], most: int) -> tuple[list[SourceRow], list[SourceRow], bool]:
    rows: list[SourceRow] = []
    broken: list[SourceRow] = []
    held = 0
    for row in source:
        if len(rows) + len(broken) >= most or held > WEIGHT:
            return rows, broken, False
        held += weight_of(row)
        (broken if row.fault else rows).append(row)
    return rows, broken, True


def _as_table(rows: Sequence[SourceRow]) -> tuple[list[str], list[SourceRow]]:
    """Convert JSON objects to rows over all their members, nested ones by dotted names."""
    objects = [row.cells[-1] for row in rows]
    columns = list(dict.fromkeys(name for each in objects for name in _members(each)))
    return columns, [
        SourceRow(row.number, list(row_of(row.number, each, columns)[1].cells[:-1]), None, row.line)
        for row, each in zip(rows, objects, strict=True)
    ]


def _members(value: Mapping[str, Any], depth: int = 1) -> Iterator[str]:
    for name, inner in value.items():
        if isinstance(inner, dict) and inner and depth < _DEPTH:
            yield from (f"{name}.{below}" for below in _members(inner, depth + 1))
        else:
            yield name


def as_json(cell: Any) -> Any:
    """Return a cell as a JSON value: dates as ISO text, everything else unchanged."""
    if cell is None or isinstance(cell, str | int | float | bool):
        return cell
    return json.loads(json.dumps(cell, ensure_ascii=False, default=str))
