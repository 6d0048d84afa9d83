"""The clear-out list (清零清单) of a month: read it, and amend its rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app import clock
from app.api.answers import VERSIONED, as_json, shows
from app.api.deps import Id, IfMatch, Run, Who
from app.schemas.clear_out import ClearOutOut, ClearOutRowIn, ClearOutRowOut
from reports import service
from reports.clear_out import ledger

router = APIRouter(tags=["reports"])
Month = Annotated[str, Path(max_length=16, description="`2024-03`")]


@router.get("/clear-out/{month}", responses=shows(ClearOutOut))
def get_clear_out(
    run: Run,
    who: Who,
    month: Month,
    unit: Annotated[str | None, Query(max_length=64, description="code of a unit, with all below it")] = None,
) -> Response:
    """The frozen list of a month, with the current leader, measures, condition and state."""
    with run.reading() as (session, ref):
        return as_json(service.clear_out(session, ref, who, month, unit=unit, now=clock.now(), zone=run.settings.zone))


@router.patch("/clear-out/{month}/{ticket_id}", responses={**shows(ClearOutRowOut), **VERSIONED})
def amend_clear_out(run: Run, who: Who, version: IfMatch, month: Month, ticket_id: Id, body: ClearOutRowIn) -> Response:
    """Set leader, measures or condition of a row. `If-Match` with the row's version: 412 if it has changed since."""
    now = clock.now()
    with run.writing() as uow:
        fields = body.model_dump(exclude_unset=True)
        row = ledger.amend(uow.session, uow.ref, who, month, ticket_id, fields, if_match=version)
        headers = {"ETag": f'"{row.version}"'}
    with run.reading() as (session, ref):
        found = service.clear_out(session, ref, who, month, now=now, zone=run.settings.zone)
    return as_json(next(item for item in found["items"] if item["ticket_id"] == ticket_id), 200, headers)
