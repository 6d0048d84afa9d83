"""Feeds pulled from a simulated upstream that misbehaves: nothing lost, nothing twice, the cursor right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select
from sqlmodel import Session, col

from app.errors import Conflict
from app.models import Reject, TicketEvent
from app.runtime import Runtime
from app.security.principal import SYSTEM, Principal
from app.services.intake import feeds
from app.store import feeds as store
from ingest.connectors.registry import SpecOverrides, load_spec, spec_of
from ingest.connectors.spec import FeedSpec
from ingest.devtools.simulator.server import serving
from ingest.devtools.simulator.world import ROUGH, Faults, SimulatedUpstream
from ingest.feeds import registry as feed_book
from ingest.feeds.pull import pull
from ingest.feeds.reconcile import reconcile
from ingest.feeds.run import PullResult, begin
from ingest.rows import compare
from tests.integration.upstream import Moving, accounted, add, counts, pulls, simulated, the_feed, ticket


@pytest.mark.parametrize("name", ["hotline12345", "sulaiban", "open311"])
def test_an_hour_of_a_misbehaving_upstream_leaves_nothing_out(feed_runtime: Runtime, moving: Moving, name: str) -> None:
    world = SimulatedUpstream(7, moving.now, ROUGH)
    with serving(world) as address:
        add(feed_runtime, simulated(name, address))
        for _ in range(12):
            world.advance(12)
            moving.moment += timedelta(minutes=5)
            pull(feed_runtime, name, pace=moving.pace(), force=True)
        world.healthy = True
        moving.moment += timedelta(minutes=5)
        assert pull(feed_runtime, name, pace=moving.pace(), force=True).state == "done"
    accounted(feed_runtime, world)
    for item in world.items.values():
        if not item.garbage:
            compare = ticket(feed_runtime, item.id)
            assert (compare.content or "").endswith(item.note), "the latest version is what stands"
            assert (compare.status in ("completed", "closed")) == (item.state == 2)


def test_a_repeated_record_is_unchanged_and_an_older_one_ignored(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("hotline12345", address))
        world.advance(30)
        moving.moment += timedelta(minutes=1)
        first = pull(feed_runtime, "hotline12345", pace=moving.pace())
        again = pull(feed_runtime, "hotline12345", pace=moving.pace())
        world.change("S000003")
        moving.moment += timedelta(minutes=1)
        third = pull(feed_runtime, "hotline12345", pace=moving.pace())
        world.faults = Faults(stale=1.0)
        fourth = pull(feed_runtime, "hotline12345", pace=moving.pace())
    assert (first.tally.created, again.tally.created, again.tally.unchanged) == (30, 0, 30)
    assert (third.tally.corrected, third.tally.unchanged) == (1, 29)
    assert (fourth.tally.corrected, fourth.tally.rejected) == (0, 0)
    assert (ticket(feed_runtime, "S000003").content or "").endswith(world.items["S000003"].note)
    assert counts(feed_runtime) == (30, 0)


def test_a_change_of_a_closed_ticket_is_a_reject_with_its_reason(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("open311", address))
        world.advance(1)
        world.items["S000001"].state = 2
        moving.moment += timedelta(minutes=1)
        pull(feed_runtime, "open311", pace=moving.pace())
        world.items["S000001"].note = "再次更改"
        world.items["S000001"].updated = moving.now()
        moving.moment += timedelta(minutes=1)
        done = pull(feed_runtime, "open311", pace=moving.pace())
    assert (done.tally.rejected, counts(feed_runtime)) == (1, (1, 1))
    with feed_runtime.database.read() as session:
        reject = session.execute(select(Reject)).scalar_one()
    assert (reject.door, reject.reason, reject.profile) == ("feed", "update_refused", "feed:open311")


def test_a_failing_upstream_opens_the_breaker_keeping_the_cursor(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address, attempts=2))
        world.advance(5)
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.created == 5
        world.faults = Faults(error=1.0, update=0)
        world.advance(3)
        for _ in range(3):
            done = pull(feed_runtime, "sulaiban", pace=moving.pace())
            assert (done.state, done.retries) == ("failed", 1)
        with pytest.raises(Conflict, match="3 times in a row"):
            pull(feed_runtime, "sulaiban", pace=moving.pace())
        before = the_feed(feed_runtime)
        assert (before.failures, before.position) == (3, {"token": "5"})
        assert before.last_error is not None
        assert before.last_error["en"] == "the upstream answered 500", "what it sent is not quoted"
        moving.moment += timedelta(seconds=61)
        world.healthy = True
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.created == 3
    feed = the_feed(feed_runtime)
    assert (feed.failures, feed.open_until, feed.last_error, feed.position) == (0, None, None, {"token": "8"})


def test_the_breaker_backs_off_up_to_one_day(feed_runtime: Runtime, moving: Moving) -> None:
    add(feed_runtime, load_spec("sulaiban", changes=SpecOverrides(base_url="http://127.0.0.1:9")))
    waits = []
    for _ in range(12):
        pull(feed_runtime, "sulaiban", pace=moving.pace(), force=True)
        until = the_feed(feed_runtime).open_until
        waits.append(None if until is None else int((until - moving.moment).total_seconds()))
    assert waits == [None, None, 60, 120, 240, 480, 960, 1920, 3840, 3840, 3840, 3840]


def test_two_pulls_of_one_feed_do_not_run_at_once(feed_runtime: Runtime, moving: Moving) -> None:
    add(feed_runtime, load_spec("sulaiban", changes=SpecOverrides(base_url="http://127.0.0.1:9")))
    begin(feed_runtime, "sulaiban", moving.pace(), "pull", "test")
    with pytest.raises(Conflict, match="being pulled already"):
        pull(feed_runtime, "sulaiban", pace=moving.pace())


@pytest.mark.parametrize("skew", [-45, 45], ids=["behind", "ahead"])
def test_clock_skew_beyond_the_overlap_loses_nothing(feed_runtime: Runtime, moving: Moving, skew: int) -> None:
    """The overlap is of 30 minutes. The clock is right at first, off from the third pull on, and put right again."""
    world = SimulatedUpstream(3, moving.now, Faults(update=0.3))
    with serving(world) as address:
        add(feed_runtime, simulated("hotline12345", address))
        for n in range(8):
            world.faults = replace(world.faults, skew_seconds=skew * 60 if 2 <= n < 6 else 0)
            world.advance(4)
            moving.moment += timedelta(minutes=10)
            pull(feed_runtime, "hotline12345", pace=moving.pace())
            if n == 4:
                assert the_feed(feed_runtime).skew_seconds == pytest.approx(skew * 60, abs=1)
        moving.moment += timedelta(minutes=50)  # until the last moment that the clock ahead has told of is past
        pull(feed_runtime, "hotline12345", pace=moving.pace())
    accounted(feed_runtime, world)
    assert counts(feed_runtime) == (32, 0)


def test_a_change_dated_far_ahead_does_not_hide_later_ones(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        world.advance(1)
        item = world.items["S000001"]
        item.updated = moving.moment + timedelta(days=400)
        pull(feed_runtime, "sulaiban", pace=moving.pace())
        item.note, item.updated = "改过", moving.moment + timedelta(seconds=5)
        world.changes.append(item.id)
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.corrected == 1
    assert (ticket(feed_runtime, "S000001").content or "").endswith("改过")
    assert the_feed(feed_runtime).newest_at == moving.moment + timedelta(seconds=5)


def test_an_office_correction_holds_until_the_source_changes(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    office = Principal("user:li", "李派单", "dispatcher")

    def say(note: str, seconds: int) -> int:
        item = world.items["S000001"]
        item.note, item.updated = note, moving.moment + timedelta(seconds=seconds)
        world.changes.append(item.id)
        return pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.corrected

    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        world.advance(1)
        pull(feed_runtime, "sulaiban", pace=moving.pace())
        with feed_runtime.writing(moving.moment) as uow:
            source = uow.ref.sources[ticket(feed_runtime, "S000001").source_id].code
            by_hand = {"title": "人工更正的标题", "priority": "emergency"}
            compare.correct(uow, office, source, "S000001", by_hand)
        assert say("改过", 5) == 1
        assert (ticket(feed_runtime, "S000001").content or "").endswith("改过")
        assert say("改过", 9) == 0
    found = ticket(feed_runtime, "S000001")
    assert (found.title, found.priority) == ("人工更正的标题", "emergency")


def in_pages_of(size: int, address: str) -> FeedSpec:
    """The hotline, that many records a page."""
    spec = simulated("hotline12345", address)
    return spec.model_copy(update={"paging": spec.paging.model_copy(update={"size": size})})


def test_pages_that_shift_while_they_are_read_leave_nothing_out(feed_runtime: Runtime, moving: Moving) -> None:
    """Numbered pages of a span of change times: a record changed between two requests leaves the span, and the next
    page begins one record later than it should."""
    world = SimulatedUpstream(5, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, in_pages_of(10, address))
        for _ in range(40):
            world.advance(1)
            moving.moment += timedelta(seconds=1)
        moving.moment += timedelta(seconds=1)
        changed = iter(["S000001", "S000012", "S000023"])

        def meanwhile(_: PullResult) -> None:
            name = next(changed, None)
            if name is not None:
                old = world.items[name]
                world.items[name] = replace(
                    old, updated=moving.moment + timedelta(seconds=30), note="补充", before=None
                )

        pull(feed_runtime, "hotline12345", pace=moving.pace(), on_page=meanwhile)
        there = counts(feed_runtime)[0]
        moving.moment += timedelta(minutes=1)
        pull(feed_runtime, "hotline12345", pace=moving.pace())
    assert there >= 40 - 3, "what has not left the span was read in the same pull"
    accounted(feed_runtime, world)
    assert (ticket(feed_runtime, "S000012").content or "").endswith("补充")


def test_a_slow_upstream_clock_hides_no_record_on_a_late_resume(feed_runtime: Runtime, moving: Moving) -> None:
    """Changed, it goes from the first page to the last of the very same span, whose total stays; the first of the second
    page is now the last of the first, which has been read. The pull is cut off there, and goes on a day later."""
    world = SimulatedUpstream(5, moving.now, Faults(update=0, skew_seconds=-60))
    with serving(world) as address:
        add(feed_runtime, in_pages_of(4, address))
        world.advance(12)
        moving.moment += timedelta(seconds=5)

        def meanwhile(done: PullResult) -> None:
            if done.tally.created == 4:
                world.change("S000001")

        stopped = pull(
            feed_runtime,
            "hotline12345",
            pace=moving.pace(),
            on_page=meanwhile,
            stop=lambda: counts(feed_runtime)[0] >= 4,
        )
        assert (stopped.state, counts(feed_runtime)) == ("stopped", (4, 0))
        moving.moment += timedelta(days=1)
        assert pull(feed_runtime, "hotline12345", pace=moving.pace()).state == "done"
        accounted(feed_runtime, world)
        last = pull(feed_runtime, "hotline12345", pace=moving.pace()).tally
    assert (last.created, last.corrected, last.rejected) == (0, 0, 0)


def test_a_page_size_raised_within_a_span_skips_nothing(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(5, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, in_pages_of(2, address))
        world.advance(20)
        moving.moment += timedelta(seconds=1)
        stopped = pull(feed_runtime, "hotline12345", pace=moving.pace(), stop=lambda: counts(feed_runtime)[0] >= 6)
        assert (stopped.state, counts(feed_runtime)) == ("stopped", (6, 0))
        with feed_runtime.database.write() as session:
            feed_book.keep(session, in_pages_of(10, address), actor="test", now=moving.now(), replace=True)
        pull(feed_runtime, "hotline12345", pace=moving.pace())
        accounted(feed_runtime, world)


def test_the_same_days_sent_again_change_nothing(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(7, moving.now, Faults(garbage=0.2, update=0.4))
    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        world.advance(60)
        pull(feed_runtime, "sulaiban", pace=moving.pace())
        before, events = counts(feed_runtime), _events(feed_runtime)
        with feed_runtime.database.write() as session:
            feeds.rewind(session, "sulaiban")
        again = pull(feed_runtime, "sulaiban", pace=moving.pace())
    assert before[1] > 0
    assert (again.tally.created, again.tally.corrected, again.tally.rejected) == (0, 0, 0)
    assert again.tally.unchanged >= 60
    assert (counts(feed_runtime), _events(feed_runtime)) == (before, events)


def _events(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return int(session.execute(select(func.count()).select_from(TicketEvent)).scalar_one())


def test_a_bad_record_is_rejected_and_the_cursor_advances(feed_runtime: Runtime, moving: Moving) -> None:
    """In each of the ways in which a record can be spoilt, and in one that only the database finds."""
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        world.advance(20)
        for way, item in enumerate(list(world.items.values())[:6], 1):
            item.garbage = way
        done = pull(feed_runtime, "sulaiban", pace=moving.pace())
    assert (done.state, done.tally.created + done.tally.rejected) == ("done", 20)
    assert done.tally.rejected == 6
    accounted(feed_runtime, world)
    assert the_feed(feed_runtime).position == {"token": "20"}
    with feed_runtime.database.read() as session:
        kept = session.execute(select(Reject).order_by(col(Reject.id))).scalars().all()
    assert {reject.reason for reject in kept} >= {"model_type", "string_too_long"}
    assert all(reject.door == "feed" and reject.errors and reject.raw for reject in kept)


def test_a_record_fixed_upstream_resolves_its_reject(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))

    def say(garbage: int, note: str, seconds: int) -> str:
        item = world.items["S000001"]
        item.garbage, item.note, item.updated = garbage, note, moving.moment + timedelta(seconds=seconds)
        world.changes.append(item.id)
        done = pull(feed_runtime, "sulaiban", pace=moving.pace()).tally
        return f"{done.created} {done.corrected} {done.unchanged} {done.rejected}"

    with serving(world) as address:
        add(feed_runtime, simulated("sulaiban", address))
        world.advance(1)
        assert say(4, "一", 1) == "0 0 0 1"
        assert say(4, "一", 1) == "0 0 1 0", "the very same again is no second reject"
        assert say(4, "二", 2) == "0 0 0 1"
        assert counts(feed_runtime) == (0, 1), "of two versions that are refused the later one waits"
        assert say(0, "三", 3) == "1 0 0 0"
        assert counts(feed_runtime) == (1, 0)
        assert say(4, "二", 2) == "0 0 1 0", "an older version is known, be it what it may"
        assert say(4, "四", 4) == "0 0 0 1"
        assert counts(feed_runtime) == (1, 1)
    with feed_runtime.database.read() as session:
        states = list(session.execute(select(col(Reject.state)).order_by(col(Reject.id))).scalars())
    assert states == ["superseded", "superseded", "open"]
    assert (ticket(feed_runtime, "S000001").content or "").endswith("三")


def test_a_fixed_mapping_resolves_the_reject_of_its_record(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        spec = simulated("sulaiban", address)
        values = {**spec.mapping["values"], "status": {"handling": "dispatched"}}
        add(feed_runtime, spec.model_copy(update={"mapping": {**spec.mapping, "values": values}}))
        world.advance(3)
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.rejected == 3
        with feed_runtime.database.write() as session:
            feed_book.keep(session, spec, actor="test", now=moving.now(), replace=True)
            feeds.rewind(session, "sulaiban")
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.created == 3
    assert counts(feed_runtime) == (3, 0)
    with feed_runtime.database.read() as session:
        assert set(session.execute(select(col(Reject.state))).scalars()) == {"retried"}


def test_a_failed_commit_keeps_cursor_and_data_consistent(
    feed_runtime: Runtime, moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third page is stored, and its cursor is not written: then neither of the two is."""
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        spec = simulated("sulaiban", address)
        add(feed_runtime, spec.model_copy(update={"paging": spec.paging.model_copy(update={"size": 10})}))
        world.advance(45)
        calls = iter(range(1, 100))
        real = store.held

        def failing(session: Session, feed_id: int, holder: str, values: Mapping[str, Any]) -> bool:
            if "position" in values and next(calls) == 3:
                raise RuntimeError("the power is gone")
            return real(session, feed_id, holder, values)

        monkeypatch.setattr(store, "held", failing)
        with pytest.raises(RuntimeError):
            pull(feed_runtime, "sulaiban", pace=moving.pace())
        assert (counts(feed_runtime)[0], the_feed(feed_runtime).position) == (20, {"token": "20"})
        monkeypatch.setattr(store, "held", real)
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).tally.created == 25
    accounted(feed_runtime, world)
    assert [row.state for row in pulls(feed_runtime)] == ["failed", "done"]


