"""Sample feeds for ``duban demo``: a week of pulls, including rejected rows.

They run through the real services, like the tickets of ``app.demo``: each pull acquires the feed's lease, writes its log
and moves its cursor, but the pages come from ``upstream`` instead of a network. The hotline feed is switched off at the
end, since its upstream does not exist; the watched folder is real and remains active in the data directory.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from app.runtime import Runtime
from app.services.intake import feeds
from app.services.supervision.sweep import sweep
from ingest.connectors.http import RequestPace, UpstreamError
from ingest.connectors.registry import SpecOverrides
from ingest.devtools.sample.upstream import REPORTED, Order, orders, street_rows
from ingest.feeds.pull import pull
from ingest.feeds.reconcile import compare
from ingest.feeds.registry import keep, load
from ingest.feeds.run import PullSession, begin

HOTLINE, STREET = "city12345", "street"
_BY = "system:demo"
_WEEK = timedelta(days=6)
_EVERY = timedelta(hours=8)


def create_sample_feeds(runtime: Runtime, now: datetime, seed: int) -> None:
    """Create the sample feeds and their pulls of the days before ``now`` (aware), with tickets and rejects. The same seed
    and clock create the same rows."""
    _hotline(runtime, now, seed)
    _street(runtime, now, seed)
    sweep(runtime.database, runtime.reference, now, batch=runtime.settings.sweep_batch)


def _pace(at: datetime) -> RequestPace:
    return RequestPace(lambda: at, sleep=lambda _: None)


def _hotline(runtime: Runtime, now: datetime, seed: int) -> None:
    """A city hotline that sends orders every eight hours; one pull fails, and one reconciliation finds missing orders."""
    spec = load(runtime, "hotline12345", SpecOverrides(name=HOTLINE, source=HOTLINE))
    names = {"zh": "市 12345 转办", "en": "City hotline, handed down"}
    spec = spec.model_copy(update={
        "title": spec.title.model_copy(update=names), "source": spec.source.model_copy(update=names),
        "limits": spec.limits.model_copy(update={"every_seconds": _EVERY // timedelta(seconds=1)}),
    })  # fmt: skip
    with runtime.database.write() as session:
        keep(session, spec, actor=_BY, now=now - _WEEK)
    upstream_orders = orders(now, seed)
    start = now - _WEEK + _EVERY
    pulls = [start + n * _EVERY for n in range((now - start) // _EVERY + 1)]
    for number, at in enumerate(pulls):
        since = at - _EVERY
        work = begin(runtime, HOTLINE, _pace(at), "pull", _BY, force=True)
        if number == len(pulls) // 2:
            work.run(_silent)
        elif number == len(pulls) // 2 + 1:
            work.run(_page(work, upstream_orders, since - _EVERY, at))
        else:
            work.run(_page(work, upstream_orders, since, at))
    at = pulls[-1] + timedelta(hours=1)
    day = (at - timedelta(days=1)).astimezone(runtime.settings.zone).date()
    listed = {
        order.number: order
        for order in upstream_orders
        if order.received.astimezone(runtime.settings.zone).date() == day
    }
    work = begin(runtime, HOTLINE, _pace(min(at, now)), "reconcile", _BY, force=True)
    work.run(lambda: _compared(work, day, listed, at))
    with runtime.database.write() as session:
        feeds.switch(session, HOTLINE, active=False, now=now)


def _compared(work: PullSession, day: date, listed: dict[str, Order], at: datetime) -> None:
    compare(work, day, listed, lambda number: listed[number].record(at))


def _silent() -> None:
    raise UpstreamError(
        "上游接口返回 503：系统维护中", "the upstream answered 503: under maintenance", again=True, http=503
    )


def _page(work: PullSession, upstream_orders: list[Order], since: datetime, until: datetime) -> Callable[[], None]:
    """Return a job that imports the orders created or changed in the span, except those the upstream omits."""
    records = [each.record(until) for each in upstream_orders if not each.forgotten and each.moved(since, until)]
    return lambda: work.take(records, {"since": until.isoformat()})


def _street(runtime: Runtime, now: datetime, seed: int) -> None:
    """A street office's weekly list in a watched folder; some of its rows are rejected."""
    folder = (runtime.settings.data_dir / "drop").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    spec = load(runtime, "folder", SpecOverrides(name=STREET, source=STREET, folder=str(folder)))
    names = {"zh": "街道报送", "en": "Lists of street offices"}
    spec = spec.model_copy(update={
        "title": spec.title.model_copy(update=names), "source": spec.source.model_copy(update=names),
        "limits": spec.limits.model_copy(update={"every_seconds": 3600}),
    })  # fmt: skip
    with runtime.database.write() as session:
        keep(session, spec, actor=_BY, now=now - _WEEK)
    at = now - timedelta(minutes=50)
    path = folder / f"云城街道报送-{at.astimezone(runtime.settings.zone):%Y-%m-%d}.csv"
    _write(path, street_rows(at, runtime.settings.zone, seed))
    os.utime(path, (at.timestamp() - 600,) * 2)
    pull(runtime, STREET, actor=_BY, pace=_pace(at))


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, REPORTED)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8-sig")
