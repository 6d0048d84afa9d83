"""Which of a table's first rows are its header: one row, or several whose cells were merged.

A heading merged over several columns is in the first of them, and the rows below it divide it; one merged over several
rows is in the topmost. So ``诉求人`` over ``姓名`` and ``电话`` gives the columns ``诉求人 姓名`` and
``诉求人 电话``, and ``编号`` with nothing below it is ``编号``. Where the rule knows more of the columns by their lowest
heading alone, ``姓名`` and ``电话``, that is what they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.errors import BadRequest
from ingest.formats.base import unique_names

HEADER_WITHIN = 20
"""A header is looked for within this many rows: titles, blank rows and notes may stand above it."""
DEEPEST = 3
"""Rows that one header may be made of."""

Fit = Callable[[Sequence[str]], float]
"""How well these names would do as a header; 0 where they are none."""


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """How a header is detected. ``first``: the first row that fits at all, for a profile that knows its columns; else the
    row that fits best, for an unknown file."""

    fit: Fit
    first: bool = True


class Header(NamedTuple):
    """A header found: its names, and the rows of it, from ``start`` up to and without ``end``."""

    names: list[str]
    start: int
    end: int


def find_header(rows: Sequence[Sequence[Any]], rule: HeaderRule | None) -> Header | None:
    """The header among ``rows``, the first of a table: for want of a rule, or where nothing fits, the first row that
    holds anything; none where all are blank."""
    best: Header | None = None
    best_fit = 0.0
    for start in range(min(len(rows), HEADER_WITHIN) if rule else 0):
        assert rule is not None, "there is nothing to go through without one"
        found, fit = _best_at(rows, start, rule.fit)
        if fit > best_fit:
            best, best_fit = found, fit
            if rule.first:
                break
    if best is not None:
        return best
    start = next((i for i, cells in enumerate(rows) if any(map(_text, cells))), -1)
    return Header(combined(rows[start : start + 1]), start, start + 1) if start >= 0 else None


def _best_at(rows: Sequence[Sequence[Any]], start: int, fit: Fit) -> tuple[Header, float]:
    """The best header that begins in row ``start``; of two that do as well, the one of fewer rows."""
    best, best_fit = Header([], start, start), 0.0
    if not any(map(_text, rows[start])):
        return best, best_fit
    for depth in range(1, DEEPEST + 1):
        part = rows[start : start + depth]
        if len(part) < depth or (depth > 1 and not _divided(part[-2], part[-1])):
            break
        # The lowest headings alone only where the first row is a header by itself: a title is not what divides them.
        by_itself = depth > 1 and fit(combined(part[:1])) > 0
        for names in (combined(part), lowest(part)) if by_itself else (combined(part),):
            found = fit(names)
            if found > best_fit:
                best, best_fit = Header(names, start, start + depth), found
    return best, best_fit


def _divided(upper: Sequence[Any], lower: Sequence[Any]) -> bool:
    """Whether ``lower`` may divide headings of ``upper``: somewhere it says something that the row above leaves open."""
    return any(_text(cell) and not _at(upper, place) for place, cell in enumerate(lower))


def combined(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the column names under a header of these rows, each with the headings above it, without duplicates."""
    return unique_names([" ".join(parts) for parts in _headings(rows)])


def lowest(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the column names by the lowest heading of each column, with the headings above it where several share it."""
    headings = _headings(rows)
    last = [parts[-1] if parts else "" for parts in headings]
    return unique_names(
        [" ".join(parts) if last.count(name) > 1 else name for parts, name in zip(headings, last, strict=True)]
    )


def _headings(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    width = max(map(len, rows), default=0)
    headings: list[list[str]] = [[] for _ in range(width)]
    for level, cells in enumerate(rows):
        below = [any(_at(row, place) for row in rows[level + 1 :]) for place in range(width)]
        spread, above = "", []
        for place in range(width):
            own = _at(cells, place)
            if own:  # merged over columns only where its own column is divided below
                spread, above = own if below[place] else "", list(headings[place])
                headings[place] += [own] if headings[place][-1:] != [own] else []
            elif spread and below[place] and headings[place] == above:
                headings[place].append(spread)
            else:
                spread = ""
    return headings


def _at(cells: Sequence[Any], place: int) -> str:
    return _text(cells[place]) if place < len(cells) else ""


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).replace("\ufeff", "").strip()


def too_many_columns(most: int) -> BadRequest:
    """Return the error of a header with too many columns."""
    return BadRequest(
        f"表头超过 {most} 列；请只保留需要的列后导入",
        f"the header has more than {most} columns; keep those that are needed",
        reason="columns-many",
    )
