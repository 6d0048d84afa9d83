"""The calendar document: weekly hours, dated exceptions and published years, as the contract's calendar object."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter

from app.domain.time.timeline import FIRST_YEAR, LAST_YEAR, Spans
from app.domain.time.workcalendar import DAY_SECONDS, WorkCalendar, span_text
from app.errors import Invalid
from app.validation import TimeZone, built, problem, refusal, validated

MAX_DATED_DAYS = 40_000
MAX_SPANS = 24
_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _clock(text: Any) -> int:
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0) if found else DAY_SECONDS + 1
    if seconds > DAY_SECONDS:
        raise refusal("clock")
    return seconds


def _span(pair: list[int]) -> tuple[int, int]:
    start, end = pair
    if start == DAY_SECONDS:
        raise refusal("clock_end", [0])
    if start == end:
        raise refusal("span_empty")
    return start, end if end > start else end + DAY_SECONDS


def _hours(spans: list[tuple[int, int]]) -> Spans:
    spans.sort()
    for first, second in pairwise(spans):
        if second[0] < first[1]:
            raise refusal("hours_overlap", first=span_text(first), second=span_text(second))
    return tuple(spans)


def _day(text: Any) -> date:
    try:
        day = date.fromisoformat(text) if isinstance(text, str) and _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise refusal("date_parsing")
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise refusal("year_range", first=FIRST_YEAR, last=LAST_YEAR)
    return day


def _once(years: list[int]) -> list[int]:
    for n, year in enumerate(years):
        if year in years[:n]:
            raise refusal("duplicate", [n], value=year)
    return years


Clock = Annotated[int, PlainValidator(_clock, json_schema_input_type=str)]
"""A time of day written ``09:00`` or ``09:00:30``, in seconds after midnight."""
Span = Annotated[tuple[int, int], built(Annotated[list[Clock], Field(min_length=2, max_length=2)], _span)]
Hours = Annotated[Spans, built(Annotated[list[Span], Field(max_length=MAX_SPANS)], _hours)]
"""The working hours of a day, ``[["09:00", "12:00"], …]``."""
Day = Annotated[date, PlainValidator(_day, json_schema_input_type=date)]
Year = Annotated[int, Field(strict=True, ge=FIRST_YEAR, le=LAST_YEAR)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class CalendarDocument(BaseModel):
    """A calendar. ``days`` override the week; ``published``: years whose days off are known, none: all; ``names`` of days."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Any = None
    version: Any = None
    time_zone: TimeZone = "Asia/Shanghai"
    week: dict[Weekday, Hours] = {}
    days: Annotated[dict[Day, Hours], Field(max_length=MAX_DATED_DAYS)] = {}
    published: Annotated[list[Year], Field(max_length=LAST_YEAR), AfterValidator(_once)] | None = None
    names: dict[Day, Annotated[str, Field(min_length=1, max_length=100)]] = {}

    def calendar(self, code: str, version: int) -> WorkCalendar:
        """The domain value. Raises ``Invalid`` where no day has hours, or those of two days overlap."""
        if not any(self.week.values()) and not any(self.days.values()):
            raise Invalid.at(
                "/week", "没有任何工作时间，时限永远不会到期", "no working time at all: no limit would ever end"
            )
        week = tuple(self.week.get(name, ()) for name in get_args(Weekday))
        published = None if self.published is None else frozenset(self.published)
        return WorkCalendar(code, version, self.time_zone, week, self.days, published, self.names)


class YearDocument(BaseModel):
    """The days of a year, null: as the week has it, and their names, empty: none."""

    days: dict[Day, Hours | None]
    names: dict[Day, Annotated[str, Field(max_length=100)]]

    def check_year(self, year: int) -> None:
        """Raises ``Invalid`` at each day and name outside ``year``."""
        outside = [(part, day) for part in ("days", "names") for day in getattr(self, part) if day.year != year]
        if outside:
            raise Invalid(problem("not_in_year", [part, day.isoformat()], year=year) for part, day in outside)


_HOURS: TypeAdapter[Spans] = TypeAdapter(Hours)


def read_calendar(document: object, *, code: str = "inline", version: int = 1) -> WorkCalendar:
    """The calendar that ``document`` describes. Raises ``Invalid`` with a pointer to each problem."""
    return validated(CalendarDocument.model_validate, document, CalendarDocument.model_fields).calendar(code, version)


def read_spans(value: object) -> Spans:
    """The hours of a day, read from ``[["09:00", "12:00"], …]``. Raises ``Invalid`` with a pointer to each problem."""
    return validated(_HOURS.validate_python, value)
