"""View models of the replay page: overdue tickets by unit before and after, as pairs of bars; and the default quarter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from app.domain.time.workcalendar import WorkCalendar, spans_to_spec

MOST_BARS: Final = 15
"""Units in the chart; the table below it has all."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One unit in the chart: overdue before and after, and the bar lengths in percent of the longest."""

    name: str
    before: int
    after: int
    before_width: str
    after_width: str


def pairs(rows: Sequence[Mapping[str, Any]], named: Any) -> list[Pair]:
    """Return the units with overdue tickets, the greatest change first; ``named`` maps a row to its unit's name."""
    shown = [row for row in rows if row["overdue_before"] or row["overdue_after"]][:MOST_BARS]
    most = max((max(row["overdue_before"], row["overdue_after"]) for row in shown), default=0)

    def width(count: int) -> str:
        return f"{100 * count / most:.1f}%" if most else "0%"

    return [
        Pair(named(row), row["overdue_before"], row["overdue_after"],
             width(row["overdue_before"]), width(row["overdue_after"]))
        for row in shown
    ]  # fmt: skip


def last_quarter(today: date) -> tuple[date, date]:
    """Return the first day of the previous quarter and the first day of the current one."""
    last = date(today.year, (today.month - 1) // 3 * 3 + 1, 1) - timedelta(days=1)
    return date(last.year, (last.month - 1) // 3 * 3 + 1, 1), last


def calendar_text(found: WorkCalendar, since: int) -> str:
    """Return a calendar as editable JSON, one line per day; dated days from the year ``since`` on."""
    spec = found.to_spec()
    days = {day.isoformat(): spans_to_spec(spans) for day, spans in found.days.items() if day.year >= since}
    lines = {
        "time_zone": json.dumps(spec["time_zone"]),
        "week": _lined(spec["week"]),
        "days": _lined(days),
    }
    if "published" in spec:
        lines["published"] = json.dumps(spec["published"])
    inner = ",\n".join(f'  "{key}": {text}' for key, text in lines.items())
    return f'{{"calendar": {{\n{inner}\n}}}}\n'


def _lined(values: Mapping[str, Any]) -> str:
    return "{\n" + ",\n".join(f'    "{key}": {json.dumps(value)}' for key, value in values.items()) + "\n  }"
