"""The REST interface under ``/api/v1``."""

from fastapi import APIRouter, Depends

from app.api import stream
from app.api.answers import ALWAYS
from app.api.deps import known_query
from app.api.v1 import (
    accounts,
    alerts,
    batch,
    calendars,
    catalogue,
    clear_out,
    deadlines,
    disclosures,
    feeds,
    intake,
    policies,
    profiles,
    rejects,
    replay,
    reports,
    supervision_orders,
    tickets,
)

router = APIRouter(prefix="/api/v1", generate_unique_id_function=lambda route: route.name)
"""The id of an operation is the name of its function: short, and stable for generated clients."""
# Fixed paths below /tickets and /alerts come before those with a parameter in the same place.
for part in (
    intake,
    batch,
    rejects,
    profiles,
    feeds,
    supervision_orders,
    stream,
    alerts,
    catalogue,
    calendars,
    deadlines,
    replay,
    policies,
    accounts,
    disclosures,
    reports,
    clear_out,
    tickets,
):
    checked = [] if part in (intake, batch) else [Depends(known_query)]  # these two parse their requests themselves
    router.include_router(part.router, dependencies=checked, responses=ALWAYS)
