"""Feeds pulled by themselves: when they are due, by one worker at a time, to a stop in good order; and each day compared."""

from __future__ import annotations

import os
import threading
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app import clock
from app.errors import Conflict
from app.models import FeedPull
from app.runtime import Runtime
from app.services.intake import feeds
from app.workers import feeds as work
from app.workers.feeds import Puller
from app.workers.leadership import Leadership
from app.workers.scheduler import Scheduler
from ingest.devtools.simulator.server import serving
from ingest.devtools.simulator.world import Faults, SimulatedUpstream
from ingest.feeds.pull import pull
from ingest.feeds.run import PullNotDue, begin, holder_name, is_gone
from tests.integration.upstream import Moving, accounted, add, counts, pulls, simulated, the_feed

HOTLINE, BEIJING = "hotline12345", ZoneInfo("Asia/Shanghai")
MINUTE = timedelta(minutes=1)


def due(runtime: Runtime, now: datetime) -> list[str]:
    with runtime.database.read() as session:
        return feeds.due(session, now)


def test_a_feed_is_due_after_its_interval_or_on_request(feed_runtime: Runtime, moving: Moving) -> None:
    with serving(SimulatedUpstream(1, moving.now, Faults(error=1.0))) as address:
        add(feed_runtime, simulated("sulaiban", address, every_seconds=60, attempts=1, breaker_failures=1))
        assert due(feed_runtime, moving.now()) == ["sulaiban"], "it has never been pulled"
        pull(feed_runtime, "sulaiban", pace=moving.pace())
        assert due(feed_runtime, moving.now() + 5 * timedelta(seconds=11)) == []
        assert due(feed_runtime, moving.now() + MINUTE) == ["sulaiban"]
        with feed_runtime.database.write() as session:
            feeds.need(session, "sulaiban").open_until = moving.now() + 2 * MINUTE
        assert due(feed_runtime, moving.now() + MINUTE) == [], "its breaker is open"
        with feed_runtime.database.write() as session:
            feeds.request_pull(session, "sulaiban", "user:li")
        assert due(feed_runtime, moving.now()) == ["sulaiban"], "somebody wants it now, breaker or not"
        assert pull(feed_runtime, "sulaiban", pace=moving.pace(), if_due=True).state == "failed"
    assert pulls(feed_runtime)[-1].actor == "user:li"
    assert due(feed_runtime, moving.now()) == [], "it was asked for once"
    with feed_runtime.database.write() as session:
        feeds.switch(session, "sulaiban", active=False, now=moving.now())
    assert due(feed_runtime, moving.now() + 99 * MINUTE) == []


def test_of_two_workers_that_saw_it_due_one_pulls(feed_runtime: Runtime, moving: Moving) -> None:
    """Both have looked before either began; the second finds it begun, or just done."""
    with serving(SimulatedUpstream(1, moving.now)) as address:
        add(feed_runtime, simulated("sulaiban", address))
        first = begin(feed_runtime, "sulaiban", moving.pace(), "pull", "one", if_due=True)
        with pytest.raises(Conflict):
            pull(feed_runtime, "sulaiban", pace=moving.pace(), if_due=True)
        first.run(lambda: None)
        with pytest.raises(PullNotDue):
            pull(feed_runtime, "sulaiban", pace=moving.pace(), if_due=True)
    assert len(pulls(feed_runtime)) == 1


def test_many_workers_at_once_pull_each_feed_once_a_turn(feed_runtime: Runtime) -> None:
    world = SimulatedUpstream(1, clock.now, Faults(update=0))
    with serving(world) as address:
        for name in ("sulaiban", HOTLINE):
            add(feed_runtime, simulated(name, address, every_seconds=3600))
        world.advance(10)
        workers = [Puller(feed_runtime) for _ in range(5)]
        for worker in workers:
            worker.start()
        give_up = clock.now() + MINUTE
        while (states := [row.state for row in pulls(feed_runtime)]) != ["done", "done"]:
            assert clock.now() < give_up, states
            threading.Event().wait(0.05)
        for worker in workers:
            worker.stop(patience=10)
    assert sorted(row.created for row in pulls(feed_runtime)) == [10, 10]


def test_a_stopped_worker_leaves_its_feed_due_at_once(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        spec = simulated("sulaiban", address)
        add(feed_runtime, spec.model_copy(update={"paging": spec.paging.model_copy(update={"size": 10})}))
        world.advance(35)
        asked = iter([False, False, True])
        done = pull(feed_runtime, "sulaiban", pace=moving.pace(), stop=lambda: next(asked))
        assert (done.state, counts(feed_runtime)[0]) == ("stopped", 20)
        feed = the_feed(feed_runtime)
        assert (feed.failures, feed.lease_holder, feed.position) == (0, None, {"token": "20"})
        assert due(feed_runtime, moving.now()) == ["sulaiban"]
        assert pull(feed_runtime, "sulaiban", pace=moving.pace(), if_due=True).tally.created == 15
    accounted(feed_runtime, world)


def test_disabling_a_feed_ends_its_running_pull(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))

    def switch_off(_: object) -> None:
        with feed_runtime.database.write() as session:
            feeds.switch(session, "sulaiban", active=False, now=moving.now())

    with serving(world) as address:
        spec = simulated("sulaiban", address)
        add(feed_runtime, spec.model_copy(update={"paging": spec.paging.model_copy(update={"size": 10})}))
        world.advance(35)
        with pytest.raises(Conflict, match="taken this feed over"):
            pull(feed_runtime, "sulaiban", pace=moving.pace(), on_page=switch_off)
        with pytest.raises(Conflict, match="switched off"):
            pull(feed_runtime, "sulaiban", pace=moving.pace(), force=True)
    assert (counts(feed_runtime)[0], [row.state for row in pulls(feed_runtime)]) == (10, ["stopped"])
    assert the_feed(feed_runtime).position == {"token": "10"}


