"""A report's body: the registry's figures over facts, for the whole and by dimension, compared with the past.

    facts (one row per ticket)  →  compute()  →  ReportBody  →  as_json(): the report of the contract

Conversely, ``tickets_behind`` lists the tickets that a figure counts, by the same conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from app.errors import DubanError, Invalid
from app.text import Text
from reports.expr import FactColumns
from reports.facts.names import Names
from reports.figures import wilson
from reports.figures.counting import DIMENSIONS, FigureCounter, Figures, Grouping, columns_of, grouping_of, whole
from reports.metrics import BALANCE_LEFT, BALANCE_RIGHT, BY_KEY, HEADLINES, definitions_version
from reports.period import Period

RANKED = ("on_time_rate", "completion_rate", "satisfaction_rate")
"""The ratios by which units are ranked within their tier."""
RANK_FROM = 30
"""A ratio that stands on fewer tickets is shown, not ranked (metrics.md, Rules)."""
_TICKETS_NAMED = 20


class BalanceBroken(DubanError):
    """The balance does not close, so no report is produced. ``terms`` as counted; ``tickets`` (numbers) that break it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "balance-broken"
    title: ClassVar[Text] = Text("报表不平衡", "The report does not balance")

    def __init__(self, terms: Mapping[str, int], tickets: Sequence[str], at_odds: int) -> None:
        left, right = (sum(terms[key] for key in side) for side in (BALANCE_LEFT, BALANCE_RIGHT))
        shown = ", ".join(f"{key} {terms[key]}" for key in (*BALANCE_LEFT, *BALANCE_RIGHT))
        named = ", ".join(tickets)
        super().__init__(
            f"左边合计 {left}，右边合计 {right}，{at_odds} 张工单对不上（{shown}）：{named}",
            f"the left side adds up to {left}, the right to {right}; {at_odds} tickets at odds ({shown}): {named}",
        )
        self.terms = dict(terms)
        self.tickets = tuple(tickets)


@dataclass(frozen=True, slots=True)
class EarlierFacts:
    """Facts of an earlier period, as known at ``as_of``, for comparison."""

    period: Period
    as_of: datetime
    facts: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a series: the whole's figures of one period."""

    period: Period
    as_of: datetime
    figures: Figures


@dataclass(frozen=True, slots=True)
class ReportBody:
    """A report before it is sealed; ``rows`` by dimension, JSON-ready."""

    period: Period
    as_of: datetime
    scope: Mapping[str, str | None]
    figures: Figures
    rows: Mapping[str, list[dict[str, Any]]]
    series: Sequence[Point]
    compare: Mapping[str, Figures]
    compared_with: Mapping[str, EarlierFacts]
    balance: Mapping[str, int]

    def as_json(self, edition: int | None = None, digest: str | None = None) -> dict[str, Any]:
        """Return the report as specified by the contract; ``edition`` and ``digest`` (its hash) are set when it is sealed."""
        period = self.period
        return {
            "kind": period.kind,
            "period": period.key,
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "as_of": _local(self.as_of, period),
            "scope": dict(self.scope),
            "edition": edition,
            "hash": digest,
            "definitions_version": definitions_version(),
            "figures": _json(self.figures),
            **{f"by_{dimension}": self.rows[dimension] for dimension in DIMENSIONS},
            "series": [
                {
                    "period": point.period.key,
                    "start": point.period.start.isoformat(),
                    "end": point.period.end.isoformat(),
                    "as_of": _local(point.as_of, period),
                    "figures": _json(point.figures),
                }
                for point in self.series
            ],
            "compare": {key: _json(figures) for key, figures in self.compare.items()},
            "compared_with": {
                key: {"period": past.period.key, "as_of": _local(past.as_of, period)}
                for key, past in self.compared_with.items()
            },
            "balance": dict(self.balance),
            "verdicts_from_source": self.figures["verdicts_from_source"].value,
        }