@pytest.mark.parametrize("name", ["hotline12345", "sulaiban", "open311"])
def test_reconciliation_pulls_missing_and_shows_extra_records(feed_runtime: Runtime, moving: Moving, name: str) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, simulated(name, address))
        world.advance(6)
        moving.moment += timedelta(seconds=1)
        pull(feed_runtime, name, pace=moving.pace())
        old = world.items["S000001"]
        gone = world.items.pop("S000002")
        for new, garbage in (("S000008", 0), ("S000009", 4), ("S000010", 0)):
            world.items[new] = replace(old, id=new, garbage=garbage)
        world.hidden.add("S000010")
        zone = ZoneInfo(load_spec(name).profile().time_zone)
        done = reconcile(feed_runtime, name, old.created.astimezone(zone).date(), pace=moving.pace())
    assert (done.upstream, done.here) == (8, 6)
    assert done.missing == ["S000008", "S000009", "S000010"]
    assert done.still_missing == ["S000009", "S000010"]
    assert done.rejected == ["S000009"], "the other is on the list, and cannot be had"
    assert done.extra == [gone.id]
    assert ticket(feed_runtime, "S000008").title
    row = pulls(feed_runtime)[-1]
    assert (row.kind, row.state, row.created, row.rejected) == ("reconcile", "done", 1, 1)
    assert row.detail is not None
    assert (row.detail["missing"], row.detail["extra"]) == (3, [gone.id])