def test_only_the_lease_of_a_dead_process_is_taken_at_once() -> None:
    host = holder_name().split(":")[0]
    assert is_gone(f"{host}:{2**22 - 1}:abcd"), "there is no process of this number"
    assert is_gone(f"{host}:{os.getpid()}:abcd"), "this process knows of no such work"
    assert not is_gone(f"{host}:{os.getppid()}:abcd")
    assert not is_gone(f"another-{host}:{2**22 - 1}:abcd"), "another host's processes cannot be seen from here"


def test_a_frozen_process_loses_its_work_when_its_lease_expires(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        world.advance(5)
        frozen = begin(feed_runtime, "sulaiban", moving.pace(), "pull", "frozen")
        moving.moment += timedelta(minutes=11)
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.created == 5
        with pytest.raises(Conflict, match="taken this feed over"):
            frozen.take([{"id": "S000099", "subject": "late"}], {"token": "99"})
    assert the_feed(feed_runtime).position == {"token": "5"}
    assert counts(feed_runtime) == (5, 0)
    assert [(row.state, (row.error or {}).get("code")) for row in pulls(feed_runtime)] == [
        ("failed", "abandoned"), ("done", None)
    ]  # fmt: skip


def test_each_day_is_reconciled_the_day_after_with_catch_up(feed_runtime: Runtime, moving: Moving) -> None:
    """Three days of downtime: the days are compared oldest first, each once, and none before the feed was there."""
    start = datetime(2026, 3, 10, 9, 0, tzinfo=BEIJING)
    moving.moment = start
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    leadership = Leadership(feed_runtime.database, "test")
    scheduler = Scheduler(feed_runtime, leadership)
    with serving(world) as address:
        add(feed_runtime, simulated(HOTLINE, address))
        with feed_runtime.database.write() as session:
            feeds.need(session, HOTLINE).added_at = start
        midnight = datetime(2026, 3, 11, tzinfo=BEIJING)
        assert work.due_days(feed_runtime, midnight + 31 * MINUTE) == [], "it was never pulled whole"
        world.advance(3)
        moving.moment += MINUTE
        pull(feed_runtime, HOTLINE, pace=moving.pace())
        number = the_feed(feed_runtime).id
        assert work.due_days(feed_runtime, midnight + 29 * MINUTE) == []
        assert work.due_days(feed_runtime, midnight + 30 * MINUTE) == [f"2026-03-10 {number}"]
        leadership.beat(clock.now())
        later = midnight + timedelta(days=2, hours=3)
        assert scheduler.tick(work.RECONCILE_JOB, later) == 3
        assert scheduler.tick(work.RECONCILE_JOB, later) == 0
    rows = [row.detail for row in pulls(feed_runtime) if row.kind == "reconcile"]
    assert [(row["day"], row["upstream"], row["here"]) for row in rows if row] == [
        ("2026-03-10", 3, 3), ("2026-03-11", 0, 0), ("2026-03-12", 0, 0)
    ]  # fmt: skip


def test_a_comparison_that_was_asked_for_is_made_by_a_worker(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        world.advance(4)
        day = moving.now().astimezone(BEIJING).date()
        with feed_runtime.database.write() as session:
            feeds.request_reconcile(session, "sulaiban", day, "user:li")
        puller = Puller(feed_runtime)
        assert puller.waiting(moving.now()) == [("sulaiban", day), ("sulaiban", None)]
        assert puller.one("sulaiban", day)
    row = pulls(feed_runtime)[-1]
    assert (row.kind, row.actor, row.created) == ("reconcile", "user:li", 4)
    assert Puller(feed_runtime).waiting(moving.now()) == [("sulaiban", None)], "asked for once"


def test_the_log_forgets_pulls_that_brought_nothing(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        for new in (2, 0, 0):
            world.advance(new)
            pull(feed_runtime, "sulaiban", pace=moving.pace())
    assert work.prune(feed_runtime, "", moving.now() + timedelta(days=1)) == 0
    assert work.prune(feed_runtime, "", moving.now() + timedelta(days=3)) == 2
    assert [row.created for row in pulls(feed_runtime)] == [2]
    assert work.prune(feed_runtime, "", moving.now() + timedelta(days=401)) == 1


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia/Kathmandu", "America/New_York"])
def test_what_a_feed_brought_is_counted_by_its_local_days(feed_runtime: Runtime, moving: Moving, zone: str) -> None:
    add(feed_runtime, simulated("sulaiban", "http://127.0.0.1:9"))
    feed_id = the_feed(feed_runtime).id
    assert feed_id is not None
    midnight = datetime(2026, 3, 15, tzinfo=ZoneInfo(zone))
    with feed_runtime.database.write() as session:
        for minutes, created in ((-1, 1), (0, 10), (1439, 100), (1440, 1000)):
            session.add(
                FeedPull(feed_id=feed_id, started_at=midnight + minutes * MINUTE, created=created, actor="test")
            )
    with feed_runtime.database.read() as session:
        found = feeds.intake_by_day(session, feed_id, midnight + timedelta(days=1, minutes=1), ZoneInfo(zone), days=3)
    assert [(each.day, each.created) for each in found] == [
        (date(2026, 3, 14), 1), (date(2026, 3, 15), 110), (date(2026, 3, 16), 1000)
    ]  # fmt: skip
