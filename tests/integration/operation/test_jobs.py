"""Leadership and periodic jobs: one leader, who learns that it has lost; each period done once, missed ones made up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier, Event, Thread
from threading import enumerate as enumerate_threads
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from app import clock
from app.models import JobRun, Lease, Seal, SweepRun
from app.runtime import Runtime
from app.workers import seal
from app.workers.background import Background
from app.workers.leadership import Leadership
from app.workers.scheduler import BROKEN_OFF, RETRY_AFTER, Job, Scheduler
from app.workers.sweeper import Sweeper
from ingest.files.uploads import Uploads
from ingest.formats.base import MIB
from tests.integration.killing.machines import free_port
from tests.integration.office import DUE, START, Office, working
from tests.waiting import until

SECOND = timedelta(seconds=1)
PERIODS = ["2026-03-01", "2026-03-02"]


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with working(database_url) as office:
        yield office


def test_a_lease_has_one_holder_and_each_change_raises_the_epoch(office: Office) -> None:
    one, other = Leadership(office.database, "one"), Leadership(office.database, "other")
    assert one.beat(START) == 1
    assert other.beat(START + one.term - SECOND) is None
    assert one.beat(START + one.term - SECOND) == 1  # renewed: the same epoch
    assert other.beat(START + one.term) is None
    assert other.beat(START + 2 * one.term - SECOND) == 2
    assert one.beat(START + 2 * one.term) is None  # the old leader learns that it has lost
    assert (one.epoch, other.epoch) == (None, 2)


@pytest.mark.server
def test_of_many_who_ask_at_once_one_leads(office: Office) -> None:
    leaders = [Leadership(office.database, f"p{n}") for n in range(6)]
    barrier = Barrier(6)
    won: list[int | None] = []

    def ask(leader: Leadership) -> None:
        barrier.wait()
        won.append(leader.beat(START))

    threads = [Thread(target=ask, args=[leader]) for leader in leaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won, key=str) == [1, None, None, None, None, None]


def test_who_could_not_renew_in_time_no_longer_believes_to_lead(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [1000.0]
    monkeypatch.setattr("app.workers.leadership.time", SimpleNamespace(monotonic=lambda: seconds[0]))
    leader = Leadership(office.database, "one")
    leader.beat(START)
    seconds[0] += leader.term.total_seconds() - 0.1
    assert leader.epoch == 1
    seconds[0] += 0.2
    assert leader.epoch is None


def test_the_row_itself_confirms_the_leader(office: Office) -> None:
    one, other = Leadership(office.database, "one"), Leadership(office.database, "other")
    epoch = one.beat(START)
    assert epoch is not None
    with office.database.write() as session:
        assert one.confirm(session, epoch)
    other.beat(START + one.term + SECOND)
    with office.database.write() as session:
        assert not one.confirm(session, epoch)


def test_a_leader_that_ends_gives_its_lease_up_at_once(office: Office) -> None:
    one, other = Leadership(office.database, "one"), Leadership(office.database, "other")
    one.beat(clock.now())
    one.stop()
    assert other.beat(clock.now()) == 2


class Diary:
    """A job that writes down what it was asked to do, and fails where told to."""

    def __init__(self, *, failing: Iterable[str] = ()) -> None:
        self.done: list[str] = []
        self.failing = set(failing)
        self.job = Job("diary", 60, self.run, lambda _runtime, _now: PERIODS)

    def run(self, runtime: Runtime, period: str, now: datetime) -> None:
        if period in self.failing:
            raise RuntimeError("no paper")
        self.done.append(period)


def led(office: Office, holder: str = "one", now: datetime = START) -> Scheduler:
    leadership = Leadership(office.database, holder)
    leadership.beat(now)
    return Scheduler(office.runtime, leadership)


def test_missed_periods_are_caught_up_once_oldest_first(office: Office) -> None:
    diary = Diary()
    scheduler = led(office)
    assert scheduler.tick(diary.job, START) == 2
    assert scheduler.tick(diary.job, START + timedelta(days=1)) == 0
    assert diary.done == PERIODS
    with office.database.read() as session:
        done = select(col(JobRun.period)).where(col(JobRun.job) == "diary", col(JobRun.done_at).is_not(None))
        assert set(session.execute(done).scalars()) == set(PERIODS)


def test_a_period_that_failed_is_recorded_and_tried_again_later(office: Office) -> None:
    diary = Diary(failing=[PERIODS[0]])
    scheduler = led(office)
    assert scheduler.tick(diary.job, START) == 1
    failed = office.all(JobRun)[0]
    assert (failed.period, failed.done_at, failed.error) == (PERIODS[0], None, "RuntimeError: no paper")
    diary.failing.clear()
    assert scheduler.tick(diary.job, START + RETRY_AFTER - SECOND) == 0
    assert scheduler.tick(diary.job, START + RETRY_AFTER) == 1
    assert office.all(JobRun)[0].error is None
    assert diary.done == PERIODS[::-1]


class Long(Diary):
    """A job that a led scheduler is at, in a thread, until ``released``."""

    def __init__(self, office: Office) -> None:
        super().__init__()
        self.begun, self.released = Event(), Event()
        self.leadership = Leadership(office.database, "one")
        self.leadership.beat(START)
        self.scheduler = Scheduler(office.runtime, self.leadership)
        self.at_work = Thread(target=self.scheduler.tick, args=(self.job, START))
        self.at_work.start()
        assert self.begun.wait(60)

    def run(self, runtime: Runtime, period: str, now: datetime) -> None:
        self.begun.set()
        self.released.wait(60)
        super().run(runtime, period, now)


def test_a_stop_leaves_a_long_report_to_the_next_leader(office: Office) -> None:
    long = Long(office)
    assert not long.scheduler.stop(patience=0, noting=60)
    (broken,) = office.all(JobRun)
    assert (broken.period, broken.done_at, broken.error) == (PERIODS[0], None, BROKEN_OFF)
    diary = Diary()
    assert led(office).tick(diary.job, START + SECOND) == 2
    long.released.set()
    long.at_work.join(60)
    assert (diary.done, long.done) == (PERIODS, PERIODS[:1])
    assert [(run.period, run.error) for run in office.all(JobRun)] == [(period, None) for period in PERIODS]


@pytest.mark.server
def test_a_stop_does_not_wait_for_a_busy_database_either(office: Office) -> None:
    before = set(enumerate_threads())
    long = Long(office)
    with office.runtime.database.write() as session:
        session.execute(update(JobRun).values(error="held"))
        assert not long.scheduler.stop(patience=0)
        long.leadership.stop(patience=1)
        assert long.at_work.is_alive()
    long.released.set()
    for thread in set(enumerate_threads()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_a_stop_waits_for_a_short_job_and_starts_no_other(office: Office) -> None:
    job = Long(office)
    job.scheduler.tell()
    job.released.set()
    assert job.scheduler.stop(patience=60)
    job.at_work.join(60)
    assert job.done == PERIODS[:1]


STUCK = """
import time
from app import cli
from app.workers import background
from app.workers.scheduler import Job, register
from ingest.files import jobs

