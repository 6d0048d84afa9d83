"""Evaluate the registry's figures over a facts frame, for the whole and for every group of a dimension at once.

A million tickets take a second or two: each condition is one boolean array, a breakdown of it one ``bincount`` over the
leaves of the dimension's tree; inner nodes are sums of their leaves, never counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.expr import FactColumns
from reports.facts.frame import PATH_SEPARATOR
from reports.metrics import CONDITIONS, REGISTRY, Definition
from reports.period import Period

Ints = npt.NDArray[np.int64]

DIMENSIONS: dict[str, tuple[str, bool]] = {
    "unit": ("unit_path", True),
    "category": ("category_path", True),
    "source": ("source", False),
    "kind": ("kind", False),
    "grid": ("grid_path", True),
    "priority": ("priority", False),
}
"""Each dimension's column, and whether it is a tree (whose column holds paths)."""

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one group. ``value`` is already rounded; None if the denominator is 0.

    A ratio and a mean carry numerator and denominator; a percentile carries ``n``, its number of tickets.
    """

    value: int | Decimal | None
    numerator: int | None = None
    denominator: int | None = None
    n: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the figure as specified by the contract."""
        value = float(self.value) if isinstance(self.value, Decimal) else self.value
        found: dict[str, Any] = {"value": value}
        if self.denominator is not None:
            found |= {"numerator": self.numerator, "denominator": self.denominator}
        if self.n is not None:
            found["n"] = self.n
        return found


Figures = dict[str, Figure]


