"""Calendars of working time: a time zone, weekly hours, dated exceptions, and the years that are published.

A calendar is a value: nothing about it changes, a new version is a new object. It is read from and written to the
calendar object of the contract, and unrolls itself into searchable years (``app.domain.time.timeline``) as they are needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.domain.time.timeline import FIRST_YEAR, LAST_YEAR, Spans, Timeline, YearPart, unroll_year
from app.errors import FieldProblem, Invalid

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DayKind = Literal["workday", "makeup", "special", "weekend", "holiday"]
"""workday and weekend come from the week; makeup, special (other hours than the week's) and holiday from ``days``."""

MAX_DATED_DAYS = 40_000
MAX_SPANS = 24
_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_KEYS = frozenset({"code", "version", "time_zone", "week", "days", "published", "names"})
_DAY_SECONDS = 86_400


@dataclass(frozen=True, eq=False)
class WorkCalendar:
    """When an office works. ``week`` has seven entries from Monday; ``days`` override it; ``published`` None: all."""

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

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], *, code: str = "inline", version: int = 1) -> WorkCalendar:
        """A calendar from the contract's calendar object. Raises ``Invalid`` with a pointer to each thing wrong."""
        reader = _CalendarReader()
        calendar = reader.calendar(spec, code, version)
        if calendar is None or reader.problems:
            raise Invalid(reader.problems)
        return calendar

    def to_spec(self) -> dict[str, Any]:
        """The calendar as the contract's object; ``from_spec`` of it is equal to this calendar."""
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
        """Whether the days off of ``year`` are known; if not, its weekdays are assumed."""
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
        """What sort of day it is, and the holiday's name where one is known (else an empty string)."""
        weekly, dated = self.week[day.weekday()], self.days.get(day)
        name = self.day_names.get(day, "")
        if dated is None or dated == weekly:
            return ("workday", name) if weekly else ("weekend" if not name else "holiday", name)
        if not dated:
            return "holiday", name
        return ("special" if weekly else "makeup"), name

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of what the calendar says, in hexadecimal: equal exactly where two calendars say the same."""
        text = json.dumps(self.to_spec(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()

    @property
    def usual_hours(self) -> Spans:
        """The hours of the first working weekday: those of a make-up day whose own are not given."""
        return next((spans for spans in self.week if spans), ())

    def with_days(
        self,
        days: Mapping[date, Spans | None],
        *,
        names: Mapping[date, str] | None = None,
        publish: Iterable[int] = (),
        version: int | None = None,
    ) -> WorkCalendar:
        """The next version, with ``days`` laid over it (None: as the week has it) and the years ``publish`` known.

        ``names`` of days are laid over too; an empty one takes the name away.

        Raises ``Invalid`` where the new hours overlap their neighbours'.
        """
        merged = {**self.days}
        for day, spans in days.items():
            if spans is None:
                merged.pop(day, None)
            else:
                merged[day] = spans
        years = None if self.published is None else self.published | frozenset(publish)
        changed = replace(
            self,
            version=self.version + 1 if version is None else version,
            days=merged,
            published=years,
            day_names={day: name for day, name in {**self.day_names, **(names or {})}.items() if name},
        )
        reader = _CalendarReader()
        reader.check_overlaps(changed.week, changed.days)
        if reader.problems:
            raise Invalid(reader.problems)
        return changed

    def timeline(self, first_year: int, last_year: int) -> Timeline:
        """The years from ``first_year`` to ``last_year`` unrolled; kept, so that asking again costs nothing."""
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
        """Where no weekday works: the first and last year with dated working days. Else None: there is always more."""
        if any(self.week):
            return None
        years = [day.year for day, spans in self.days.items() if spans]
        return (min(years), max(years)) if years else (0, 0)


def clock_text(seconds: int) -> str:
    """``09:00`` from seconds after midnight; 24:00 stays 24:00, later times are those of the next day's clock."""
    if seconds > _DAY_SECONDS:
        seconds -= _DAY_SECONDS
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return text if seconds % 60 == 0 else f"{text}:{seconds % 60:02d}"


def spans_to_spec(spans: Spans) -> list[list[str]]:
    """Hours of a day as the contract writes them."""
    return [[clock_text(start), clock_text(end)] for start, end in spans]


