"""The sample feeds: pulls, a failed one, a comparison that found something, and rows refused, all by the real services."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from app import demo
from app.config import Settings
from app.models import FeedPull, Reject, Ticket
from app.runtime import Runtime
from app.security.principal import SYSTEM
from app.services.intake import feeds, rejects
from app.services.supervision.sweep import sweep
from ingest.connectors.http import RequestPace
from ingest.devtools.sample import HOTLINE, STREET, create_sample_feeds
from ingest.feeds.pull import pull
from ingest.feeds.run import PullResult
from ingest.rejects import retry

NOW = datetime.fromisoformat("2026-11-24T11:20:00+08:00")


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Runtime]:
    runtime = Runtime.open(Settings(database_url=SecretStr(url), data_dir=folder), NOW)
    try:
        yield runtime
    finally:
        runtime.close()


def fill(runtime: Runtime) -> None:
    """Write a day of sample tickets and the sample feeds."""
    demo.fill(runtime, NOW, days=1)
    create_sample_feeds(runtime, NOW, demo.SEED)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the sample feeds, to be copied."""
    folder = tmp_path_factory.mktemp("sample")
    path = folder / "duban.db"
    with opened(f"sqlite:///{path.as_posix()}", folder) as runtime:
        fill(runtime)
    return path


@pytest.fixture
def copied(sample: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A database with the sample feeds, of its own for each test."""
    path = tmp_path / "duban.db"
    shutil.copyfile(sample, path)
    with opened(f"sqlite:///{path.as_posix()}", tmp_path) as runtime:
        yield runtime


def rows(runtime: Runtime, table: Any) -> list[Any]:
    with runtime.database.read() as session:
        found = list(session.execute(select(table).order_by(table.id)).scalars())
        session.expunge_all()
    return found


def facts(runtime: Runtime) -> list[Any]:
    """Every ticket with the hash of its last event, and every reject."""
    with runtime.database.read() as session:
        tickets = select(col(Ticket.id), col(Ticket.external_id), col(Ticket.status), col(Ticket.head_hash))
        refused = select(col(Reject.digest), col(Reject.state))
        return [
            *session.execute(tickets.order_by(col(Ticket.id))),
            *session.execute(refused.order_by(col(Reject.id))),
        ]


def check_pages(runtime: Runtime) -> None:
    """Every page of the console has something to show."""
    with runtime.database.read() as session:
        shown = {one["name"]: one for one in feeds.listed(session, SYSTEM, NOW, runtime.settings.zone, "zh")}
    assert {name: one["state"] for name, one in shown.items()} == {HOTLINE: "off", STREET: "ok"}
    assert all(one["created"] > 10 and one["rejected"] >= 3 for one in shown.values())

    log: list[FeedPull] = rows(runtime, FeedPull)
    assert [one.state for one in log if one.kind == "pull"].count("failed") == 1
    assert all(one.started_at <= NOW for one in log)
    (compared,) = (one.detail for one in log if one.kind == "reconcile")
    assert compared is not None
    assert compared["missing"] > compared["still_count"] == len(compared["rejected"]) >= 1

    waiting = [one for one in rows(runtime, Reject) if one.state == "open"]
    assert {one.reason for one in waiting} >= {"missing", "moment_written", "value_unknown"}
    assert {one.door for one in waiting} == {"feed", "import"}
    assert sweep(runtime.database, runtime.reference, NOW).checked == 0, "nothing is left for the first real sweep"


def test_the_sample_feeds_have_something_for_every_page(copied: Runtime) -> None:
    check_pages(copied)


def test_both_databases_get_the_same_sample_feeds(copied: Runtime, postgres_url: str, tmp_path: Path) -> None:
    with opened(postgres_url, tmp_path / "other") as other:
        fill(other)
        assert facts(other) == facts(copied)
        check_pages(other)


def test_a_sample_reject_can_be_corrected_and_pulling_goes_on(copied: Runtime) -> None:
    runtime = copied
    with runtime.reading() as (session, _):
        chosen = rejects.RejectFilter(door="import", reason="missing")
        (wrong,) = rejects.list_rejects(session, SYSTEM, chosen, before=None, limit=9)
    assert wrong.id is not None
    corrected = wrong.raw.replace('"编号":""', '"编号":"YC-1"').replace('"编号": ""', '"编号": "YC-1"')
    assert retry.retry(runtime, SYSTEM, wrong.id, corrected, NOW) > 0
    later = NOW + timedelta(hours=2)
    done: PullResult = pull(runtime, STREET, if_due=True, pace=RequestPace(lambda: later))
    assert (done.state, done.tally.created) == ("done", 0)
    with runtime.database.read() as session:
        assert feeds.due(session, later) == [], "nothing of the samples is polled over a network"
