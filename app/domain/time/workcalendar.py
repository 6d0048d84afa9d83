"""Calendars of working time: a time zone, weekly hours, dated exceptions, and the years that are published.

A calendar is immutable: a new version is a new object. ``app.schemas.calendar_document`` parses the calendar object of
the contract. Years are unrolled on demand into searchable form (``app.domain.time.timeline``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

from app.domain.time.timeline import Spans, Timeline, YearPart, unroll_year
from app.errors import FieldProblem, Invalid

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DayKind = Literal["workday", "makeup", "special", "weekend", "holiday"]
"""workday and weekend come from the week; makeup, special (other hours than the week's) and holiday from ``days``."""

DAY_SECONDS = 86_400


@dataclass(frozen=True, eq=False)
class WorkCalendar:
    """The working hours of an office. ``week`` has seven entries from Monday; ``days`` override it; ``published`` None: all.

    Raises ``Invalid`` if the hours of two days overlap."""

    code: str
    version: int
    time_zone: str
    week: tuple[Spans, ...]
    days: Mapping[date, Spans]
    published: frozenset[int] | None = None
    day_names: Mapping[date, str] = field(default_factory=dict)
    zone: ZoneInfo = field(init=False, repr=False)
    _dated: Mapping[int, Spans] = field(init=False, repr=False)
    _years: dict[int, YearPart] = field(init=False, repr=False, default_factory=dict)
    _timelines: dict[tuple[int, int], Timeline] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        _check_overlaps(self.week, self.days)
        object.__setattr__(self, "zone", ZoneInfo(self.time_zone))
        object.__setattr__(self, "days", MappingProxyType(dict(sorted(self.days.items()))))
        object.__setattr__(self, "_dated", {day.toordinal(): spans for day, spans in self.days.items()})
        object.__setattr__(self, "day_names", MappingProxyType(dict(sorted(self.day_names.items()))))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WorkCalendar):
            return NotImplemented
        return (self.code, self.version, self.to_spec()) == (other.code, other.version, other.to_spec())

    def __hash__(self) -> int:
        return hash((self.code, self.version, self.time_zone))

    def to_spec(self) -> dict[str, Any]:
        """The calendar as the contract's object, which ``app.schemas.calendar_document`` parses."""
        spec: dict[str, Any] = {
            "time_zone": self.time_zone,
            "week": {name: spans_to_spec(spans) for name, spans in zip(WEEKDAYS, self.week, strict=True)},
            "days": {day.isoformat(): spans_to_spec(spans) for day, spans in self.days.items()},
        }
        if self.published is not None:
            spec["published"] = sorted(self.published)
        if self.day_names:
            spec["names"] = {day.isoformat(): name for day, name in self.day_names.items()}
        return spec

    def is_published(self, year: int) -> bool:
        """Whether the days off of ``year`` are published; otherwise its weekdays are assumed."""
        return self.published is None or year in self.published

    def local(self, moment: datetime) -> datetime:
        """``moment`` (aware) on this calendar's clock."""
        return moment.astimezone(self.zone)

    def hours(self, day: date) -> Spans:
        """The working hours of ``day``: dated ones, else those of its weekday."""
        dated = self.days.get(day)
        return self.week[day.weekday()] if dated is None else dated

    def is_working_day(self, day: date) -> bool:
        """Whether ``day`` has working hours."""
        return bool(self.hours(day))

    def kind_of_day(self, day: date) -> tuple[DayKind, str]:
        """The kind of ``day``, and the holiday's name if known (else an empty string)."""
        weekly, dated = self.week[day.weekday()], self.days.get(day)
        name = self.day_names.get(day, "")
        if dated is None or dated == weekly:
            return ("workday", name) if weekly else ("weekend" if not name else "holiday", name)
        if not dated:
            return "holiday", name
        return ("special" if weekly else "makeup"), name

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256, in hexadecimal, of the calendar's content: equal exactly for calendars with equal content."""
        text = json.dumps(self.to_spec(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()

    @property
    def usual_hours(self) -> Spans:
        """The hours of the first working weekday: the default for a make-up day without hours of its own."""
        return next((spans for spans in self.week if spans), ())

    def with_days(
        self,
        days: Mapping[date, Spans | None],
        *,
        names: Mapping[date, str] | None = None,
        publish: Iterable[int] = (),
        version: int | None = None,
    ) -> WorkCalendar:
        """The next version, with ``days`` overridden (None: back to the week's hours) and the years ``publish`` published.

        ``names`` of days replace those of the calendar; an empty one removes the name.

        Raises ``Invalid`` if the new hours overlap those of adjacent days.
        """
        merged = {**self.days}
        for day, spans in days.items():
            if spans is None:
                merged.pop(day, None)
            else:
                merged[day] = spans
        years = None if self.published is None else self.published | frozenset(publish)
        return replace(
            self,
            version=self.version + 1 if version is None else version,
            days=merged,
            published=years,
            day_names={day: name for day, name in {**self.day_names, **(names or {})}.items() if name},
        )

    def timeline(self, first_year: int, last_year: int) -> Timeline:
        """The years from ``first_year`` to ``last_year`` unrolled; cached."""
        key = (first_year, last_year)
        found = self._timelines.get(key)
        if found is None:
            found = self._unroll(first_year, last_year)
            if len(self._timelines) >= 24:
                self._timelines.clear()
            self._timelines[key] = found
        return found

    def _unroll(self, first_year: int, last_year: int) -> Timeline:
        years = range(first_year, last_year + 1)
        parts = []
        for year in years:
            part = self._years.get(year)
            if part is None:
                part = unroll_year(self.zone, year, self.week, self._dated)
                if len(self._years) >= 400:
                    self._years.clear()
                self._years[year] = part
            parts.append(part)
        return Timeline.join(self.zone, years, parts, [self.is_published(year) for year in years])

    @property
    def time_runs_out(self) -> tuple[int, int] | None:
        """If no weekday works: the first and last year with dated working days. Otherwise None: working time is unbounded."""
        if any(self.week):
            return None
        years = [day.year for day, spans in self.days.items() if spans]
        return (min(years), max(years)) if years else (0, 0)


def clock_text(seconds: int) -> str:
    """``09:00`` from seconds after midnight; 24:00 stays 24:00, later times are those of the next day's clock."""
    if seconds > DAY_SECONDS:
        seconds -= DAY_SECONDS
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return text if seconds % 60 == 0 else f"{text}:{seconds % 60:02d}"


def spans_to_spec(spans: Spans) -> list[list[str]]:
    """Hours of a day as the contract writes them."""
    return [[clock_text(start), clock_text(end)] for start, end in spans]


def span_text(span: tuple[int, int]) -> str:
    """``09:00–12:00``."""
    return "–".join(clock_text(seconds) for seconds in span)


def _check_overlaps(week: tuple[Spans, ...], days: Mapping[date, Spans]) -> None:
    """Raises ``Invalid`` if hours past midnight overlap those of the next day, in the week or around dated days."""
    problems: list[FieldProblem] = []

    def check(pointer: str, first: Spans, second: Spans) -> None:
        if first and second and first[-1][1] - DAY_SECONDS > second[0][0]:
            one, two = span_text(first[-1]), span_text(second[0])
            problems.append(FieldProblem(pointer, f"时段重叠：{one} 与 {two}", f"hours overlap: {one} and {two}"))

    for n, name in enumerate(WEEKDAYS):
        check(f"/week/{name}", week[n], week[(n + 1) % 7])
    for day, hours in days.items():
        after, before = day + timedelta(days=1), day - timedelta(days=1)
        check(f"/days/{day.isoformat()}", hours, days.get(after, week[after.weekday()]))
        if before not in days:
            check(f"/days/{day.isoformat()}", week[before.weekday()], hours)
    if problems:
        raise Invalid(problems)
