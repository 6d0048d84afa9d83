"""Rejects: rows that could not become tickets."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from app.schemas.codes import IngestChannel, RejectState
from app.schemas.common import Answer, FieldError, JsonBody, example
from app.schemas.moment import ShownMoment
from app.validation import objection


class CorrectionIn(JsonBody):
    """What a reject is tried again with: the corrected row as an object, or its text; neither: as received."""

    model_config = ConfigDict(
        json_schema_extra=example({"row": {"external_id": "12345-20260213-0042", "title": "噪声扰民"}})
    )
    row: dict[str, Any] | None = Field(default=None, description="the ticket as pushed, or the columns of the file")
    raw: str | None = Field(default=None, max_length=1_048_576, description="the same as JSON text")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.row is not None and self.raw is not None:
            raise objection("row 与 raw 二者选一", "give either row or raw")
        return self


class RetryManyIn(JsonBody):
    """Which open rejects are tried again; at least the reason is named."""

    model_config = ConfigDict(json_schema_extra=example({"reason": "unit_unknown", "source": "12345"}))
    reason: str = Field(min_length=1, max_length=64)
    source: str | None = Field(default=None, description="code of a source")
    door: IngestChannel | None = None
    run: int | None = Field(default=None, ge=1, le=2**62, description="id of an import run")


class RejectOut(Answer):
    """A reject, with its raw row as the caller may see it."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 12, "state": "open", "door": "batch", "source": "12345", "run": None, "row": 17,
             "external_id": "12345-20260213-0042", "profile": None, "reason": "moment_naive",
             "errors": [{"pointer": "/received_at", "detail": "时间没有时区偏移，请写成 2026-03-02T09:30:00+08:00 或以 Z 结尾"}],
             "raw": '{"external_id":"12345-20260213-0042","title":"噪声扰民"}', "ticket_id": None,
             "created_at": "2026-02-13T16:31:00+08:00", "settled_at": None, "settled_by": None}
        )
    )  # fmt: skip

    id: int
    state: RejectState
    door: IngestChannel = Field(description="how the row arrived")
    source: str | None = Field(description="code of the source")
    run: int | None = Field(description="id of an import run")
    row: int | None
    external_id: str | None
    profile: str | None
    reason: str = Field(description="code of the first reason")
    errors: list[FieldError]
    raw: str | None
    ticket_id: int | None
    created_at: ShownMoment
    settled_at: ShownMoment | None
    settled_by: str | None


class RejectExample(Answer):
    """One reject of a group."""

    id: int
    errors: list[FieldError]


class RejectGroupOut(Answer):
    """How many rejects there are of one reason."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"reason": "missing", "count": 3,
             "example": {"id": 12, "errors": [{"pointer": "/title", "detail": "缺少必填字段"}]}}
        )
    )  # fmt: skip

    reason: str
    count: int
    example: RejectExample


class RetriedOut(Answer):
    """A reject that has become a ticket."""

    model_config = ConfigDict(json_schema_extra=example({"id": 12, "state": "retried", "ticket_id": 4711}))

    id: int
    state: RejectState
    ticket_id: int | None


class RetriedManyOut(Answer):
    """How many rejects became tickets, and how many are still refused."""

    model_config = ConfigDict(json_schema_extra=example({"taken": 17, "refused": 2}))

    taken: int
    refused: int
