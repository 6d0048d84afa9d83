"""What the pages of feeds show: bars of what came day by day, the upstream's clock, comparisons with its list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import tomli_w

from app.console.base import wording
from app.console.base.i18n import Texts
from app.services.intake.feeds import DayIntake

WIDTH, HEIGHT = 720, 150
_LEFT, _TOP, _BOTTOM = 44, 14, 26
PARTS = ("created", "corrected", "rejected")
SKEW_SHOWN = 120
"""Seconds by which an upstream's clock may be off before that is pointed out."""


@dataclass(frozen=True, slots=True)
class BarSegment:
    """One piece of a bar: what it counts, and where it stands."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class DayBar:
    """What one day brought."""

    x: float
    width: float
    parts: Sequence[BarSegment]
    label: str
    title: str


def bars(days: Sequence[DayIntake], t: Texts) -> tuple[list[DayBar], int]:
    """A bar a day, what was created below what was corrected below what was refused; and the highest, for the scale."""
    most = max([1, *(day.created + day.corrected + day.rejected for day in days)])
    room, step = HEIGHT - _TOP - _BOTTOM, (WIDTH - _LEFT) / max(len(days), 1)
    found = []
    for n, day in enumerate(days):
        parts, top = [], float(_TOP + room)
        for kind in PARTS:
            height = room * getattr(day, kind) / most
            top -= height
            if height:
                parts.append(BarSegment(kind, round(top, 1), round(height, 1)))
        said = t(
            "feed.bar", day=day.day.isoformat(), created=day.created, corrected=day.corrected, rejected=day.rejected
        )
        found.append(
            DayBar(round(_LEFT + n * step + step * 0.14, 1), round(step * 0.72, 1), parts, f"{day.day:%m-%d}", said)
        )
    return found, most


def seconds_text(seconds: float, t: Texts) -> str:
    """A length of time, in seconds where it is less than a minute."""
    if abs(seconds) < 60:
        return t("feed.seconds", n=round(abs(seconds)))
    return wording.span(timedelta(seconds=abs(seconds)), t)


def skew_text(seconds: int | None, t: Texts) -> str:
    """How the upstream's clock stands: fast, slow, or right to the second."""
    if seconds is None:
        return "–"
    if abs(seconds) <= 1:
        return t("feed.exact")
    said = seconds_text(seconds, t)
    return t("feed.fast", span=said) if seconds > 0 else t("feed.slow", span=said)


def definition_text(spec: Mapping[str, Any]) -> str:
    """A feed's definition as TOML, what says nothing left out."""
    found: dict[str, Any] = _said(spec)
    return tomli_w.dumps(found)


def _said(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _said(each) for key, each in value.items() if each is not None and each not in ({}, [], "")}
    return [_said(each) for each in value] if isinstance(value, list) else value
