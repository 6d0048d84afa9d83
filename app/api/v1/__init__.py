"""The REST interface under ``/api/v1``."""

from fastapi import APIRouter

from app.api import stream
from app.api.v1 import (
    accounts,
    alerts,
    batch,
    calendars,
    catalogue,
    clear_out,
    deadlines,
    feeds,
    intake,
    policies,
    rejects,
    replay,
    reports,
    supervision_orders,
    tickets,
)

router = APIRouter(prefix="/api/v1")
# Fixed paths below /tickets and /alerts come before those with a parameter in the same place.
for part in (
    intake,
    batch,
    rejects,
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
    reports,
    clear_out,
    tickets,
):
    router.include_router(part.router)