def test_a_watched_folder_takes_a_file_once_and_puts_it_away(
    feed_runtime: Runtime, moving: Moving, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("工单编号,标题\nA1,路灯不亮\nA2,井盖破损\n", "utf-8")
    (folder / "b.part").write_text("half", "utf-8")
    (folder / "c.csv").write_text("x,y\n1,2\n", "utf-8")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    add(feed_runtime, spec_of({
        "name": "drop", "kind": "folder", "title": {"zh": "文件夹", "en": "Folder"},
        "source": {"code": "drop", "zh": "文件夹", "en": "Folder"},
        "folder": {"path": str(folder), "profile": "duban"},
    }))  # fmt: skip
    done = pull(feed_runtime, "drop", pace=moving.pace())
    assert (done.state, done.tally.created) == ("done", 2)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "b.part", "done/a.csv", "failed/c.csv"
    ]  # fmt: skip


def test_a_folder_takes_one_day_twice_and_then_a_later_state(
    feed_runtime: Runtime, moving: Moving, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    add(feed_runtime, spec_of({
        "name": "drop", "kind": "folder", "title": {"zh": "文件夹", "en": "Folder"},
        "source": {"code": "drop", "zh": "文件夹", "en": "Folder"},
        "folder": {"path": str(folder), "profile": "duban"},
    }))  # fmt: skip

    def drop(name: str, *rows: str) -> tuple[int, int, int, int]:
        (folder / name).write_text("\n".join(("工单编号,标题,内容", *rows)), "utf-8")
        os.utime(folder / name, (1, 1))
        done = pull(feed_runtime, "drop", pace=moving.pace()).tally
        return done.created, done.corrected, done.unchanged, done.rejected

    day = ("A1,路灯不亮,一", "A2,井盖破损,二", ",没有编号,三")
    assert drop("day.csv", *day) == (2, 0, 0, 1)
    assert drop("day.csv", *day) == (0, 0, 2, 1), "the same file: the same tickets, and the same reject"
    assert drop("again.csv", "A1,路灯不亮,已换灯泡", "A2,井盖破损,二", "A3,水管爆裂,四") == (1, 1, 1, 0)
    assert ticket(feed_runtime, "A1").content == "已换灯泡"
    assert counts(feed_runtime) == (3, 1)
    assert sorted(path.name.split(".")[0] for path in (folder / "done").iterdir()) == ["again", "day", "day"]


def test_an_upstream_that_asks_for_time_is_left_alone_so_long(feed_runtime: Runtime, moving: Moving) -> None:
    with serving(SimulatedUpstream(1, moving.now, Faults(throttle=1.0, retry_after=7200))) as address:
        add(feed_runtime, simulated("sulaiban", address))
        assert pull(feed_runtime, "sulaiban", pace=moving.pace()).retries == 0
    feed = the_feed(feed_runtime)
    assert (feed.failures, feed.open_until) == (1, moving.now() + timedelta(hours=2))


@pytest.mark.parametrize(("most", "known"), [(50, False), (7, True)], ids=["not known", "known"])
def test_an_open311_server_with_small_pages_is_read_completely(
    feed_runtime: Runtime, moving: Moving, most: int, known: bool
) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0), most=most)
    with serving(world) as address:
        spec = simulated("open311", address)
        window = spec.window
        assert window is not None
        window = window.model_copy(update={"most_rows": most if known else 1000, "first_days": 1})
        add(feed_runtime, spec.model_copy(update={"window": window}))
        for _ in range(4 * most - 1):
            world.advance(1)
            moving.moment += timedelta(seconds=97)
        assert pull(feed_runtime, "open311", pace=moving.pace()).state == "done"
        day = moving.now().astimezone(UTC).date()
        assert reconcile(feed_runtime, "open311", day, pace=moving.pace()).missing == []
    assert counts(feed_runtime) == (4 * most - 1, 0)
    accounted(feed_runtime, world)


