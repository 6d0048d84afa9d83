"""Periodic jobs: kept in memory, fired on the leader alone, with missed periods made up from what is recorded as done.

A job names the periods that ought to be done by now (``due``); each is recorded in ``job_run``, and one that is not
recorded as done is run, however late: after a restart, a take-over or a failure. A job without periods (the seals) is
simply run at its interval.

Another part of the house adds its jobs by calling ``register`` when it is imported by ``app.workers.background``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from sqlmodel import Session

from app import clock
from app.models import JobRun
from app.runtime import Runtime
from app.workers.leadership import Leadership

logger = logging.getLogger("duban.scheduler")
RETRY_AFTER = timedelta(minutes=10)
"""How long a period that failed, or whose leader died in it, waits before it is tried again."""


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job. ``seconds``: how often it is looked at. ``due``: the periods that ought to be done by a moment,
    oldest first (none: it has no periods). ``run``: does one period (``""`` for a job without); it must be safe to do
    again, and takes the epoch's word through ``still_leading`` where it is long."""

    name: str
    seconds: int
    run: Callable[[Runtime, str, datetime], object]
    due: Callable[[Runtime, datetime], Iterable[str]] | None = None


JOBS: dict[str, Job] = {}
"""Every periodic job of the service, by name."""


def register(job: Job) -> Job:
    """Add ``job``; the same name again replaces it."""
    JOBS[job.name] = job
    return job


class Scheduler:
    """Fires the registered jobs while this process leads."""

    def __init__(self, runtime: Runtime, leadership: Leadership) -> None:
        self._runtime = runtime
        self._leadership = leadership
        self._scheduler = BackgroundScheduler(timezone="UTC")

    def start(self) -> None:
        """Begin: each job is looked at soon after the start, and then at its interval."""
        soon = clock.now() + timedelta(seconds=2)
        for job in JOBS.values():
            self._scheduler.add_job(
                self.tick, "interval", args=[job], id=job.name, seconds=job.seconds, next_run_time=soon,
                max_instances=1, coalesce=True, misfire_grace_time=None,
            )  # fmt: skip
        self._scheduler.start()

    def stop(self) -> None:
        """End, after the job under way."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def tick(self, job: Job, now: datetime | None = None) -> int:
        """Look at ``job`` once: run what is due, if this process leads. How many periods were done."""
        if self._leadership.epoch is None:
            return 0
        moment = now or clock.now()
        if job.due is None:
            try:
                job.run(self._runtime, "", moment)
            except Exception:
                logger.exception("the job %s failed", job.name)
                return 0
            return 1
        return sum(self._period(job, period, moment) for period in job.due(self._runtime, moment))

    def _period(self, job: Job, period: str, now: datetime) -> bool:
        epoch = self._leadership.epoch
        if epoch is None or not self._begin(job, period, epoch, now):
            return False
        error: str | None = None
        try:
            job.run(self._runtime, period, now)
        except Exception as failure:
            logger.exception("the job %s failed for %s", job.name, period)
            error = f"{type(failure).__name__}: {failure}"[:500]
        with self._runtime.database.write() as session:
            row = session.get(JobRun, (job.name, period))
            if row is not None:
                row.error = error
                row.done_at = clock.now() if error is None else None
                session.add(row)
        return error is None

    def _begin(self, job: Job, period: str, epoch: int, now: datetime) -> bool:
        """Record that the period is begun, unless it is done, or under way, or this process leads no more."""
        with self._runtime.database.read() as session:
            if not _wants(session.get(JobRun, (job.name, period)), now):
                return False
        with self._runtime.database.write() as session:
            if not self._leadership.confirm(session, epoch):
                return False
            row = session.get(JobRun, (job.name, period))
            if not _wants(row, now):
                return False
            row = row or JobRun(job=job.name, period=period, started_at=now)
            row.started_at, row.error = now, None
            session.add(row)
            return True


def _wants(row: JobRun | None, now: datetime) -> bool:
    return row is None or (row.done_at is None and row.started_at + RETRY_AFTER <= now)


def done_periods(session: Session, job: str, periods: Iterable[str]) -> set[str]:
    """Which of ``periods`` are recorded as done."""
    found = set()
    for period in periods:
        row = session.get(JobRun, (job, period))
        if row is not None and row.done_at is not None:
            found.add(period)
    return found
