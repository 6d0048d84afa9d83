"""Reports, their figures, and the registry of figures."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field, field_validator

from app.schemas.codes import ReportKind
from app.schemas.common import Answer, CodeName, JsonBody, Page, TwoLanguages, example
from app.schemas.moment import Moment, ShownMoment
from app.schemas.ticket import TicketOut

_FIGURES: Final[dict[str, Any]] = {
    "received": {"value": 43}, "completion_rate": {"value": 1.0, "numerator": 43, "denominator": 43},
}  # fmt: skip
_HEAD: Final[dict[str, Any]] = {
    "kind": "monthly", "period": "2026-10", "as_of": "2026-11-26T04:40:19+08:00", "scope": {"unit": "ZJ"}, "edition": 1,
    "definitions_version": "4f9e7a569464b925",
}  # fmt: skip
_SPAN: Final[dict[str, Any]] = {"start": "2026-10-01T00:00:00+08:00", "end": "2026-11-01T00:00:00+08:00"}
_HASH: Final = "bfd6dc87b57e5782cca58148449ef663867bdbb51006440ad7e497db0045e4c6"
_COMPARE: Final[dict[str, Any]] = {"previous": {"received": {"value": 40}}, "last_year": None}


class ScopeIn(JsonBody):
    """What a report covers."""

    unit: str | None = Field(default=None, max_length=64, description="code of a unit, with all below it")


class ReportIn(JsonBody):
    """A report to be made."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"kind": "monthly", "period": "2024-03"},
            {"kind": "weekly", "period": "2024-W11", "scope": {"unit": "GA-01"}},
        )
    )
    kind: ReportKind
    period: str = Field(max_length=32, description="`2024-03-15`, `2024-W11`, `2024-03`, `2024-03-01..2024-03-15`")
    scope: ScopeIn | None = Field(default=None, description='`{"unit": code}`, or the code alone; none: the whole')
    as_of: Moment | None = Field(default=None, description="what was known then; default: now")

    @field_validator("scope", mode="before")
    @classmethod
    def _code_alone(cls, value: Any) -> Any:
        return {"unit": value} if isinstance(value, str) else value

    def unit(self) -> str | None:
        """The code of the unit it is about."""
        return self.scope.unit if self.scope else None


class ScopeOut(Answer):
    """What a report covers; no unit: the whole."""

    unit: str | None


class FigureOut(Answer):
    """A figure; a ratio carries its numerator and denominator, and is null on a zero denominator."""

    value: int | float | None
    numerator: int | float | None = None
    denominator: int | None = None
    n: int | None = Field(default=None, description="of a percentile: how many were measured")


Figures = dict[str, FigureOut]


class CompareOut(Answer):
    """The same figures of earlier periods; null where that period has none."""

    previous: Figures | None = None
    last_year: Figures | None = None


class RankOut(Answer):
    """A unit's place within its tier, and the Wilson interval of its ratio."""

    rank: int | None
    of: int | None
    interval: tuple[float, float] | None


class GroupOut(CodeName):
    """The figures of one group."""

    figures: Figures
    compare: CompareOut
    parent: str | None = None
    depth: int | None = None
    received_directly: int | None = None
    tier: str | None = None
    ranking: dict[str, RankOut] | None = None


class PointOut(Answer):
    """One period of the series."""

    period: str
    start: ShownMoment
    end: ShownMoment
    as_of: ShownMoment
    figures: Figures


class ComparedPeriod(Answer):
    """An earlier period that is compared with, and as of when."""

    period: str
    as_of: ShownMoment


class ReportHead(Answer):
    """What identifies an edition of a report."""

    kind: ReportKind
    period: str
    as_of: ShownMoment
    scope: ScopeOut
    edition: int = Field(description="0: a running report; from 2: a correction (更正)")
    definitions_version: str