def test_more_records_in_a_second_than_a_page_is_an_error(feed_runtime: Runtime, moving: Moving) -> None:
    world = SimulatedUpstream(1, moving.now, Faults(update=0), most=3)
    with serving(world) as address:
        spec = simulated("open311", address)
        assert spec.window is not None
        window = spec.window.model_copy(update={"most_rows": 3, "first_days": 0.1})
        add(feed_runtime, spec.model_copy(update={"window": window}))
        world.advance(4)
        moving.moment += timedelta(minutes=1)
        done = pull(feed_runtime, "open311", pace=moving.pace())
    assert done.state == "failed"
    assert done.error is not None
    assert "no way to the others" in done.error.message.en


def test_a_span_that_never_settles_is_logged_and_left(feed_runtime: Runtime, moving: Moving) -> None:
    """What may have been passed over for good is told; the last minutes are read again by the next pull, and are not."""
    world = SimulatedUpstream(5, moving.now, Faults(update=0))
    with serving(world) as address:
        add(feed_runtime, in_pages_of(2, address))
        world.advance(60)
        moving.moment += timedelta(hours=1)
        world.advance(60)
        moving.moment += timedelta(seconds=1)
        old, new = (iter([f"S{n:06d}" for n in numbers]) for numbers in (range(1, 61), range(61, 121)))

        def meanwhile(_: PullResult) -> None:
            for name in (next(old), next(new)):
                world.items[name] = replace(world.items[name], updated=moving.moment + timedelta(seconds=30))

        begins, ends = moving.moment - timedelta(days=2), moving.moment - timedelta(minutes=30)
        done = pull(feed_runtime, "hotline12345", pace=moving.pace(), on_page=meanwhile)
        moving.moment += timedelta(minutes=1)
        still = pull(feed_runtime, "hotline12345", pace=moving.pace())
    span = (begins.isoformat(), ends.isoformat())  # the last of thirty days in spans of seven
    assert (done.state, done.unsettled) == ("done", [span])
    assert (still.state, still.unsettled) == ("done", [])
    assert [row.detail for row in pulls(feed_runtime)] == [{"unsettled": [list(span)]}, None]
    with feed_runtime.database.read() as session:
        zone = feed_runtime.settings.zone
        shown = feeds.shown(session, SYSTEM, "hotline12345", moving.now(), zone, "en")["pulls"]
        chinese = feeds.shown(session, SYSTEM, "hotline12345", moving.now(), zone, "zh")["pulls"]
    assert shown[0]["note"] is None
    assert f"{ends.astimezone(zone):%Y-%m-%d %H:%M} may be missing: reconcile those days" in shown[1]["note"]
    assert "可能有漏" in chinese[1]["note"]
