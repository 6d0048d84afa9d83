"""The actions on a ticket: one request schema for each, in the table ``ACTIONS``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from app.schemas.common import JsonBody, example
from app.schemas.moment import Moment

UnitCode = Annotated[str, Field(max_length=64, description="code of a unit")]


class ActionIn(JsonBody):
    """What every action may carry."""

    at: Moment | None = Field(default=None, description="when it happened, for roles that may back-date")

    def params(self) -> dict[str, Any]:
        """What was given besides ``at``."""
        return self.model_dump(exclude={"at"}, exclude_none=True)


class DispatchIn(ActionIn):
    """Dispatch to a unit (派单)."""

    model_config = ConfigDict(json_schema_extra=example({"unit": "GA-01"}))
    unit: UnitCode


class AcceptIn(ActionIn):
    """Sign for the ticket (签收)."""

    model_config = ConfigDict(json_schema_extra=example({"at": "2026-03-02T09:30:00+08:00"}))


class ReturnIn(ActionIn):
    """Return to the office (退单)."""

    model_config = ConfigDict(json_schema_extra=example({"reason": "不属本单位职责"}))
    reason: str


class ReassignIn(ActionIn):
    """Give to another unit (改派)."""

    model_config = ConfigDict(json_schema_extra=example({"unit": "CG-02", "reason": "职责在城管"}))
    unit: UnitCode
    reason: str


class ContactIn(ActionIn):
    """The unit has contacted the citizen (联系群众)."""

    model_config = ConfigDict(json_schema_extra=example({"note": "已电话联系，约定明日上门"}))
    note: str | None = None


class SuspendIn(ActionIn):
    """Suspend: the unit's clock stops (挂起)."""

    model_config = ConfigDict(
        json_schema_extra=example({"reason": "等待鉴定结论", "until": "2026-03-09T09:00:00+08:00"})
    )
    reason: str
    until: Moment | None = Field(default=None, description="when it is expected to end")


class ResumeIn(ActionIn):
    """End the suspension (恢复)."""

    model_config = ConfigDict(json_schema_extra=example({"at": "2026-03-09T09:00:00+08:00"}))


class ExtendIn(ActionIn):
    """Ask for more working days (申请延期)."""

    model_config = ConfigDict(json_schema_extra=example({"days": 3, "reason": "需现场勘验"}))
    days: int = Field(strict=True, description="working days")
    reason: str


class CompleteIn(ActionIn):
    """Complete the ticket (办结)."""

    model_config = ConfigDict(json_schema_extra=example({"result": "已更换灯具并现场确认"}))
    result: str = Field(description="what was done; at most 10,000 characters")


class UrgeIn(ActionIn):
    """Urge the unit (催单)."""

    model_config = ConfigDict(json_schema_extra=example({"note": "群众再次来电催办"}))
    note: str | None = None


class ReopenIn(ActionIn):
    """Have the ticket handled again (重办)."""

    model_config = ConfigDict(json_schema_extra=example({"reason": "噪声复现"}))
    reason: str


class VoidIn(ActionIn):
    """Void the ticket (作废)."""

    model_config = ConfigDict(json_schema_extra=example({"reason": "重复登记"}))
    reason: str


ACTIONS: Final[Mapping[str, type[ActionIn]]] = {
    "dispatch": DispatchIn,
    "accept": AcceptIn,
    "return": ReturnIn,
    "reassign": ReassignIn,
    "contact": ContactIn,
    "suspend": SuspendIn,
    "resume": ResumeIn,
    "extend": ExtendIn,
    "complete": CompleteIn,
    "urge": UrgeIn,
    "reopen": ReopenIn,
    "void": VoidIn,
}
"""Each action's request; an action whose request has a required field needs a body."""
