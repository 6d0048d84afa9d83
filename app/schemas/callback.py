"""Callbacks (回访): attempts to ask the citizen."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from app.schemas.codes import Outcome, Satisfaction
from app.schemas.common import Answer, JsonBody, example
from app.schemas.moment import Moment, ShownMoment

Score = Annotated[int, Field(ge=1, le=5, strict=True)]


class CallbackIn(JsonBody):
    """One attempt to ask the citizen."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"outcome": "reached", "satisfaction": "dissatisfied", "resolved": False, "speed": 2, "attitude": 4,
             "result_score": 1, "remark": "夜间仍有噪声"}
        )
    )  # fmt: skip
    outcome: Outcome
    satisfaction: Satisfaction | None = None
    resolved: Annotated[bool, Field(strict=True)] | None = None
    speed: Score | None = None
    attitude: Score | None = None
    result_score: Score | None = None
    remark: str | None = Field(default=None, max_length=2000)
    at: Moment | None = Field(default=None, description="when it happened, for roles that may back-date")


class CallbackOut(Answer):
    """One callback."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 1738, "round": 1, "at": "2026-11-24T13:50:41+08:00", "outcome": "reached",
             "satisfaction": "basically_satisfied", "resolved": False, "speed": 4, "attitude": 5, "result_score": 4,
             "remark": "解释得清楚，效果一般。", "actor": "user:回访员01"}
        )
    )  # fmt: skip

    id: int
    round: int
    at: ShownMoment
    outcome: Outcome
    satisfaction: Satisfaction | None
    resolved: bool | None
    speed: int | None
    attitude: int | None
    result_score: int | None
    remark: str | None
    actor: str