def spans_from_spec(value: Any, pointer: str = "") -> Spans:
    """Hours of a day, read from ``[["09:00", "12:00"], …]``. Raises ``Invalid`` with pointers under ``pointer``."""
    reader = _CalendarReader()
    spans = reader.spans(value, pointer)
    if reader.problems:
        raise Invalid(reader.problems)
    return spans


def date_from_text(text: object) -> date | None:
    """The date that ``2026-02-17`` says, or None where there is no such day."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


class _CalendarReader:
    """Reads a calendar object, collecting every problem rather than stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[FieldProblem] = []

    def wrong(self, pointer: str, zh: str, en: str) -> None:
        if len(self.problems) < 100:
            self.problems.append(FieldProblem(pointer, zh, en))

    def calendar(self, spec: Any, code: str, version: int) -> WorkCalendar | None:
        if not isinstance(spec, Mapping):
            self.wrong("", "日历应为对象", "a calendar is an object with time_zone, week and days")
            return None
        for key in sorted(str(k) for k in spec if k not in _KEYS):
            self.wrong(
                f"/{pointer_part(key)}",
                "没有这个字段；可用：time_zone、week、days、published、names",
                "no such field; there are time_zone, week, days, published and names",
            )
        zone = self.zone(spec.get("time_zone", "Asia/Shanghai"))
        week = self.week(spec.get("week", {}))
        days = self.days(spec.get("days", {}))
        published = self.published(spec.get("published"))
        names = self.names(spec.get("names", {}))
        if not self.problems and not any(week) and not any(days.values()):
            self.wrong("/week", "没有任何工作时间，时限永远不会到期", "no working time at all: no limit would ever end")
        self.check_overlaps(week, days)
        return None if self.problems else WorkCalendar(code, version, zone, week, days, published, names)

    def zone(self, value: Any) -> str:
        try:
            if not isinstance(value, str) or not value or len(value) > 64:
                raise ValueError
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.wrong("/time_zone", "没有这个时区；例如 Asia/Shanghai", "no such time zone; for example Asia/Shanghai")
            return "UTC"
        return value

    def week(self, value: Any) -> tuple[Spans, ...]:
        if not isinstance(value, Mapping):
            self.wrong("/week", "应为以 mon…sun 为键的对象", "an object with the keys mon … sun is expected")
            return ((),) * 7
        for key in value:
            if key not in WEEKDAYS:
                self.wrong(f"/week/{pointer_part(key)}", "星期应为 mon…sun", "a weekday is one of mon … sun")
        return tuple(self.spans(value.get(name, []), f"/week/{name}") for name in WEEKDAYS)

    def days(self, value: Any) -> dict[date, Spans]:
        if not isinstance(value, Mapping):
            self.wrong("/days", "应为以日期为键的对象", 'an object with dates as keys is expected, {"2026-02-17": []}')
            return {}
        if len(value) > MAX_DATED_DAYS:
            self.wrong("/days", f"至多 {MAX_DATED_DAYS} 天", f"at most {MAX_DATED_DAYS} dated days")
            return {}
        days = {}
        for key, spans in value.items():
            day = self.day(key, f"/days/{pointer_part(key)}")
            if day is not None:
                days[day] = self.spans(spans, f"/days/{day.isoformat()}")
        return days

    def day(self, key: Any, pointer: str) -> date | None:
        day = date_from_text(key)
        if day is None:
            self.wrong(pointer, "没有这一天；日期写作 2026-02-17", "no such day; a date is written 2026-02-17")
        elif not FIRST_YEAR <= day.year <= LAST_YEAR:
            self.wrong(
                pointer, f"年份应在 {FIRST_YEAR}–{LAST_YEAR}", f"the year must be within {FIRST_YEAR}–{LAST_YEAR}"
            )
            return None
        return day

    def spans(self, value: Any, pointer: str) -> Spans:
        if not isinstance(value, list | tuple) or len(value) > MAX_SPANS:
            self.wrong(
                pointer,
                f'应为时段列表，如 [["09:00", "17:30"]]，至多 {MAX_SPANS} 段',
                f'a list of spans such as [["09:00", "17:30"]] is expected, at most {MAX_SPANS}',
            )
            return ()
        spans = []
        for n, pair in enumerate(value):
            span = self.span(pair, f"{pointer}/{n}")
            if span is not None:
                spans.append(span)
        spans.sort()
        for (a, b), (c, d) in pairwise(spans):
            if c < b:
                self.overlap(pointer, (a, b), (c, d))
        return tuple(spans)

    def span(self, pair: Any, pointer: str) -> tuple[int, int] | None:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            self.wrong(pointer, '时段应为 ["09:00", "12:00"]', 'a span is ["09:00", "12:00"]')
            return None
        start, end = (self.clock(text, f"{pointer}/{n}") for n, text in enumerate(pair))
        if start is None or end is None:
            return None
        if start == _DAY_SECONDS:
            self.wrong(f"{pointer}/0", "24:00 只能作结束；开始请写 00:00", "24:00 is an end only; begin at 00:00")
            return None
        if start == end:
            self.wrong(
                pointer,
                '起止相同；全天请写 ["00:00", "24:00"]',
                'begins and ends at the same time; round the clock is ["00:00", "24:00"]',
            )
            return None
        return (start, end if end > start else end + _DAY_SECONDS)

    def clock(self, text: Any, pointer: str) -> int | None:
        found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
        if found:
            seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
            if seconds <= _DAY_SECONDS:
                return seconds
        self.wrong(pointer, "时刻应在 00:00–24:00，写作 09:00", "a time of day is 00:00–24:00, written 09:00")
        return None

    def published(self, value: Any) -> frozenset[int] | None:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) > LAST_YEAR:
            self.wrong("/published", "应为年份列表，如 [2025, 2026]", "a list of years is expected, [2025, 2026]")
            return None
        seen: set[int] = set()
        for n, year in enumerate(value):
            if not isinstance(year, int) or isinstance(year, bool) or not FIRST_YEAR <= year <= LAST_YEAR:
                self.wrong(
                    f"/published/{n}",
                    f"年份应为 {FIRST_YEAR}–{LAST_YEAR} 的整数",
                    f"a year is a whole number within {FIRST_YEAR}–{LAST_YEAR}",
                )
            elif year in seen:
                self.wrong(f"/published/{n}", f"{year} 年重复", f"the year {year} stands twice")
            else:
                seen.add(year)
        return frozenset(seen)

    def names(self, value: Any) -> dict[date, str]:
        if not isinstance(value, Mapping):
            self.wrong("/names", "应为日期到名称的对象", "an object of dates and names is expected")
            return {}
        names = {}
        for key, name in value.items():
            day = self.day(key, f"/names/{pointer_part(key)}")
            if not isinstance(name, str) or not 0 < len(name) <= 100:
                self.wrong(f"/names/{pointer_part(key)}", "名称应为 1–100 个字", "a name is 1–100 characters")
            elif day is not None:
                names[day] = name
        return names

    def check_overlaps(self, week: tuple[Spans, ...], days: Mapping[date, Spans]) -> None:
        """Hours that pass midnight must not run into those of the day after, in the week and around dated days."""
        for n in range(7):
            self.run_into(f"/week/{WEEKDAYS[n]}", week[n], week[(n + 1) % 7])
        for day in days:
            after, before = day + timedelta(days=1), day - timedelta(days=1)
            self.run_into(f"/days/{day.isoformat()}", days[day], days.get(after, week[after.weekday()]))
            if before not in days:
                self.run_into(f"/days/{day.isoformat()}", week[before.weekday()], days[day])

    def run_into(self, pointer: str, first: Spans, second: Spans) -> None:
        if first and second and first[-1][1] - _DAY_SECONDS > second[0][0]:
            self.overlap(pointer, first[-1], second[0])

    def overlap(self, pointer: str, first: tuple[int, int], second: tuple[int, int]) -> None:
        one, two = ("–".join(clock_text(t) for t in span) for span in (first, second))
        self.wrong(pointer, f"时段重叠：{one} 与 {two}", f"hours overlap: {one} and {two}")


def pointer_part(key: object) -> str:
    """``key`` as one part of a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")[:80]
