"""Lives retold: the two clocks of a ticket with the hold-time of each unit, and past tickets under a proposed policy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from app import clock
from app.api.body import JsonBody
from app.api.deps import Run, Who
from app.schemas.moment import Moment
from app.security.permissions import require
from app.services.core.views import moment
from app.services.recompute.policy_replay import RuleProposal, replay
from app.services.tickets import clocks
from app.services.tickets import query as tickets

router = APIRouter(tags=["deadlines"])
TicketId = Annotated[int, Path(ge=1, le=2**62)]

EXAMPLES: list[dict[str, Any]] = [
    {
        "policy": {"code": "default", "name_zh": "一般事项", "limits": {"complete": {"unit": "working_days", "amount": 3}}},
        "from": "2026-01-01T00:00:00+08:00", "to": "2026-04-01T00:00:00+08:00",
    }
]  # fmt: skip


class ReplayIn(JsonBody):
    """What is proposed, and the tickets it is tried on: those received from ``from`` until before ``to``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, json_schema_extra={"examples": [*EXAMPLES]})
    policy: dict[str, Any] | None = Field(default=None, description="a policy, in place of the one with its code")
    policies: list[dict[str, Any]] = Field(default=[], max_length=200, description="several")
    calendar: dict[str, Any] | None = Field(default=None, description="a calendar as an object")
    calendar_code: str = Field(default="cn", max_length=64, description="of the calendar it is in place of")
    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to")
    target: Literal["accept", "contact", "complete", "callback", "supervise"] = "complete"
    unit: str | None = Field(default=None, max_length=64, description="of its subtree only")


@router.post("/policies/replay")
def replay_policies(run: Run, who: Who, body: ReplayIn) -> dict[str, Any]:
    """How many would have been overdue, by unit, before and after, and which tickets change. Nothing is written."""
    require(who, "deadlines.replay")
    now = clock.now()
    given = [*([body.policy] if body.policy is not None else []), *body.policies]
    with run.reading() as (session, ref):
        proposal = RuleProposal.read(given, body.calendar, body.calendar_code, ref)
        unit_id = ref.need_unit(body.unit).id if body.unit is not None else None
        found = replay(
            session, ref, proposal, body.since, body.until, now=now, target=body.target, unit_id=unit_id
        )  # fmt: skip
        answer = found.to_json(ref)
    zone = run.settings.zone
    return {"from": moment(body.since, zone), "to": moment(body.until, zone), "target": body.target, **answer}


@router.get("/tickets/{ticket_id}/clocks")
def get_clocks(run: Run, who: Who, ticket_id: TicketId) -> dict[str, Any]:
    """The unit clock (working seconds), the citizen clock (natural seconds), and how long each unit had the ticket."""
    now = clock.now()
    with run.reading() as (session, ref):
        tickets.get(session, ref, who, ticket_id)
        return clocks.clocks_view(session, ref, ticket_id, now, run.settings.zone)
