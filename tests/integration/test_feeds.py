"""Feeds pulled from a simulated upstream that misbehaves: nothing lost, nothing twice, the cursor right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlmodel import col

from app import clock
from app.config import Settings
from app.domain.errors import Conflict
from app.models import Deadline, Feed, Reject, Ticket, TicketEvent
from app.runtime import Runtime
from app.services import feeds
from ingest.feed_spec import FeedSpec, load_spec
from ingest.feed_work import begin
from ingest.pull import pull
from ingest.reconcile import reconcile
from ingest.simulator.server import BASES, SECRET, SECRET_VARIABLES, serving
from ingest.simulator.world import ROUGH, Faults, World
from ingest.sources.http import Pace


class Moving:
    """A clock that the test moves, and in which sleeping takes no time."""

    def __init__(self) -> None:
        self.moment = clock.now().replace(microsecond=0)

    def now(self) -> datetime:
        return self.moment

    def pace(self) -> Pace:
        return Pace(self.now, sleep=lambda _: None, random=lambda: 0.5)


@pytest.fixture
def time() -> Moving:
    return Moving()


@pytest.fixture
def runtime(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    for variable in SECRET_VARIABLES.values():
        monkeypatch.setenv(variable, SECRET)
    runtime = Runtime.open(Settings(database_url=SecretStr(database_url)), clock.now())
    yield runtime
    runtime.close()


def add(runtime: Runtime, spec: FeedSpec) -> None:
    with runtime.database.write() as session:
        feeds.add(session, spec.name, spec.kind, spec.model_dump(mode="json"), spec.source.model_dump(), actor="test",
                  now=clock.now())  # fmt: skip


def counts(runtime: Runtime) -> tuple[int, int]:
    """Tickets, and open rejects."""
    with runtime.database.read() as session:
        tickets = session.execute(select(func.count()).select_from(Ticket)).scalar_one()
        rejects = session.execute(
            select(func.count()).select_from(Reject).where(col(Reject.state) == "open")
        ).scalar_one()
    return tickets, rejects


def ticket(runtime: Runtime, external_id: str) -> Ticket:
    with runtime.database.read() as session:
        found: Ticket = session.execute(select(Ticket).where(col(Ticket.external_id) == external_id)).scalar_one()
        return found


def no_wait(spec: FeedSpec, **limits: float) -> FeedSpec:
    found = spec.limits.model_copy(update={"attempts": 8, "per_minute": 100_000, **limits})
    return spec.model_copy(update={"limits": found})


def _accounted(runtime: Runtime, world: World) -> None:
    """Everything that the upstream has ever offered is a ticket, once, or a reject."""
    with runtime.database.read() as session:
        ids = list(session.execute(select(col(Ticket.external_id))).scalars())
        raws = list(session.execute(select(col(Reject.raw))).scalars())
        assert len(ids) == len(set(ids))
        lost = [each for each in world.offered - set(ids) if not any(each in raw for raw in raws)]
        assert lost == []
        assert world.offered == set(world.items), "the upstream was read to its end"
        assert len(raws) == len(set(raws)), "a reject is kept once"
        for table in (Deadline, TicketEvent):
            orphans = session.execute(
                select(func.count()).select_from(table).where(col(table.ticket_id).not_in(select(col(Ticket.id))))
            ).scalar_one()
            assert orphans == 0


@pytest.mark.parametrize("name", ["hotline12345", "sulaiban", "open311"])
def test_an_hour_of_a_misbehaving_upstream_leaves_nothing_out(runtime: Runtime, time: Moving, name: str) -> None:
    world = World(7, time.now, ROUGH)
    with serving(world) as address:
        add(runtime, no_wait(load_spec(name, base_url=address + BASES[name])))
        for _ in range(12):
            world.advance(12)
            time.moment += timedelta(minutes=5)
            pull(runtime, name, pace=time.pace(), force=True)
        world.healthy = True
        time.moment += timedelta(minutes=5)
        assert pull(runtime, name, pace=time.pace(), force=True).state == "done"
    _accounted(runtime, world)
    for item in world.items.values():
        if not item.garbage:
            stored = ticket(runtime, item.id)
            assert (stored.content or "").endswith(item.note), "the latest version is what stands"
            assert (stored.status in ("completed", "closed")) == (item.state == 2)


def test_the_same_again_is_unchanged_and_an_older_version_is_not_taken_back(runtime: Runtime, time: Moving) -> None:
    world = World(1, time.now, Faults(update=0))
    with serving(world) as address:
        add(runtime, no_wait(load_spec("hotline12345", base_url=address + BASES["hotline12345"])))
        world.advance(30)
        time.moment += timedelta(minutes=1)
        first = pull(runtime, "hotline12345", pace=time.pace())
        again = pull(runtime, "hotline12345", pace=time.pace())
        world._change("S000003")
        time.moment += timedelta(minutes=1)
        third = pull(runtime, "hotline12345", pace=time.pace())
        world.faults = Faults(stale=1.0)
        fourth = pull(runtime, "hotline12345", pace=time.pace())
    assert (first.tally.created, again.tally.created, again.tally.unchanged) == (30, 0, 30)
    assert (third.tally.corrected, third.tally.unchanged) == (1, 29)
    assert (fourth.tally.corrected, fourth.tally.rejected) == (0, 0)
    assert (ticket(runtime, "S000003").content or "").endswith(world.items["S000003"].note)
    assert counts(runtime) == (30, 0)


def test_a_change_of_a_closed_ticket_is_a_reject_with_its_reason(runtime: Runtime, time: Moving) -> None:
    world = World(1, time.now, Faults(update=0))
    with serving(world) as address:
        add(runtime, no_wait(load_spec("open311", base_url=address + BASES["open311"])))
        world.advance(1)
        world.items["S000001"].state = 2
        time.moment += timedelta(minutes=1)
        pull(runtime, "open311", pace=time.pace())
        world.items["S000001"].note = "再次更改"
        world.items["S000001"].updated = time.now()
        time.moment += timedelta(minutes=1)
        done = pull(runtime, "open311", pace=time.pace())
    assert (done.tally.rejected, counts(runtime)) == (1, (1, 1))
    with runtime.database.read() as session:
        reject = session.execute(select(Reject)).scalar_one()
    assert (reject.door, reject.reason, reject.profile) == ("feed", "update_refused", "feed:open311")


def test_an_upstream_that_is_down_opens_the_breaker_and_the_cursor_stays(runtime: Runtime, time: Moving) -> None:
    world = World(1, time.now, Faults(error=1.0, update=0))
    with serving(world) as address:
        add(runtime, no_wait(load_spec("sulaiban", base_url=address + BASES["sulaiban"]), attempts=2))
        world.advance(5)
        for _ in range(3):
            done = pull(runtime, "sulaiban", pace=time.pace())
            assert (done.state, done.retries) == ("failed", 1)
        with pytest.raises(Conflict, match="3 times in a row"):
            pull(runtime, "sulaiban", pace=time.pace())
        time.moment += timedelta(seconds=61)
        world.healthy = True
        assert pull(runtime, "sulaiban", pace=time.pace()).tally.created == 5
    with runtime.database.read() as session:
        feed = session.execute(select(Feed)).scalar_one()
    assert (feed.failures, feed.open_until, feed.last_error, feed.position) == (0, None, None, {"token": "5"})


def test_two_pulls_of_one_feed_do_not_run_at_once(runtime: Runtime, time: Moving) -> None:
    add(runtime, load_spec("sulaiban", base_url="http://127.0.0.1:9"))
    begin(runtime, "sulaiban", time.pace(), "pull", "test")
    with pytest.raises(Conflict, match="being pulled already"):
        pull(runtime, "sulaiban", pace=time.pace())


def test_reconciliation_pulls_what_is_missing_and_shows_what_is_extra(runtime: Runtime, time: Moving) -> None:
    world = World(1, time.now, Faults(update=0))
    name = "hotline12345"
    with serving(world) as address:
        add(runtime, no_wait(load_spec(name, base_url=address + BASES[name])))
        world.advance(6)
        time.moment += timedelta(seconds=1)
        pull(runtime, name, pace=time.pace())
        made = world.items["S000001"].created
        gone = world.items.pop("S000002")
        world.advance(1)  # takes the number of one that is there, so:
        world.items["S000009"] = world.items.pop("S000006")
        world.items["S000009"].id = "S000009"
        day = made.astimezone(runtime.settings.zone).date()
        done = reconcile(runtime, name, day, pace=time.pace())
    assert done.missing == ["S000009"]
    assert done.still_missing == []
    assert gone.id in done.extra
    assert ticket(runtime, "S000009").title


def test_a_watched_folder_takes_a_file_once_and_puts_it_away(runtime: Runtime, time: Moving, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("工单编号,标题\nA1,路灯不亮\nA2,井盖破损\n", "utf-8")
    (folder / "b.part").write_text("half", "utf-8")
    (folder / "c.csv").write_text("x,y\n1,2\n", "utf-8")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    add(runtime, FeedSpec.model_validate({
        "name": "drop", "kind": "folder", "title": {"zh": "文件夹", "en": "Folder"},
        "source": {"code": "drop", "zh": "文件夹", "en": "Folder"},
        "folder": {"path": str(folder), "profile": "duban"},
    }))  # fmt: skip
    done = pull(runtime, "drop", pace=time.pace())
    assert (done.state, done.tally.created) == ("done", 2)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "b.part", "done/a.csv", "failed/c.csv"
    ]  # fmt: skip
