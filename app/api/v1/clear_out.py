"""The clear-out list (清零清单) of a month: read, and its rows taken over by a leader."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import ConfigDict, Field

from app import clock
from app.api.body import JsonBody
from app.api.deps import IfMatch, Run, Who
from reports import service
from reports.clear_out import ledger

router = APIRouter(tags=["reports"])
Month = Annotated[str, Path(max_length=16, description="`2024-03`")]


class RowIn(JsonBody):
    """What a leader sets of a row; what is left out stays, `null` takes it off."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"leader": "李副局长", "measures": "每周现场调度", "condition": "噪声复测达标，群众签字认可"}]
        },
    )
    leader: str | None = Field(default=None, max_length=100)
    measures: str | None = Field(default=None, max_length=2000)
    condition: str | None = Field(default=None, max_length=2000, description="when it counts as cleared")


@router.get("/clear-out/{month}")
def get_clear_out(
    run: Run,
    who: Who,
    month: Month,
    unit: Annotated[str | None, Query(max_length=64, description="code of a unit, with all below it")] = None,
) -> dict[str, Any]:
    """The list of a month as it was frozen, with leader, measures, condition and state as they stand now."""
    with run.reading() as (session, ref):
        return service.clear_out(session, ref, who, month, unit=unit, now=clock.now(), zone=run.settings.zone)


@router.patch("/clear-out/{month}/{ticket_id}")
def patch_clear_out(
    run: Run,
    who: Who,
    response: Response,
    version: IfMatch,
    month: Month,
    ticket_id: Annotated[int, Path(ge=1, le=2**62)],
    body: RowIn,
) -> dict[str, Any]:
    """Set leader, measures or condition of a row. `If-Match` with the row's version: 412 if it has moved on."""
    now = clock.now()
    with run.writing() as uow:
        fields = body.model_dump(exclude_unset=True)
        row = ledger.amend(uow.session, uow.ref, who, month, ticket_id, fields, if_match=version)
        response.headers["ETag"] = f'"{row.version}"'
    with run.reading() as (session, ref):
        found = service.clear_out(session, ref, who, month, now=now, zone=run.settings.zone)
    return next(item for item in found["items"] if item["ticket_id"] == ticket_id)
