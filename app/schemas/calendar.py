"""Working-day calendars as read, and their versions."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.common import Answer, TwoLanguages, example
from app.schemas.deadline import CALENDAR_OBJECT, MOVES, Moves
from app.schemas.moment import ShownMoment

Spans = list[tuple[str, str]]
_VERSION: Final[dict[str, Any]] = {
    "code": "cn", "version": 1, "name": "中国工作日历", "note": "chinesecalendar", "who": "system:duban",
    "when": "2026-11-26T04:34:58+08:00",
}  # fmt: skip
_CALENDAR: Final[dict[str, Any]] = {
    **_VERSION, **CALENDAR_OBJECT, "names": {"2026-02-17": "春节"},
    "fingerprint": "ccc011a46653742fb41b32fb1058145ef8320d0df23784bede9a32de5d81bc61", "next_year_published": False,
    "warning": None,
}  # fmt: skip
YEAR_EXAMPLES: Final[list[Any]] = [
    {"days": {"2026-02-17": [], "2026-02-14": [["09:00", "12:00"], ["13:30", "17:30"]]}, "note": "国办发明电〔2025〕"},
    {"year": 2026, "days": [{"name": "春节", "date": "2026-02-17", "isOffDay": True}]},
]
WEEK_EXAMPLE: Final[dict[str, Any]] = {"week": {"mon": [["09:00", "12:00"], ["13:30", "17:30"]], "sun": []}}


class CalendarVersionOut(Answer):
    """A version of a calendar: who wrote it, when and why."""

    model_config = ConfigDict(json_schema_extra=example(_VERSION))

    code: str
    version: int
    name: str | None
    note: str | None
    who: str
    when: ShownMoment


class ListedCalendarOut(CalendarVersionOut):
    """A calendar in force."""

    model_config = ConfigDict(
        json_schema_extra=example({**_VERSION, "time_zone": "Asia/Shanghai", "published": [2025, 2026], "units": []})
    )

    time_zone: str | None
    published: list[int] | None = Field(description="years whose days off are known; null: all")
    units: list[str] = Field(description="codes of the units that use it")


class CalendarWarning(TwoLanguages):
    """The next year that is not published."""

    year: int


class CalendarOut(CalendarVersionOut):
    """A calendar as an object."""

    model_config = ConfigDict(json_schema_extra=example(_CALENDAR))

    time_zone: str
    week: dict[str, Spans] = Field(description="`mon` … `sun`: working hours")
    days: dict[str, Spans] = Field(description="dates whose hours differ; an empty list is a day off")
    published: list[int] | None = Field(default=None, description="left out: all years")
    names: dict[str, str] | None = Field(default=None, description="names of dates")
    fingerprint: str
    next_year_published: bool
    warning: CalendarWarning | None


class SavedCalendarOut(CalendarOut, Moves):
    """A calendar that was written, with the deadlines that moved."""

    model_config = ConfigDict(json_schema_extra=example({**_CALENDAR, "changed": True, **MOVES}))

    changed: bool
