"""Requests for extension (延期) and the rulings on them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.codes import ExtensionState
from app.schemas.common import Answer, JsonBody, example
from app.schemas.moment import ShownMoment
from app.schemas.ticket import TICKET, TicketOut

EXTENSION: Final[dict[str, Any]] = {
    "id": 48, "ticket_id": 1669, "days": 10, "reason": "需委托第三方检测，检测报告尚未出具。", "state": "approved",
    "asked_by": "user:柳塘派出所经办人", "asked_at": "2026-11-25T16:41:35+08:00", "ruled_by": "user:督办员02",
    "ruled_at": "2026-11-25T17:13:27+08:00", "note": "情况属实，同意延期。",
}  # fmt: skip


class RulingIn(JsonBody):
    """The remark of the person who rules."""

    model_config = ConfigDict(json_schema_extra=example({"note": "情况属实，同意延期"}))
    note: str | None = Field(default=None, max_length=2000)


class ExtensionOut(Answer):
    """One request for extension."""

    model_config = ConfigDict(json_schema_extra=example(EXTENSION))

    id: int
    ticket_id: int
    days: int = Field(description="working days")
    reason: str
    state: ExtensionState
    asked_by: str
    asked_at: ShownMoment
    ruled_by: str | None
    ruled_at: ShownMoment | None
    note: str | None


class RuledExtensionOut(ExtensionOut):
    """A request for extension that was ruled on, with its ticket."""

    model_config = ConfigDict(json_schema_extra=example({**EXTENSION, "ticket": TICKET}))

    ticket: TicketOut