def compute(
    facts: pd.DataFrame,
    period: Period,
    as_of: datetime,
    scope: Mapping[str, str | None],
    *,
    names: Names | None = None,
    past: Mapping[str, EarlierFacts] | None = None,
    series: Sequence[Point] = (),
) -> ReportBody:
    """Compute the report's body from conforming ``facts`` (already within ``scope``).

    ``past`` may hold ``previous`` and ``last_year``; ``series`` its points, oldest first.
    Raises Invalid if ``as_of`` is before the period, BalanceBroken if the balance does not close.
    """
    if as_of < period.start.astimezone(UTC):
        raise Invalid.at(
            "/as_of",
            f"统计时点 {_local(as_of, period)} 在期初 {period.start.isoformat()} 之前",
            f"as_of {_local(as_of, period)} is before the period's start {period.start.isoformat()}",
        )
    names, past = names or Names(), past or {}
    columns = columns_of(facts, period, as_of)
    counter = FigureCounter(columns)
    figures = counter.figures(whole(columns))[0]
    balance = _balance(columns, figures)
    earlier = {key: FigureCounter(columns_of(each.facts, each.period, each.as_of)) for key, each in past.items()}
    rows = {
        dimension: _rows(dimension, counter, names, {key: _headlines(each, dimension) for key, each in earlier.items()})
        for dimension in DIMENSIONS
    }
    compare = {key: each.figures(whole(each.columns))[0] for key, each in earlier.items()}
    return ReportBody(period, as_of, scope, figures, rows, series, compare, past, balance)


def figures_of(facts: pd.DataFrame, period: Period, as_of: datetime) -> Figures:
    """Return the figures of the whole only: a point of a series."""
    columns = columns_of(facts, period, as_of)
    return FigureCounter(columns).figures(whole(columns))[0]


def tickets_behind(
    facts: pd.DataFrame,
    period: Period,
    as_of: datetime,
    figure: str,
    group: str | None = None,
    part: str = "numerator",
) -> list[int]:
    """Return the ids of the tickets that ``figure`` counts, ascending: as many as its numerator (or denominator).

    ``group`` is ``dimension:code`` (``unit:`` alone: tickets without one), None for the whole. For a mean or percentile
    the list holds the tickets it is computed over. Raises Invalid for an unknown figure, group or part.
    """
    definition = BY_KEY.get(figure)
    if definition is None:
        raise Invalid.at(
            "/figure", f"没有“{figure}”这项指标", f"there is no figure {figure!r}; see GET /metrics/definitions"
        )
    if part not in {"numerator", "denominator"}:
        raise Invalid.at("/part", "只能是 numerator 或 denominator", "numerator or denominator is needed")
    columns = columns_of(facts, period, as_of)
    text = definition.denominator if part == "denominator" and definition.denominator else definition.numerator
    chosen = columns.mask(text)
    if group and not (part == "denominator" and definition.of_whole):
        chosen = chosen & _members(columns, group)
    return sorted(facts["ticket_id"].to_numpy()[chosen].tolist())


