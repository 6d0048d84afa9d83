"""A ticket as read."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.codes import Card, Kind, Priority, Satisfaction, Severity, Stage, TicketStatus, Verdict
from app.schemas.common import Answer, example
from app.schemas.deadline import DEADLINE, DeadlineOut
from app.schemas.moment import ShownMoment

TICKET: Final[dict[str, Any]] = {
    "id": 1787, "number": "20261126-0001787", "source": "sulaiban", "external_id": "SLB202611260001",
    "title": "新安佳园楼道燃气味浓烈", "content": "整个单元都能闻到，住户已自行疏散。请立即派人处置。", "kind": "help",
    "category": "gas", "priority": "emergency", "severity": None, "status": "accepted", "stage": "urged", "card": "red",
    "unit": "GY-RQ", "unit_name": "云溪燃气公司", "first_unit": "GY-RQ", "grid": "G-CNJD-3-2-3",
    "reporter": {"name": "孙**", "phone": "199****4165", "id_number": None}, "address": "南屏街道迎宾大道101号新安佳园2栋",
    "latitude": None, "longitude": None, "parent_id": None, "parent_external_id": None,
    "attributes": {"channel": "公众号"}, "received_at": "2026-11-26T03:34:15+08:00", "source_due_at": None,
    "dispatched_at": "2026-11-26T03:36:21+08:00", "accepted_at": "2026-11-26T03:45:49+08:00", "contacted_at": None,
    "suspended_at": None, "completed_at": None, "closed_at": None, "voided_at": None,
    "due_at": "2026-11-26T05:36:21+08:00", "provisional": False, "deadlines": [DEADLINE], "result": None,
    "satisfaction": None, "resolved": None, "source_verdict": None, "returns": 0, "reopens": 0, "urges": 0,
    "extensions": 0, "repeats": 0, "supervised": True, "historical": False, "version": 7,
}  # fmt: skip


class ReporterOut(Answer):
    """Who reported; masked for callers who may not see personal data."""

    name: str | None
    phone: str | None
    id_number: str | None


class TicketOut(Answer):
    """A ticket as read."""

    model_config = ConfigDict(json_schema_extra=example(TICKET))

    id: int
    number: str = Field(description="local date of receipt and the id, as printed on documents")
    source: str = Field(description="code of the source")
    external_id: str
    title: str
    content: str | None
    kind: Kind | None
    category: str | None = Field(description="code of a category")
    priority: Priority
    severity: Severity | None
    status: TicketStatus
    stage: Stage
    card: Card | None
    unit: str | None = Field(description="code of the unit in charge")
    unit_name: str | None
    first_unit: str | None = Field(description="code of the first unit in charge (首问负责); never changes")
    grid: str | None = Field(description="code of a grid")
    reporter: ReporterOut | None
    address: str | None
    latitude: float | None
    longitude: float | None
    parent_id: int | None = Field(description="the earlier ticket of the same matter")
    parent_external_id: str | None
    attributes: dict[str, Any]
    received_at: ShownMoment
    source_due_at: ShownMoment | None
    dispatched_at: ShownMoment | None
    accepted_at: ShownMoment | None
    contacted_at: ShownMoment | None
    suspended_at: ShownMoment | None
    completed_at: ShownMoment | None
    closed_at: ShownMoment | None
    voided_at: ShownMoment | None
    due_at: ShownMoment | None = Field(description="the deadline for completion in force")
    provisional: bool
    deadlines: list[DeadlineOut] = Field(description="the deadlines in force, one for each target")
    result: str | None
    satisfaction: Satisfaction | None
    resolved: bool | None
    source_verdict: Verdict | None
    returns: int
    reopens: int
    urges: int
    extensions: int
    repeats: int = Field(description="later reports linked to this ticket")
    supervised: bool
    historical: bool
    version: int = Field(description="for `If-Match`")
