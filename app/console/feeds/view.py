"""View models of the feed pages: bars of daily counts, the upstream's clock skew, the definition as TOML."""

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
    """One segment of a bar: what it counts, and its position."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class DayBar:
    """The counts of one day."""

    x: float
    width: float
    parts: Sequence[BarSegment]
    label: str
    title: str


def bars(days: Sequence[DayIntake], t: Texts) -> tuple[list[DayBar], int]:
    """Return one stacked bar per day (created, corrected, rejected from the bottom) and the highest total, for the scale."""
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
        label = t(
            "feed.bar", day=day.day.isoformat(), created=day.created, corrected=day.corrected, rejected=day.rejected
        )
        found.append(
            DayBar(round(_LEFT + n * step + step * 0.14, 1), round(step * 0.72, 1), parts, f"{day.day:%m-%d}", label)
        )
    return found, most


def seconds_text(seconds: float, t: Texts) -> str:
    """Format a duration, in seconds if it is less than a minute."""
    if abs(seconds) < 60:
        return t("feed.seconds", n=round(abs(seconds)))
    return wording.span(timedelta(seconds=abs(seconds)), t)


def skew_text(seconds: int | None, t: Texts) -> str:
    """Format the upstream's clock skew: fast, slow, or exact to the second."""
    if seconds is None:
        return "–"
    if abs(seconds) <= 1:
        return t("feed.exact")
    skew = seconds_text(seconds, t)
    return t("feed.fast", span=skew) if seconds > 0 else t("feed.slow", span=skew)


def definition_text(spec: Mapping[str, Any]) -> str:
    """Return a feed's definition as TOML, without empty values."""
    found: dict[str, Any] = _said(spec)
    return tomli_w.dumps(found)


def _said(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _said(each) for key, each in value.items() if each is not None and each not in ({}, [], "")}
    return [_said(each) for each in value] if isinstance(value, list) else value
