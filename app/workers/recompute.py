"""The job that finishes an interrupted recompute of deadlines, including tickets accepted meanwhile."""

from __future__ import annotations

from datetime import datetime

from app.runtime import Runtime
from app.security.principal import SYSTEM
from app.services.recompute.run import catch_up
from app.workers.scheduler import Job, register

EVERY_SECONDS = 3600


def _run(runtime: Runtime, period: str, now: datetime) -> None:
    catch_up(runtime.database, runtime.reference, SYSTEM.actor, now)


JOB = register(Job("recompute", EVERY_SECONDS, _run))
