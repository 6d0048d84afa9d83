"""Reports made by themselves: for the period that has just ended, made up after a downtime, each once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import select
from sqlmodel import col

from app.models import ClearOutList, JobRun, Report
from app.security.principal import SYSTEM
from app.workers.leadership import Leadership
from app.workers.reports import MADE_UP, REPORT_JOBS, due_periods
from app.workers.scheduler import JOBS, RETRY_AFTER, Scheduler
from reports import service
from tests.integration.office import Office, moment, working

MONDAY = moment("03-02 00:05")
"""2026-03-02, five minutes into a Monday: a day, a week and, the day before yesterday, a month have ended."""


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with working(database_url) as office:
        office.tickets(2, start=moment("02-25 10:00"))
        yield office


def led(office: Office, holder: str) -> Leadership:
    """A claim on the lease that lasts a test, in which nobody renews it each second as in service."""
    leadership = Leadership(office.database, holder)
    leadership.term = timedelta(minutes=5)
    return leadership


def scheduler(office: Office, holder: str = "one", now: datetime = MONDAY) -> Scheduler:
    """The scheduler of a process that leads."""
    leadership = led(office, holder)
    assert leadership.beat(now) is not None
    return Scheduler(office.runtime, leadership)


def editions_of(office: Office, kind: str) -> list[tuple[str, int]]:
    with office.database.read() as session:
        query = select(col(Report.period), col(Report.edition)).where(col(Report.kind) == kind).order_by(col(Report.id))
        return [tuple(row) for row in session.execute(query)]


def test_every_kind_of_report_has_its_job() -> None:
    assert {job.name for job in REPORT_JOBS.values()} <= set(JOBS)
    assert set(REPORT_JOBS) == {"daily", "weekly", "monthly", "clear-out"}


@pytest.mark.parametrize(
    ("kind", "when", "period"),
    [
        ("daily", "03-01 23:59:59", "2026-02-28"),
        ("daily", "03-02 00:00:00", "2026-03-01"),
        ("weekly", "03-01 23:59:59", "2026-W08"),  # Sunday
        ("weekly", "03-02 00:00:00", "2026-W09"),  # Monday
        ("monthly", "02-28 23:59:59", "2026-01"),
        ("monthly", "03-01 00:00:00", "2026-02"),
        ("clear-out", "03-01 00:00:00", "2026-02"),
    ],
)
def test_the_first_report_covers_the_period_just_ended(office: Office, kind: str, when: str, period: str) -> None:
    assert due_periods(office.runtime, kind, moment(when)) == [period]


def test_each_report_is_made_once(office: Office) -> None:
    one = scheduler(office)
    assert [one.tick(job, MONDAY) for job in REPORT_JOBS.values()] == [1, 1, 1, 1]
    later = MONDAY + timedelta(hours=9)
    assert [one.tick(job, later) for job in REPORT_JOBS.values()] == [0, 0, 0, 0]
    assert {kind: editions_of(office, kind) for kind in REPORT_JOBS} == {
        "daily": [("2026-03-01", 1)], "weekly": [("2026-W09", 1)], "monthly": [("2026-02", 1)], "clear-out": [("2026-02", 1)],
    }  # fmt: skip
    assert [row.month for row in office.all(ClearOutList)] == ["2026-02"]


def test_missed_reports_are_made_oldest_first_after_a_downtime(office: Office) -> None:
    scheduler(office).tick(REPORT_JOBS["daily"], MONDAY)
    back = MONDAY + timedelta(days=4)
    assert scheduler(office, "two", back).tick(REPORT_JOBS["daily"], back) == 4
    assert [period for period, _ in editions_of(office, "daily")] == [f"2026-03-0{n}" for n in range(1, 6)]


def test_catch_up_after_a_long_downtime_is_limited(office: Office) -> None:
    scheduler(office).tick(REPORT_JOBS["daily"], MONDAY)
    back = MONDAY + timedelta(days=400)
    due = due_periods(office.runtime, "daily", back)
    assert (len(due), due[-1], due) == (MADE_UP["daily"], "2027-04-05", sorted(due))


def test_a_week_of_the_year_before_is_made_up_in_its_order(office: Office) -> None:
    december = moment("12-21 00:05")
    scheduler(office, now=december).tick(REPORT_JOBS["weekly"], december)
    assert due_periods(office.runtime, "weekly", datetime.fromisoformat("2027-01-11T00:05:00+08:00")) == [
        "2026-W51", "2026-W52", "2026-W53", "2027-W01",
    ]  # fmt: skip


@pytest.mark.server
def test_several_processes_make_each_report_once(office: Office) -> None:
    leaders = [led(office, f"p{n}") for n in range(3)]
    barrier = Barrier(3)
    done: list[int] = []

    def work(leadership: Leadership) -> None:
        each = Scheduler(office.runtime, leadership)
        barrier.wait()
        leadership.beat(MONDAY)
        done.append(sum(each.tick(job, MONDAY) for job in REPORT_JOBS.values()))

    threads = [Thread(target=work, args=[each]) for each in leaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 0, 4]
    assert sum(len(editions_of(office, kind)) for kind in REPORT_JOBS) == 4


def test_a_leader_killed_after_publishing_adds_no_edition(office: Office) -> None:
    one = scheduler(office)
    one.tick(REPORT_JOBS["monthly"], MONDAY)
    with office.database.write() as session:  # as it was left: begun, published, never recorded as done
        session.get_one(JobRun, ("report-monthly", "2026-02")).done_at = None
    (first, _) = office.tickets(2, start=moment("02-26 10:00"))  # late news
    assert first
    later = MONDAY + RETRY_AFTER
    assert scheduler(office, "two", later).tick(REPORT_JOBS["monthly"], later) == 1
    assert editions_of(office, "monthly") == [("2026-02", 1)]


def test_a_report_that_somebody_made_by_hand_is_not_made_again(office: Office) -> None:
    service.produce(office.runtime, SYSTEM, "monthly", "2026-02", now=MONDAY)
    office.tickets(1, start=moment("02-26 10:00"))
    assert scheduler(office).tick(REPORT_JOBS["monthly"], MONDAY + timedelta(minutes=1)) == 1
    assert editions_of(office, "monthly") == [("2026-02", 1)]


def test_a_manual_running_report_does_not_replace_the_edition(office: Office) -> None:
    service.produce(office.runtime, SYSTEM, "monthly", "2026-02", now=moment("02-27 09:00"))
    scheduler(office).tick(REPORT_JOBS["monthly"], MONDAY)
    assert sorted(editions_of(office, "monthly")) == [("2026-02", 0), ("2026-02", 1)]


def test_no_report_without_tickets_or_when_switched_off(database_url: str) -> None:
    with working(database_url) as office:
        assert due_periods(office.runtime, "clear-out", MONDAY) == []
        office.tickets(1)
        assert due_periods(office.runtime, "clear-out", MONDAY) == ["2026-02"]
        office.runtime.settings = office.runtime.settings.model_copy(update={"schedule": False})
        assert due_periods(office.runtime, "clear-out", MONDAY) == []
