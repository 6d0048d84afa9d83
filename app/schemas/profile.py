"""Mapping profiles: listed, proposed for a file, tried on a file."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.common import Answer, FieldError, TwoLanguages, example

PROFILE: Final[dict[str, Any]] = {
    "name": "mycity",
    "title": {"zh": "某市网上信访", "en": "Some city's letters"},
    "source": {"code": "mycity", "zh": "某市网上信访", "en": "Some city's letters"},
    "time_zone": "Asia/Shanghai",
    "times": ["iso", "%Y年%m月%d日 %H时%M分", "excel"],
    "missing": ["-"],
    "fields": {"external_id": "信件编号", "title": "信件标题", "received_at": "来信时间", "kind": "信件类型"},
    "values": {"kind": {"投诉": "complaint", "咨询": "consult"}},
    "keep_rest": True,
}


class ProfileDocument(Answer):
    """A profile, as ``docs/intake.md`` describes it; what has its default is left out."""

    model_config = ConfigDict(extra="allow", json_schema_extra=example(PROFILE))

    name: str
    fields: dict[str, Any] | None = None


class ListedProfileOut(Answer):
    """A profile as listed."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"name": "mycity", "title": PROFILE["title"], "source": "mycity", "time_zone": "Asia/Shanghai",
             "bundled": False}
        )
    )  # fmt: skip

    name: str
    title: TwoLanguages
    source: str
    time_zone: str
    bundled: bool


class SampleOut(Answer):
    """The file, and its first rows."""

    format: str
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    sheets: list[str]
    columns: list[str]
    rows_looked_at: int
    whole: bool
    first_rows: list[list[Any]]


class GuessOut(Answer):
    """Which columns a field comes from, and how sure that is."""

    target: str
    columns: list[str]
    confidence: float
    level: str = Field(description="`sure`, `likely` or `unsure`")
    reasons: list[str]


class ProposalOut(Answer):
    """A mapping proposed for a file."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"file": {"format": "xlsx", "encoding": None, "delimiter": None, "sheet": "一月", "sheets": ["说明", "一月"],
                      "columns": ["信件编号", "信件标题", "来信时间"], "rows_looked_at": 120, "whole": True,
                      "first_rows": [["24", "路灯不亮", "2026/1/6 12:09:38"]]},
             "profile": PROFILE,
             "guesses": [{"target": "received_at", "columns": ["来信时间"], "confidence": 1.0, "level": "sure",
                          "reasons": ["headed '来信时间'", "100% can be read as times"]}],
             "unknown_words": {"kind": ["其他"]}, "notes": []}
        )
    )  # fmt: skip

    file: SampleOut
    profile: dict[str, Any]
    guesses: list[GuessOut]
    unknown_words: dict[str, list[str]]
    notes: list[str]


class RejectedRow(Answer):
    """One row that would be rejected."""

    row: int | None
    errors: list[FieldError]


class RejectReasonOut(Answer):
    """How many rows would be rejected for one reason."""

    reason: str
    count: int
    examples: list[RejectedRow]


class ImportPreviewOut(Answer):
    """What an import of a file would bring."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"rows": 120, "whole": True, "tickets": 118, "repeated": 1, "rejected": 1,
             "first_tickets": [{"row": 1, "external_id": "24", "title": "路灯不亮", "status": "received",
                                "priority": "normal", "received_at": "2026-01-06T12:09:38+08:00"}],
             "rejects": [{"reason": "moment_written", "count": 1, "examples": [
                 {"row": 7, "errors": [{"pointer": "/received_at",
                                        "detail": "'昨天' is written in none of the profile's time formats"}]}]}],
             "broken": None}
        )
    )  # fmt: skip

    rows: int
    whole: bool
    tickets: int
    repeated: int
    rejected: int
    first_tickets: list[dict[str, Any]]
    rejects: list[RejectReasonOut]
    broken: str | None
