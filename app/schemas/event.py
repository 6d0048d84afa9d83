"""The event log of a ticket, and its clocks."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from app.schemas.codes import ClockState
from app.schemas.common import Answer, example
from app.schemas.moment import ShownMoment


class TicketEventOut(Answer):
    """One event of a ticket's log."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"seq": 2, "type": "dispatched", "at": "2026-11-26T03:36:21+08:00",
             "recorded_at": "2026-11-26T03:36:21+08:00", "actor": "user:派单员03", "data": {"unit": "GY-RQ"},
             "hash": "deca5228c9a9a265b98012592a84c854a410779a7a2ccfa623c2dd8250044b79"}
        )
    )  # fmt: skip

    seq: int
    type: str
    at: ShownMoment = Field(description="when it happened")
    recorded_at: ShownMoment
    actor: str = Field(description="`user:NAME`, `key:ID` or `system:NAME`")
    data: dict[str, Any]
    hash: str = Field(description="covers the event and the hash before it")


class CitizenClock(Answer):
    """The citizen's clock, in natural seconds."""

    since: ShownMoment
    until: ShownMoment | None
    seconds: int
    state: ClockState


class UnitClock(CitizenClock):
    """The unit's clock, in working seconds."""

    suspended_seconds: int


class UnitHold(Answer):
    """How long a unit had the ticket."""

    unit: str
    unit_name: str
    spells: int
    natural_seconds: int
    working_seconds: int
    now: bool = Field(description="the unit has the ticket now")


class ClocksOut(Answer):
    """The clocks of a ticket."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"as_of": "2026-11-26T05:43:29+08:00",
             "unit_clock": {"since": "2026-11-26T03:36:21+08:00", "until": None, "seconds": 0, "state": "running",
                            "suspended_seconds": 0},
             "citizen_clock": {"since": "2026-11-26T03:34:15+08:00", "until": None, "seconds": 7754, "state": "running"},
             "held": [{"unit": "GY-RQ", "unit_name": "云溪燃气公司", "spells": 1, "natural_seconds": 7628,
                       "working_seconds": 0, "now": True}]}
        )
    )  # fmt: skip

    as_of: ShownMoment
    unit_clock: UnitClock | None
    citizen_clock: CitizenClock | None
    held: list[UnitHold]
