"""The report jobs: daily, weekly and monthly reports and the clear-out list, each for the period that has just ended.

Periods missed while the service was down are made up, oldest first: every period from the first one that this
database has a record of, as far back as ``MADE_UP``. A report that somebody has made by hand is not made again. Nothing
is made while there is no ticket at all: the first list would be frozen empty, and history imported later could not correct it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.models import JobRun, Report, Ticket
from app.runtime import Runtime
from app.security.principal import SYSTEM
from app.workers.scheduler import Job, register
from reports import service
from reports.editions.store import RUNNING
from reports.period import last_ended

EVERY_SECONDS = 60
MADE_UP = {"daily": 31, "weekly": 12, "monthly": 13, "clear-out": 13}
"""So many periods back a downtime is made up for, by kind."""


def job_name(kind: str) -> str:
    """What the job of a kind of report is recorded under."""
    return f"report-{kind}"


def due_periods(runtime: Runtime, kind: str, now: datetime) -> list[str]:
    """The periods of ``kind`` that ought to have their report by ``now``, oldest first."""
    if not runtime.settings.schedule:
        return []
    with runtime.database.read() as session:
        if session.execute(select(func.min(col(Ticket.id)))).scalar_one() is None:
            return []
        first = session.execute(
            select(func.min(col(JobRun.period))).where(col(JobRun.job) == job_name(kind))
        ).scalar_one()
    period = last_ended(kind, now, runtime.settings.time_zone)
    found = [period.key]
    # Keys of one kind sort chronologically, weeks included: they begin with the padded year.
    while first is not None and found[-1] > first and len(found) < MADE_UP[kind]:
        period = period.previous()
        found.append(period.key)
    return found[::-1]


def is_published(session: Session, kind: str, period: str) -> bool:
    """Whether the whole's report of a period has an edition."""
    query = select(col(Report.id)).where(
        col(Report.kind) == kind,
        col(Report.period) == period,
        col(Report.scope) == "",
        col(Report.edition) > RUNNING,
    )
    return session.execute(query.limit(1)).first() is not None


def make_report(runtime: Runtime, kind: str, period: str, now: datetime) -> bool:
    """Make the report of a period that has ended; False where there is one already."""
    with runtime.database.read() as session:
        if is_published(session, kind, period):
            return False
    return service.produce(runtime, SYSTEM, kind, period, now=now).created


def _job(kind: str) -> Job:
    def run(runtime: Runtime, period: str, now: datetime) -> bool:
        return make_report(runtime, kind, period, now)

    def due(runtime: Runtime, now: datetime) -> list[str]:
        return due_periods(runtime, kind, now)

    return register(Job(job_name(kind), EVERY_SECONDS, run, due))


REPORT_JOBS = {kind: _job(kind) for kind in MADE_UP}
