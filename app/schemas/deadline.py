"""Deadlines as read, and requests to compute one."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.codes import DeadlineBasis, DeadlineState, Target
from app.schemas.common import Answer, example
from app.schemas.moment import ShownMoment

DEADLINE: Final[dict[str, Any]] = {
    "target": "accept", "round": 1, "started_at": "2026-11-26T03:36:21+08:00", "due_at": "2026-11-26T04:06:21+08:00",
    "met_at": "2026-11-26T03:45:49+08:00", "provisional": False, "state": "met", "basis": "policy", "extended_days": 0,
}  # fmt: skip


class DeadlineOut(Answer):
    """One deadline of a ticket."""

    model_config = ConfigDict(json_schema_extra=example(DEADLINE))

    target: Target
    round: int = Field(description="raised by each reopening")
    started_at: ShownMoment
    due_at: ShownMoment
    met_at: ShownMoment | None
    provisional: bool = Field(description="rests on a calendar year that is not published yet")
    state: DeadlineState
    basis: DeadlineBasis = Field(description="`source`: the upstream's own limit binds")
    extended_days: int = Field(description="working days granted by extensions")
