"""The two clocks of a ticket with the time in each unit, and replay of past tickets under a proposed policy."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app import clock
from app.api.answers import as_json, shows
from app.api.deps import Id, Run, Who
from app.schemas.event import ClocksOut
from app.schemas.rules import ReplayIn, ReplayOut
from app.security.permissions import require
from app.services.core.views import moment
from app.services.recompute.policy_replay import RuleProposal, replay
from app.services.tickets import clocks
from app.services.tickets import query as tickets

router = APIRouter(tags=["deadlines"])


@router.post("/policies/replay", responses=shows(ReplayOut))
def replay_policies(run: Run, who: Who, body: ReplayIn) -> Response:
    """Replay past tickets: the number overdue by unit, before and after, and the tickets that change. Nothing is written."""
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
    return as_json({"from": moment(body.since, zone), "to": moment(body.until, zone), "target": body.target, **answer})


@router.get("/tickets/{ticket_id}/clocks", responses=shows(ClocksOut))
def get_clocks(run: Run, who: Who, ticket_id: Id) -> Response:
    """The unit clock (working seconds), the citizen clock (natural seconds), and the time in each unit."""
    now = clock.now()
    with run.reading() as (session, ref):
        tickets.get(session, ref, who, ticket_id)
        return as_json(clocks.clocks_view(session, ref, ticket_id, now, run.settings.zone))
