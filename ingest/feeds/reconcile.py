"""Reconciliation (对账): compare a day's ids with the upstream's list, pull missing records, and report extra ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app import clock
from app.errors import Conflict
from app.runtime import Runtime
from app.services.intake.rejects import digest_of
from app.store import feeds as store
from ingest.connectors.base import Record
from ingest.connectors.http import RequestPace
from ingest.connectors.registry import connected
from ingest.feeds.run import PullResult, PullSession, begin
from ingest.rows.row import raw_of

CHUNK = 100
SHOWN = 1_000
"""Maximum ids of each kind in the log; the counts are complete."""


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The comparison of a day.

    Number of ids that the upstream lists and that Duban has; ``missing`` ids; of these, ``still_missing`` after pulling
    (``rejected``: stored as rejects; the others are listed by the upstream but not delivered); and ``extra`` ids that
    only Duban has.
    """

    day: str
    upstream: int
    here: int
    missing: list[str]
    still_missing: list[str]
    rejected: list[str]
    extra: list[str]
    pulled: PullResult

    def view(self, lang: str) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "day": self.day, "upstream": self.upstream, "here": self.here, "missing": self.missing,
            "still_missing": self.still_missing, "refused": self.rejected, "extra": self.extra,
            **self.pulled.view(lang),
        }  # fmt: skip


def reconcile(
    runtime: Runtime,
    name: str,
    day: date,
    *,
    actor: str = "system:duban",
    pace: RequestPace | None = None,
    stop: Callable[[], bool] | None = None,
    patience: int = 0,
) -> ReconcileResult:
    """Compare a local day of the feed with its upstream's list, and pull missing records. Blocking.

    ``patience``: seconds to wait for a running pull. Raises Invalid for a feed without a list to compare with, Conflict
    while it is being pulled, and ``UpstreamError``.
    """
    pace = pace or RequestPace(clock.now)
    work = _begin(runtime, name, pace, actor, patience)
    if stop is not None:
        work.stop = stop
    found: list[ReconcileResult] = []
    done = work.run(lambda: found.append(_compare(work, day)))
    if done.error is not None:
        raise done.error
    return found[0]


def _begin(runtime: Runtime, name: str, pace: RequestPace, actor: str, patience: int) -> PullSession:
    while True:
        try:
            return begin(runtime, name, pace, "reconcile", actor, force=True)
        except Conflict:
            if patience <= 0:
                raise
            patience -= 1
            pace.sleep(1)


def _compare(work: PullSession, day: date) -> ReconcileResult:
    with connected(work.spec, work.pace, work.renew, work.widen) as source:
        return compare(work, day, source.ids_between(*_span(work, day)), source.one)


def _span(work: PullSession, day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(work.spec.profile().time_zone)
    return datetime.combine(day, time.min, zone), datetime.combine(day + timedelta(days=1), time.min, zone)


def compare(work: PullSession, day: date, ids: Iterable[str], one: Callable[[str], Record | None]) -> ReconcileResult:
    """Compare the local ``day`` with the upstream's ``ids`` of it. ``one`` fetches a missing record by its id, or returns
    None where the upstream does not deliver it."""
    since, until = _span(work, day)
    listed = list(dict.fromkeys(ids))
    with work.runtime.database.read() as session:
        there = store.ids_known(session, work.source_id, listed)
        of_day = store.ids_received(session, work.source_id, since, until)
    missing = [each for each in listed if each not in there]
    given: dict[str, str] = {}
    for start in range(0, len(missing), CHUNK):
        found = {each: one(each) for each in missing[start : start + CHUNK]}
        records = {each: record for each, record in found.items() if record is not None}
        work.take(list(records.values()), None)
        given |= {each: digest_of(raw_of(record)) for each, record in records.items()}
    with work.runtime.database.read() as session:
        after = store.ids_known(session, work.source_id, missing)
        still = [each for each in missing if each not in after]
        kept = store.reject_reasons(session, work.source_id, [given[each] for each in still if each in given])
    rejected = [each for each in still if given.get(each) in kept]
    extra = sorted(of_day - set(listed))
    work.detail = {
        "day": day.isoformat(), "upstream": len(listed), "here": len(of_day), "missing": len(missing),
        "still_count": len(still), "still_missing": still[:SHOWN], "rejected": rejected[:SHOWN],
        "extra_count": len(extra), "extra": extra[:SHOWN],
    }  # fmt: skip
    return ReconcileResult(day.isoformat(), len(listed), len(of_day), missing, still, rejected, extra, work.done)
