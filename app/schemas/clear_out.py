"""Clear-out lists (清零清单) and their rows."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.common import Answer, CodeName, JsonBody, TwoLanguages, example
from app.schemas.moment import ShownMoment
from app.schemas.report import FigureOut, ReportHead

_ROW: Final[dict[str, Any]] = {
    "ticket_id": 142, "number": "20260904-0000142", "title": "滨溪名都一套房隔成多间出租",
    "unit": {"code": "GA-BH", "name": "滨溪派出所", "name_en": "Binxi Police Station"},
    "category": {"code": "brawl", "name": "赌博与治安隐患", "name_en": "Public order hazards"},
    "reasons": [{"code": "suspended", "zh": "挂起 54 天", "en": "suspended for 54 days"}],
    "stage": {"code": "assigned", "name": "交办", "name_en": "Assigned"}, "unit_seconds": 15478,
    "citizen_seconds": 4969484, "lists": 1, "leader": None, "measures": None, "condition": None, "state": "open",
    "cleared_at": None, "version": 1,
}  # fmt: skip


class ClearOutRowIn(JsonBody):
    """What a leader sets of a row; what is left out stays, ``null`` removes it."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"leader": "李副局长", "measures": "每周现场调度", "condition": "噪声复测达标，群众签字认可"}
        )
    )
    leader: str | None = Field(default=None, max_length=100)
    measures: str | None = Field(default=None, max_length=2000)
    condition: str | None = Field(default=None, max_length=2000, description="when it counts as cleared")


class ClearOutReason(TwoLanguages):
    """Why a ticket is on the list."""

    code: str


class ClearOutRowOut(Answer):
    """One ticket of a clear-out list."""

    model_config = ConfigDict(json_schema_extra=example(_ROW))

    ticket_id: int
    number: str
    title: str
    unit: CodeName | None
    category: CodeName | None
    reasons: list[ClearOutReason]
    stage: CodeName
    unit_seconds: int = Field(description="on the unit's clock, working time")
    citizen_seconds: int = Field(description="on the citizen's clock, natural time")
    lists: int = Field(description="lists in a row that the ticket was on, this one included")
    leader: str | None
    measures: str | None
    condition: str | None
    state: str
    cleared_at: ShownMoment | None
    version: int = Field(description="for `If-Match`")


class CodeCount(CodeName):
    """How many rows there are of a code."""

    count: int


class LastListOut(Answer):
    """What became of the list before."""

    model_config = ConfigDict(extra="allow")

    period: str
    rate: FigureOut
    by_unit: dict[str, dict[str, int]]


class ClearOutSummary(Answer):
    """The list in numbers."""

    listed: int
    by_reason: list[CodeCount]
    by_unit: list[CodeCount]
    last: LastListOut | None


class ClearOutOut(ReportHead):
    """The clear-out list of a month as it was frozen, with leader, measures, condition and state as they are now."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"kind": "clear-out", "period": "2026-10", "start": "2026-10-01T00:00:00+08:00",
             "end": "2026-11-01T00:00:00+08:00", "as_of": "2026-11-01T00:00:00+08:00", "time_zone": "Asia/Shanghai",
             "scope": {"unit": None}, "running": False, "edition": 1,
             "hash": "4ec7d0dabd61bd6ae51eed2d5a372959c538c6a9e87ca99a0bf0c0788fc86ed4",
             "definitions_version": "4f9e7a569464b925",
             "settings": {"overdue_working_days": 5, "suspended_days": 10, "reports": 2, "dissatisfied": 2,
                          "order_term": 2, "relapse_days": 30},
             "summary": {"listed": 1, "by_unit": [{"code": "GA-BH", "name": "滨溪派出所",
                                                   "name_en": "Binxi Police Station", "count": 1}],
                         "by_reason": [{"code": "suspended", "name": "长期挂起", "name_en": "Long suspended", "count": 1}],
                         "last": None},
             "items": [_ROW], "id": 3}
        )
    )  # fmt: skip

    start: ShownMoment
    end: ShownMoment
    time_zone: str
    running: bool
    hash: str
    settings: dict[str, int]
    summary: ClearOutSummary
    items: list[ClearOutRowOut]
    id: int
    created_at: ShownMoment | None = None
    created_by: str | None = None
    difference: dict[str, Any] | None = None
    created: bool | None = None
