"""The seal job: every minute the chains that grew are sealed; every hour all are looked at."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.runtime import Runtime
from app.services.audit.seals import seal_all
from app.workers.scheduler import Job, register

EVERY_SECONDS = 60
FULL_EVERY = timedelta(hours=1)
_last_full: dict[str, datetime] = {}


def run(runtime: Runtime, period: str, now: datetime) -> int:
    """Seal what changed. The first time in a process, and once an hour, every ticket is looked at: a chain whose events
    were dated long before they were committed (a long import, a clock put right) is then sealed too."""
    last = _last_full.get(runtime.database.url)
    full = last is None or now - last >= FULL_EVERY
    entries = seal_all(runtime.database, now, full=full)
    if full:
        _last_full[runtime.database.url] = now
    return entries


SEAL_JOB = register(Job("seal", EVERY_SECONDS, run))
