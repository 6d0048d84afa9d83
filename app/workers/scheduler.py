"""Periodic jobs: kept in memory, fired on the leader alone, with missed periods made up from what is recorded as done.

A job names the periods that ought to be done by now (``due``); each is recorded in ``job_run``, and one that is not
recorded as done is run, however late: after a restart, a take-over or a failure. A job without periods (the seals) is
simply run at its interval.

Another part of the house adds its jobs by calling ``register`` when it is imported by ``app.workers.background``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Condition, Event

from apscheduler.schedulers.background import BackgroundScheduler

from app import clock
from app.logging import context, get_logger
from app.models import JobRun
from app.runtime import Runtime
from app.workers.leadership import Leadership
from app.workers.within import try_within

logger = get_logger("duban.scheduler")
RETRY_AFTER = timedelta(minutes=10)
"""How long a period that failed, or whose leader died in it, waits before it is tried again."""
NOTE_SECONDS = 1.0
"""How long a stop waits until it is written down what it has broken off: the database may be busy, or away."""
BROKEN_OFF = "broken off: the service was stopped"
"""The record of a period interrupted by a stop; the next leader repeats it at once."""


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job. ``seconds``: how often it is looked at. ``due``: the periods that ought to be done by a moment,
    oldest first (none: it has no periods). ``run``: does one period (``""`` for a job without); it must be safe to do
    again, and to be cut off anywhere: by a kill, or by a stop that waits no longer."""

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
        self._stopping = Event()
        self._at_work: list[tuple[str, str]] = []
        self._over = Condition()

    def start(self) -> None:
        """Begin: each job is looked at soon after the start, and then at its interval."""
        soon = clock.now() + timedelta(seconds=2)
        for job in JOBS.values():
            self._scheduler.add_job(
                self.tick, "interval", args=[job], id=job.name, seconds=job.seconds, next_run_time=soon,
                max_instances=1, coalesce=True, misfire_grace_time=None,
            )  # fmt: skip
        self._scheduler.start()

    def tell(self) -> None:
        """Begin nothing more."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def stop(self, patience: float, noting: float = NOTE_SECONDS) -> bool:
        """Wait so many seconds for what is under way; whether that has come to its end. ``noting``: for the record of
        what has not."""
        self.tell()
        with self._over:
            self._over.wait_for(lambda: not self._at_work, patience)
            left = list(self._at_work)
        for name, period in left:
            logger.warning("job interrupted by shutdown", job=name, period=period)
            # Where this cannot be written down, the period waits as if its leader had died.
            note = partial(self._record, name, period, BROKEN_OFF)
            try_within(noting, "record interrupted job", note)
        return not left

    def tick(self, job: Job, now: datetime | None = None) -> int:
        """Look at ``job`` once: run what is due, if this process leads. How many periods were done."""
        if self._leadership.epoch is None:
            return 0
        moment = now or clock.now()
        done = 0
        for period in [""] if job.due is None else job.due(self._runtime, moment):
            if self._stopping.is_set():
                break
            with self._working(job.name, period):
                done += self._once(job, moment) if job.due is None else self._period(job, period, moment)
        return done

    @contextmanager
    def _working(self, name: str, period: str) -> Iterator[None]:
        self._at_work.append((name, period))
        try:
            with context(job=name, period=period):
                yield
        finally:
            with self._over:
                self._at_work.remove((name, period))
                self._over.notify_all()

    def _once(self, job: Job, now: datetime) -> bool:
        try:
            job.run(self._runtime, "", now)
        except Exception:  # a bug of one job must not end the others; it is looked at again at its interval
            logger.exception("job failed")
            return False
        return True

    def _period(self, job: Job, period: str, now: datetime) -> bool:
        epoch = self._leadership.epoch
        if epoch is None or not self._begin(job, period, epoch, now):
            return False
        error: str | None = None
        try:
            job.run(self._runtime, period, now)
        except Exception as failure:  # recorded, and tried again later; the periods behind it go on
            logger.exception("job failed; retrying", delay=RETRY_AFTER.total_seconds())
            error = f"{type(failure).__name__}: {failure}"[:500]
        self._record(job.name, period, error)
        return error is None

    def _record(self, name: str, period: str, error: str | None) -> None:
        """Write down how a period ended; what was done stays done."""
        with self._runtime.database.write() as session:
            row = session.get(JobRun, (name, period))
            if row is not None and row.done_at is None:
                row.error = error
                row.done_at = clock.now() if error is None else None
                session.add(row)

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
    if row is None:
        return True
    return row.done_at is None and (row.error == BROKEN_OFF or row.started_at + RETRY_AFTER <= now)