def _members(columns: FactColumns, group: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    dimension, colon, code = group.partition(":")
    if dimension not in DIMENSIONS or not colon:
        raise Invalid.at(
            "/group", f"“{group}”不是分组；应如 unit:代码", f"{group!r} is no group; one like unit:CODE is needed"
        )
    grouping = grouping_of(columns, dimension)
    nodes = [node for node, each in enumerate(grouping.codes) if each == code]
    member = np.zeros(grouping.leaves, dtype=bool)
    for level in grouping.levels:
        member |= np.isin(level, nodes)
    found: np.ndarray[Any, np.dtype[np.bool_]] = member[grouping.leaf]
    return found


def _balance(columns: FactColumns, figures: Figures) -> dict[str, int]:
    """Check the balance ticket by ticket, so that errors that cancel out in the sums are found; return its terms."""
    at_odds = np.zeros(len(columns.frame), dtype=np.int64)
    for side, sign in ((BALANCE_LEFT, 1), (BALANCE_RIGHT, -1)):
        for key in side:
            at_odds += sign * columns.mask(BY_KEY[key].numerator).astype(np.int64)
    terms = {key: int(figures[key].value or 0) for key in (*BALANCE_LEFT, *BALANCE_RIGHT)}
    wrong = np.flatnonzero(at_odds)
    if len(wrong):
        first = columns.frame.iloc[wrong[:_TICKETS_NAMED]]
        numbers = first["number"].astype(object).where(first["number"].notna(), first["ticket_id"].astype(str))
        raise BalanceBroken(terms, [str(number) for number in numbers], len(wrong))
    return terms


def _headlines(counter: FigureCounter, dimension: str) -> dict[str, dict[str, Any]]:
    """Return the headline figures of every code of a dimension in an earlier period, JSON-ready."""
    grouping = grouping_of(counter.columns, dimension)
    figures = counter.figures(grouping, [BY_KEY[key] for key in HEADLINES])
    return {code: _json(each) for code, each in zip(grouping.codes, figures, strict=True)}


def _rows(
    dimension: str, counter: FigureCounter, names: Names, earlier: Mapping[str, Mapping[str, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return a dimension's rows: parents before children, larger siblings first, rows without a value last."""
    grouping = grouping_of(counter.columns, dimension)
    figures = counter.figures(grouping)
    direct = np.bincount(grouping.leaf[counter.rows("received")], minlength=grouping.leaves)
    own = _own(grouping, direct)
    rows = []
    for node in _walk(grouping, figures):
        code, parent = grouping.codes[node], grouping.parents[node]
        zh, en = names.of(dimension, code)
        row: dict[str, Any] = {"code": code, "name": zh, "name_en": en}
        if DIMENSIONS[dimension][1]:
            row["parent"] = grouping.codes[parent] if parent >= 0 else None
            row["depth"] = grouping.depths[node]
            row["received_directly"] = own[node]
        row["figures"] = _json(figures[node])
        if earlier:
            row["compare"] = {key: each.get(code) for key, each in earlier.items()}
        if dimension == "unit":
            row["tier"] = names.tiers.get(code) or f"{grouping.depths[node] + 1}"
        rows.append(row)
    if dimension == "unit":
        _rank([row for row in rows if row["code"]])
    return rows


def _own(grouping: Grouping, direct: Any) -> list[int]:
    """Return each node's own tickets, without those of its children."""
    own = [0] * len(grouping.codes)
    for leaf in range(grouping.leaves):
        deepest = max(int(level[leaf]) for level in grouping.levels)
        own[deepest] += int(direct[leaf])
    return own


def _walk(grouping: Grouping, figures: Sequence[Figures]) -> list[int]:
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(grouping.parents):
        children.setdefault(parent, []).append(node)

    def order(node: int) -> tuple[bool, int, str]:
        return grouping.codes[node] == "", -int(figures[node]["received"].value or 0), grouping.codes[node]

    found: list[int] = []
    waiting = sorted(children.get(-1, []), key=order, reverse=True)
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += sorted(children.get(node, []), key=order, reverse=True)
    return found


def _rank(rows: list[dict[str, Any]]) -> None:
    """Add ``ranking`` to each unit's row, within its tier; ties share a rank; None below RANK_FROM tickets."""
    for row in rows:
        row["ranking"] = {}
        for key in RANKED:
            figure = row["figures"][key]
            bounds = wilson.interval(figure["numerator"], figure["denominator"])
            rounded_bounds = [round(bound, 4) for bound in bounds] if bounds else None
            row["ranking"][key] = {"rank": None, "of": None, "interval": rounded_bounds}
    for tier in {row["tier"] for row in rows}:
        for key in RANKED:
            peers = [r for r in rows if r["tier"] == tier and r["figures"][key]["denominator"] >= RANK_FROM]
            ratios = [Fraction(row["figures"][key]["numerator"], row["figures"][key]["denominator"]) for row in peers]
            first: dict[Fraction, int] = {}
            for place, ratio in enumerate(sorted(ratios, reverse=True), 1):
                first.setdefault(ratio, place)
            for row, ratio in zip(peers, ratios, strict=True):
                row["ranking"][key] |= {"rank": first[ratio], "of": len(peers)}


def _json(figures: Figures) -> dict[str, Any]:
    return {key: figure.as_json() for key, figure in figures.items()}


def _local(moment: datetime, period: Period) -> str:
    return moment.astimezone(ZoneInfo(period.zone)).isoformat()
