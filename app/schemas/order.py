"""Supervision orders (督办单)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.schemas.codes import OrderState, Stage, TicketStatus, Trigger
from app.schemas.common import Answer, JsonBody, example
from app.schemas.moment import ShownMoment

Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class OrderIn(JsonBody):
    """An order issued by a person."""

    model_config = ConfigDict(json_schema_extra=example({"demand": "三日内现场核实并答复群众", "signatory": "局长"}))
    trigger: Trigger = "leader"
    demand: Text | None = Field(default=None, description="what is asked of the unit")
    signatory: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class ReplyIn(JsonBody):
    """The unit's reply."""

    model_config = ConfigDict(json_schema_extra=example({"reply": "已现场处置，群众认可"}))
    reply: Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")]


class AcceptReplyIn(JsonBody):
    """The ruling with which a reply is accepted; it may be left out."""

    model_config = ConfigDict(json_schema_extra=example({"ruling": "处置到位"}))
    ruling: Text | None = None


class RefuseReplyIn(JsonBody):
    """The ruling with which a reply is refused: what is missing."""

    model_config = ConfigDict(json_schema_extra=example({"ruling": "未说明整改时限"}))
    ruling: Text


class OrderTrigger(Answer):
    """Why the order was issued or advanced; ``refused``: its reply was. Besides, what came with it: a demand and a signatory,
    or the refused reply and the ruling on it."""

    model_config = ConfigDict(extra="allow")

    trigger: Trigger | Literal["refused"]
    at: ShownMoment
    actor: str
    term: int


class OrderOut(Answer):
    """A supervision order."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 90, "number": "〔2026〕第 0090 号", "year": 2026, "serial": 90, "ticket_id": 1787,
             "ticket_number": "20261126-0001787", "title": "新安佳园楼道燃气味浓烈", "ticket_status": "accepted",
             "stage": "urged", "unit": "GY-RQ", "unit_name": "云溪燃气公司", "state": "issued", "live": True,
             "trigger": "overdue",
             "triggers": [{"trigger": "overdue", "at": "2026-11-25T21:36:22Z", "actor": "system:duban", "term": 1}],
             "term": 1, "issued_at": "2026-11-26T05:36:22+08:00", "due_at": "2026-12-01T17:30:00+08:00",
             "signatory": None, "demand": None, "reply": None, "replied_by": None, "replied_at": None, "ruling": None,
             "ruled_by": None, "ruled_at": None, "closed_at": None, "version": 1}
        )
    )  # fmt: skip

    id: int
    number: str
    year: int
    serial: int
    ticket_id: int
    ticket_number: str
    title: str
    ticket_status: TicketStatus
    stage: Stage
    unit: str | None = Field(description="code of the unit")
    unit_name: str | None
    state: OrderState
    live: bool
    trigger: Trigger = Field(description="the first one")
    triggers: list[OrderTrigger]
    term: int = Field(description="grows when its limit passes or a reply is refused")
    issued_at: ShownMoment
    due_at: ShownMoment
    signatory: str | None
    demand: str | None
    reply: str | None
    replied_by: str | None
    replied_at: ShownMoment | None
    ruling: str | None
    ruled_by: str | None
    ruled_at: ShownMoment | None
    closed_at: ShownMoment | None
    version: int
