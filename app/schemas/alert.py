"""Alerts (预警): in lists and on the live stream."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.codes import AlertChange, AlertState, Card, Stage, Target, TicketStatus
from app.schemas.common import Answer, example
from app.schemas.moment import ShownMoment

ALERT: Final[dict[str, Any]] = {
    "id": 636, "ticket_id": 1787, "ticket_number": "20261126-0001787", "title": "新安佳园楼道燃气味浓烈",
    "ticket_status": "accepted", "stage": "urged", "unit": "GY-RQ", "unit_name": "云溪燃气公司", "target": "complete",
    "round": 1, "revision": 2, "rung": "complete_due", "rung_name": "办理超期", "rung_name_en": "Overdue", "card": "red",
    "breach_at": "2026-11-26T05:36:21+08:00", "due_at": "2026-11-26T05:36:21+08:00",
    "raised_at": "2026-11-26T05:36:22+08:00", "passed_over": ["complete_t2", "complete_t1"], "notify": ["unit"], "state": "open",
    "acked_by": None, "acked_at": None, "resolved_at": None, "resolution": None,
}  # fmt: skip


class AlertOut(Answer):
    """An alert; it does not identify the citizen."""

    model_config = ConfigDict(json_schema_extra=example(ALERT))

    id: int
    ticket_id: int
    ticket_number: str
    title: str
    ticket_status: TicketStatus
    stage: Stage
    unit: str | None = Field(description="code of the unit")
    unit_name: str | None
    target: Target
    round: int
    revision: int = Field(description="of the deadline: grows whenever it moves")
    rung: str = Field(description="code of a rung of the ladder")
    rung_name: str
    rung_name_en: str
    card: Card | None
    breach_at: ShownMoment = Field(description="the moment of the breach, not the one at which a sweep found it")
    due_at: ShownMoment
    raised_at: ShownMoment
    passed_over: list[str] = Field(description="lower rungs that were not raised one by one")
    notify: list[str] = Field(description="the roles that the rung has notified")
    state: AlertState
    acked_by: str | None
    acked_at: ShownMoment | None
    resolved_at: ShownMoment | None
    resolution: str | None


class AlertEventOut(AlertOut):
    """One event of the alert stream: an alert and what happened to it."""

    model_config = ConfigDict(json_schema_extra=example({**ALERT, "kind": "raised"}))

    kind: AlertChange