class ListedReportOut(ReportHead):
    """A report as listed, without its figures."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 6, **_HEAD, **_SPAN, "hash": _HASH, "created_at": "2026-11-26T04:40:19+08:00",
             "created_by": "key:2", "correction": False, "running": False}
        )
    )  # fmt: skip

    id: int
    start: ShownMoment
    end: ShownMoment
    hash: str
    created_at: ShownMoment
    created_by: str
    correction: bool
    running: bool


class ReportOut(ReportHead):
    """A report with its figures, breakdowns, series, comparison and balance."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {**_HEAD, **_SPAN, "time_zone": "Asia/Shanghai", "running": False, "hash": _HASH, "figures": _FIGURES,
             "by_unit": [{"code": "YX", "name": "云溪县", "name_en": "Yunxi County", "figures": _FIGURES,
                          "compare": _COMPARE, "parent": None, "depth": 0, "received_directly": 0, "tier": "1",
                          "ranking": {"completion_rate": {"rank": 1, "of": 1, "interval": [0.918, 1.0]}}}],
             "by_category": [], "by_source": [], "by_kind": [], "by_grid": [], "by_priority": [],
             "series": [{"period": "2025-10", "start": "2025-10-01T00:00:00+08:00", "end": "2025-11-01T00:00:00+08:00",
                         "as_of": "2025-11-26T04:40:19+08:00", "figures": {"received": {"value": 0}}}],
             "compare": _COMPARE,
             "compared_with": {"previous": {"period": "2026-09", "as_of": "2026-10-26T04:40:19+08:00"}},
             "balance": {"carried_in": 11, "received": 43, "completed_in_period": 49, "open": 5, "voided": 0},
             "verdicts_from_source": 0, "id": 6, "created_at": "2026-11-26T04:40:19+08:00", "created_by": "key:2",
             "difference": None}
        )
    )  # fmt: skip

    id: int
    start: ShownMoment
    end: ShownMoment
    time_zone: str
    running: bool
    hash: str
    figures: Figures
    by_unit: list[GroupOut]
    by_category: list[GroupOut]
    by_source: list[GroupOut]
    by_kind: list[GroupOut]
    by_grid: list[GroupOut]
    by_priority: list[GroupOut]
    series: list[PointOut]
    compare: CompareOut
    compared_with: dict[str, ComparedPeriod]
    balance: dict[str, int]
    verdicts_from_source: int
    created_at: ShownMoment
    created_by: str
    difference: dict[str, Any] | None = Field(description="of a correction: what changed against the edition before")
    created: bool | None = Field(default=None, description="in the answer to POST: whether this edition is new")


class ReportFiguresOut(ReportHead):
    """The figures of a report, or of one of its groups."""

    model_config = ConfigDict(
        json_schema_extra=example({**_HEAD, "group": None, "figures": _FIGURES, "compare": _COMPARE})
    )

    group: str | None
    figures: Figures
    compare: CompareOut


class FigureTicketOut(TicketOut):
    """A ticket that a figure counts; without the citizen's words where the caller may not see the ticket."""

    title: str | None  # type: ignore[assignment]  # wider than that of a ticket


class FigureTicketsOut(Page[FigureTicketOut]):
    """One page of the tickets that a figure counts."""

    total: int = Field(description="as many as the figure says")


class DefinitionOut(Answer):
    """One figure of the registry."""

    key: str
    label: TwoLanguages
    description: TwoLanguages
    group: str
    kind: str
    unit: str
    format: str
    better: str | None
    numerator: str
    denominator: str | None
    sql: dict[str, Any]
    column: str | None = None
    quantile: float | None = None


class DefinitionsOut(Answer):
    """The registry of figures."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"version": "4f9e7a569464b925", "groups": {"volume": {"zh": "受理与办结", "en": "Received and completed"}},
             "conditions": {"received": "in_period AND NOT void"},
             "items": [{"key": "carried_in", "label": {"zh": "上期结转", "en": "Carried in"},
                        "description": {"zh": "期初之前受理，期初时尚未办结也未作废",
                                        "en": "received before the period, not completed and not void at its start"},
                        "group": "volume", "kind": "count", "unit": "tickets", "format": "#,##0", "better": None,
                        "numerator": "start_state = 'open'", "denominator": None,
                        "sql": {"numerator": "start_state = 'open'"}}]}
        )
    )  # fmt: skip

    version: str
    groups: dict[str, TwoLanguages]
    conditions: dict[str, str]
    items: list[DefinitionOut]
