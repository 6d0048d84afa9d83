"""View models of a report's page: formatted figures, their counts and changes, and bars.

Nothing is counted here: every number is the document's, a percentage is rounded half up from its two counts, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from app.console.base.i18n import Texts
from reports.metrics import BY_KEY, GROUPS, REGISTRY, Definition
from reports.render.words import name_of

NOTHING = "–"
DIMENSIONS = ("unit", "category", "kind", "source", "grid", "priority")
TABLE_FIGURES = ("received", "completed", "completion_rate", "on_time_rate", "overdue", "satisfaction_rate")
"""What a breakdown shows of each row; the downloads have every figure."""
SERIES_WIDTH, SERIES_HEIGHT = 960, 210
_LEFT, _TOP, _BOTTOM = 44, 14, 26

Figure = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FigureCell:
    """One figure: its key and label, the formatted value, its counts, and its change."""

    key: str
    label: str
    about: str
    value: str
    of: str | None
    change: str | None
    tone: str
    countable: bool


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """One row of a breakdown; ``bar`` is its share of the largest, in percent."""

    code: str
    name: str
    depth: int
    cells: tuple[FigureCell, ...]
    bar: str


@dataclass(frozen=True, slots=True)
class SeriesBar:
    """One period of a series, in the units of its chart; ``done`` is the part completed."""

    period: str
    x: float
    width: float
    y: float
    height: float
    done_y: float
    done_height: float
    label: str
    title: str


def shown(figure: Figure | None, definition: Definition) -> str:
    """Format a figure's value: 2,561, 88.47 %, 4.21; – for none."""
    if figure is None or figure.get("value") is None:
        return NOTHING
    if definition.kind == "count":
        return f"{int(figure['value']):,}"
    if definition.kind == "ratio":
        return f"{_percent(figure)} %"
    return f"{Decimal(str(figure['value'])).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def _percent(figure: Figure) -> Decimal:
    if figure.get("denominator"):
        exact = Decimal(figure["numerator"]) * 100 / Decimal(figure["denominator"])
    else:
        exact = Decimal(str(figure["value"])) * 100
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


def counts_of(figure: Figure | None) -> str | None:
    """Format the two counts of a ratio: 2,264 / 2,559."""
    if figure is None or figure.get("denominator") is None or figure.get("numerator") is None:
        return None
    return f"{figure['numerator']:,} / {figure['denominator']:,}"


def change(figure: Figure | None, earlier: Figure | None, definition: Definition, t: Texts) -> tuple[str | None, str]:
    """Format the change of a figure against an earlier period, and rate it ``good``, ``bad`` or ``plain``."""
    if figure is None or earlier is None or figure.get("value") is None or earlier.get("value") is None:
        return None, "plain"
    if definition.kind == "ratio":
        moved = _percent(figure) - _percent(earlier)
        text = t("report.points", n=f"{moved:+}")
    elif definition.kind == "count":
        moved = Decimal(int(figure["value"]) - int(earlier["value"]))
        text = f"{moved:+,}"
    else:
        both = (Decimal(str(each["value"])).quantize(Decimal("0.01"), ROUND_HALF_UP) for each in (figure, earlier))
        moved = next(both) - next(both)
        text = f"{moved:+}"
    if moved == 0:
        return t("report.unchanged"), "plain"
    if not definition.better:
        return text, "plain"
    return text, "good" if (moved > 0) == (definition.better == "more") else "bad"


def cell(
    definition: Definition, figures: Mapping[str, Figure], earlier: Mapping[str, Figure] | None, t: Texts
) -> FigureCell:
    """Return one figure of a document or of a row, ready for display."""
    figure = figures.get(definition.key)
    text, tone = change(figure, (earlier or {}).get(definition.key), definition, t)
    return FigureCell(
        key=definition.key,
        label=definition.label(t.lang),
        about=definition.about(t.lang),
        value=_with_unit(shown(figure, definition), definition, t),
        of=counts_of(figure),
        change=text,
        tone=tone,
        countable=figure is not None and figure.get("value") is not None,
    )


def _with_unit(value: str, definition: Definition, t: Texts) -> str:
    return t("report.hours", n=value) if definition.kind == "percentile" and value != NOTHING else value


def figure_groups(document: Mapping[str, Any], t: Texts) -> list[tuple[str, list[FigureCell]]]:
    """Return every figure of the document, in the registry's groups and order; without shares, which are 100 % of the whole."""
    earlier = (document.get("compare") or {}).get("previous")
    found = []
    for group, names in GROUPS.items():
        cells = [
            cell(definition, document["figures"], earlier, t)
            for definition in REGISTRY
            if definition.group == group and definition.key in document["figures"] and not definition.of_whole
        ]
        if cells:
            found.append((names[1 if t.lang == "en" else 0], cells))
    return found


def breakdown(rows: Sequence[Mapping[str, Any]], t: Texts) -> list[BreakdownRow]:
    """Return the rows of one dimension, with a bar for the number received."""
    definitions = [BY_KEY[key] for key in TABLE_FIGURES]
    counts = [int(row["figures"]["received"]["value"] or 0) for row in rows]
    most = max(counts, default=0)
    return [
        BreakdownRow(
            code=row["code"],
            name=name_of(dict(row), t.lang),
            depth=int(row.get("depth") or 0),
            cells=tuple(cell(definition, row["figures"], None, t) for definition in definitions),
            bar=f"{100 * count / most:.1f}%" if most else "0%",
        )
        for row, count in zip(rows, counts, strict=True)
    ]


def series_bars(points: Sequence[Mapping[str, Any]], t: Texts) -> tuple[list[SeriesBar], int]:
    """Return the bars of a series (received, and of it completed), and the highest count, for its scale."""
    received = [int(point["figures"]["received"]["value"] or 0) for point in points]
    done = [int(point["figures"]["completed"]["value"] or 0) for point in points]
    most = max([1, *received])
    room = SERIES_HEIGHT - _TOP - _BOTTOM
    step = (SERIES_WIDTH - _LEFT) / max(len(points), 1)
    every = -(-len(points) // 16)  # labels that would overlap are left out
    bars = []
    for n, (point, count, completed) in enumerate(zip(points, received, done, strict=True)):
        height, done_height = room * count / most, room * completed / most
        bars.append(
            SeriesBar(
                period=point["period"],
                x=round(_LEFT + n * step + step * 0.14, 1),
                width=round(step * 0.72, 1),
                y=round(_TOP + room - height, 1),
                height=round(height, 1),
                done_y=round(_TOP + room - done_height, 1),
                done_height=round(done_height, 1),
                label=short_period(point["period"]) if (len(points) - 1 - n) % every == 0 else "",
                title=t("report.bar", period=point["period"], received=count, completed=completed),
            )
        )
    return bars, most


def corrections(difference: Mapping[str, Any], t: Texts) -> list[tuple[str, str, str]]:
    """Return the changes of a correction (更正): label, value before, value after, in the registry's order."""
    changed = difference.get("figures") or {}
    return [
        (
            definition.label(t.lang),
            shown(changed[definition.key]["old"], definition),
            shown(changed[definition.key]["new"], definition),
        )
        for definition in REGISTRY
        if definition.key in changed
    ]


def short_period(period: str) -> str:
    """Return the short label of a period: 03-15 for a day, W11 for a week, 2024-03 for a month."""
    if len(period) == 10:
        return period[5:]
    return period[5:] if "W" in period else period