def rounded(value: Fraction, places: int) -> Decimal:
    """Round ``value`` half up to ``places`` decimals, in integer arithmetic: the only place where a figure is rounded."""
    scale = 10**places
    return Decimal((2 * value.numerator * scale + value.denominator) // (2 * value.denominator)).scaleb(-places)


def columns_of(facts: pd.DataFrame, period: Period, as_of: datetime) -> FactColumns:
    """Wrap the frame so that it evaluates conditions about ``period`` as known at ``as_of``."""
    moments = {"start": period.start, "end": period.end, "as_of": as_of}
    parameters = {
        name: np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us") for name, moment in moments.items()
    }
    return FactColumns(facts, parameters, CONDITIONS)


class Grouping:
    """The assignment of a frame's rows to the nodes of a dimension.

    ``codes`` and ``parents`` (-1: none) describe the nodes; ``leaf`` is each row's leaf; ``levels`` gives, for each
    depth, the node of each leaf (-1: the leaf is less deep). The node with the code "" holds the rows without a value, so
    the root nodes add up to the whole.
    """

    def __init__(self, leaf: Ints, paths: Sequence[Sequence[str]]) -> None:
        self.leaf = leaf
        self.leaves = len(paths)
        self.codes: list[str] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        known: dict[tuple[str, ...], int] = {}
        depth = max((len(path) for path in paths), default=0)
        self.levels: list[Ints] = [np.full(self.leaves, -1, dtype=np.int64) for _ in range(depth)]
        for at, path in enumerate(paths):
            parent = -1
            for level, code in enumerate(path):
                node = known.setdefault(tuple(path[: level + 1]), len(self.codes))
                if node == len(self.codes):
                    self.codes.append(code)
                    self.parents.append(parent)
                    self.depths.append(level)
                self.levels[level][at] = parent = node

    def roll_up(self, per_leaf: Ints) -> Ints:
        """Return the total of each node, given the value of each leaf."""
        total = np.zeros(len(self.codes), dtype=np.int64)
        for level in self.levels:
            reached = level >= 0
            np.add.at(total, level[reached], per_leaf[reached])
        return total


def whole(columns: FactColumns) -> Grouping:
    """Return the grouping with a single node for all rows; an empty frame has that node too."""
    return Grouping(np.zeros(len(columns.frame), dtype=np.int64), [["all"]])


def grouping_of(columns: FactColumns, dimension: str) -> Grouping:
    """Return the grouping of the frame by ``dimension``, one of DIMENSIONS."""
    name, tree = DIMENSIONS[dimension]
    column = columns.frame[name].cat.remove_unused_categories()
    values = [str(value) for value in column.cat.categories]
    paths = [value.split(PATH_SEPARATOR) if tree else [value] for value in values]
    leaf = column.cat.codes.to_numpy().astype(np.int64)
    if (leaf < 0).any():
        leaf[leaf < 0] = len(paths)
        paths.append([""])
    return Grouping(leaf, paths)


class FigureCounter:
    """Evaluates figures over one frame; the rows that satisfy a condition are found once for all groupings."""

    def __init__(self, columns: FactColumns) -> None:
        self.columns = columns
        self._rows: dict[str, Ints] = {}
        self._sorted: dict[tuple[str, str], Ints] = {}

    def rows(self, condition: str) -> Ints:
        """Return the positions of the rows that satisfy ``condition``."""
        found = self._rows.get(condition)
        if found is None:
            found = self._rows[condition] = np.flatnonzero(self.columns.mask(condition))
        return found

    def figures(self, grouping: Grouping, definitions: Iterable[Definition] = REGISTRY) -> list[Figures]:
        """Return the figures of every node of ``grouping``, in the order of its nodes."""
        found: list[Figures] = [{} for _ in grouping.codes]
        counted: dict[str, Ints] = {}

        def count(condition: str) -> Ints:
            if condition not in counted:
                leaves = grouping.leaf[self.rows(condition)]
                counted[condition] = grouping.roll_up(np.bincount(leaves, minlength=grouping.leaves))
            return counted[condition]

        for each in definitions:
            numbers: Iterable[Figure]
            if each.kind == "count":
                numbers = (Figure(value) for value in count(each.numerator).tolist())
            elif each.kind == "ratio":
                below = count(each.denominator)
                if each.of_whole:
                    below = np.full_like(below, len(self.rows(each.denominator)))
                numbers = (_ratio(n, d) for n, d in zip(count(each.numerator).tolist(), below.tolist(), strict=True))
            elif each.kind == "mean":
                sums, below = self._sums(grouping, each), count(each.numerator)
                numbers = (_mean(n, d) for n, d in zip(sums.tolist(), below.tolist(), strict=True))
            else:
                numbers = self._percentiles(grouping, each)
            for figures, number in zip(found, numbers, strict=True):
                figures[each.key] = number
        return found

    def _sums(self, grouping: Grouping, definition: Definition) -> Ints:
        rows = self.rows(definition.numerator)
        values = self.columns.array(definition.column)[rows].astype(np.float64)  # whole numbers below 2**53: exact
        sums = np.bincount(grouping.leaf[rows], weights=values, minlength=grouping.leaves)
        return grouping.roll_up(sums.astype(np.int64))

    def _percentiles(self, grouping: Grouping, definition: Definition) -> list[Figure]:
        """Compute percentiles level by level: rows sorted by value, then stably by node, so each node is contiguous."""
        rows = self._in_order(definition.numerator, definition.column)
        values = self.columns.array(definition.column)[rows]
        found = [Figure(None, n=0)] * len(grouping.codes)
        quantile = Fraction(str(definition.quantile))
        for level in grouping.levels:
            nodes = level[grouping.leaf[rows]]
            small = len(grouping.codes) < np.iinfo(np.int16).max  # numpy sorts 16-bit integers by radix
            order = np.argsort(nodes.astype(np.int16) if small else nodes, kind="stable")
            ordered = values[order]
            sizes = np.bincount(nodes[nodes >= 0], minlength=len(grouping.codes))
            begin = int((nodes < 0).sum())
            for node in np.flatnonzero(sizes).tolist():
                size = int(sizes[node])
                seconds = _interpolated(ordered[begin : begin + size], quantile)
                found[node] = Figure(rounded(seconds / _SECONDS_PER_HOUR, 2), n=size)
                begin += size
        return found

    def _in_order(self, condition: str, column: str) -> Ints:
        key = (condition, column)
        if key not in self._sorted:
            rows = self.rows(condition)
            self._sorted[key] = rows[np.argsort(self.columns.array(column)[rows], kind="stable")]
        return self._sorted[key]


def _ratio(numerator: int, denominator: int) -> Figure:
    value = rounded(Fraction(numerator, denominator), 4) if denominator else None
    return Figure(value, numerator, denominator)


def _mean(total: int, count: int) -> Figure:
    return Figure(rounded(Fraction(total, count), 2) if count else None, total, count)


def _interpolated(ordered: npt.NDArray[np.generic], quantile: Fraction) -> Fraction:
    """Interpolate as PERCENTILE_CONT: between the two neighbours of position quantile × (n − 1), proportionally."""
    position = quantile * (len(ordered) - 1)
    low = position.numerator // position.denominator
    left = Fraction(int(ordered[low]))
    if low == position:
        return left
    return left + (position - low) * (Fraction(int(ordered[low + 1])) - left)
