"""Liveness, readiness and metrics."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.api.answers import shows
from app.db import MIGRATIONS
from app.models import SweepRun
from app.runtime import Runtime
from app.schemas.health import HealthOut, ReadinessOut

router = APIRouter(tags=["operation"], generate_unique_id_function=lambda route: route.name)
SWEEP_TOO_OLD = timedelta(minutes=2)


@router.get("/healthz")
async def healthz() -> HealthOut:
    """The process is alive."""
    return HealthOut(status="ok")


@router.get("/readyz", responses={**shows(ReadinessOut), **shows(ReadinessOut, 503, "Not ready.")})
def readyz(request: Request) -> JSONResponse:
    """Ready: the database responds, its migrations are at the head, and a sweeper has run recently."""
    runtime: Runtime = request.app.state.duban
    checks: dict[str, Any] = {}
    try:
        with runtime.database.read() as session:
            session.execute(text("SELECT 1"))
            head = ScriptDirectory(MIGRATIONS.as_posix()).get_current_head()
            at = MigrationContext.configure(session.connection()).get_current_revision()
            last = session.execute(select(func.max(SweepRun.at))).scalar()
        checks["database"] = "ok"
        checks["migrations"] = "ok" if at == head else f"at {at}, the head is {head}"
        age = None if last is None else clock.now() - last
        fresh = age is not None and age <= SWEEP_TOO_OLD
        checks["last_sweep"] = "ok" if fresh else "none yet" if age is None else f"{int(age.total_seconds())} s ago"
    except SQLAlchemyError:
        checks["database"] = "unreachable"
    ready = all(value == "ok" for value in checks.values())
    return JSONResponse({"status": "ready" if ready else "not ready", "checks": checks}, 200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Metrics of this process and of its database, in the Prometheus text format: requests by route, pushes by outcome,
    group commits, sweeps, alerts, feeds, reports, connections.
    """
    runtime: Runtime = request.app.state.duban
    return Response(generate_latest(runtime.metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
