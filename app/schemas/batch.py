"""The answer to a batch of pushed tickets."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from app.schemas.codes import RowStatus
from app.schemas.common import Answer, FieldError, example


class RowResult(Answer):
    """What became of one row."""

    index: int = Field(description="from 0")
    status: RowStatus
    id: int | None = Field(default=None, description="of the ticket; left out where there is none")
    errors: list[FieldError] | None = Field(default=None, description="left out where there are none")


class BatchOut(Answer):
    """What became of a batch."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"created": 1, "unchanged": 0, "rejected": 1, "results": [
                {"index": 0, "status": "created", "id": 4711},
                {"index": 1, "status": "rejected", "errors": [{"pointer": "/title", "detail": "缺少必填字段"}]}]}
        )
    )  # fmt: skip

    created: int
    unchanged: int
    rejected: int
    results: list[RowResult]