def stuck(*given, **named):
    print("begun", flush=True)
    time.sleep(600)

%s
background.STOP_SECONDS = 0.1
cli.main()
"""
A_JOB, AN_IMPORT = 'register(Job("stuck", 1, stuck))', "jobs.import_file = stuck"


@pytest.mark.parametrize(("what", "told"), [(A_JOB, signal.SIGINT), (AN_IMPORT, signal.SIGTERM)])
def test_a_terminated_service_leaves_long_work_behind(
    sqlite_url: str, tmp_path: Path, what: str, told: signal.Signals
) -> None:
    uploads = Uploads(tmp_path / "uploads", MIB)
    if what == AN_IMPORT:
        incoming = uploads.begin(clock.now())
        incoming.write("编号,标题\n1,路灯不亮".encode())
        uploads.change(incoming.keep("一月.csv", "user:li", clock.now()), state="queued", profile="duban")
    settings = {**os.environ, "DUBAN_DATABASE_URL": sqlite_url, "DUBAN_DATA_DIR": str(tmp_path)}
    serve = [sys.executable, "-c", STUCK % what, "serve", "--port", str(free_port())]
    with subprocess.Popen(serve, env=settings, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        while service.stdout.readline() != "begun\n":
            assert service.poll() is None
        service.send_signal(told)
        try:
            service.wait(60)
        finally:
            service.kill()  # leaving the block would wait for it without limit
    assert [each.state for each in uploads.all()] == ["queued"] * (what == AN_IMPORT), (
        "the next process goes on with it"
    )


def test_who_does_not_lead_does_nothing(office: Office) -> None:
    led(office, "one")
    diary = Diary()
    assert led(office, "other").tick(diary.job, START) == 0
    assert diary.done == []


def test_a_leader_overtaken_before_it_began_does_nothing(office: Office) -> None:
    scheduler = led(office, "one")
    later = START + Leadership(office.database, "x").term + SECOND
    assert Leadership(office.database, "other").beat(later) == 2
    diary = Diary()
    assert scheduler.tick(diary.job, later) == 0  # it believes to lead; the row says otherwise
    assert (diary.done, office.all(JobRun)) == ([], [])


def test_the_seal_job_seals_what_grew(office: Office) -> None:
    office.tickets(2)
    assert led(office).tick(seal.SEAL_JOB, START) == 1
    assert [s.entries for s in office.all(Seal)] == [2]


def test_the_sweeper_notes_its_looks_but_not_every_idle_one(office: Office) -> None:
    sweeper = Sweeper(office.runtime, "host:1")
    for seconds in (0, 2, 14):
        sweeper.once(START + seconds * SECOND)
    assert office.all(SweepRun)[0].at == START
    sweeper.once(START + 15 * SECOND)
    assert office.all(SweepRun)[0].at == START + 15 * SECOND
    office.tickets(1)
    sweeper.once(DUE)
    assert (office.all(SweepRun)[0].at, office.all(SweepRun)[0].checked) == (DUE, 1)


@pytest.mark.server
def test_the_background_sweeps_and_leads_and_ends_when_told(office: Office) -> None:
    ticket = office.ticket()  # its deadline passed long ago
    background = Background(office.runtime)
    background.start()
    until(lambda: office.alerts(ticket) and office.all(Lease))
    stopping = Thread(target=background.stop)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive(), "it waits for the next round instead of ending"
    assert [a.rung for a in office.alerts(ticket)] == ["complete_due"]
    (lease,) = office.all(Lease)
    assert lease.expires_at <= clock.now()
    background.stop()  # harmless
