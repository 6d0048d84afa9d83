"""The session of a pull or a reconciliation: the feed's lease, log, circuit breaker, and cursor.

A lease in the feed's row ensures that one process at a time pulls a feed; a process that has lost it cannot commit. The
tickets, rejects, record versions, counts and cursor of a page are written in one transaction.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlmodel import Session

from app.errors import Conflict, DubanError, NotFound
from app.models import Feed, FeedPull, FeedRecord, Reject
from app.runtime import Runtime
from app.services.core.unit_of_work import UnitOfWork
from app.services.intake import feeds
from app.services.intake.rejects import RejectOrigin, reason_of
from app.store import feeds as store
from ingest.connectors.base import Position, Record
from ingest.connectors.http import RequestPace
from ingest.connectors.spec import FeedSpec
from ingest.feeds.records import OLDEST, RecordReader, UpstreamRecord, is_known
from ingest.feeds.updates import FEED, feed_spec, following
from ingest.rows.prepare import IngestContext, RowOutcome
from ingest.rows.row import InputRow
from ingest.rows.write import RowCounts, commit_rows, prepare_rows

TERM = timedelta(minutes=10)
"""Lease duration; the lease is renewed before every request and with every page."""
BREAKER_DOUBLINGS = 6
LONGEST_BREAK = 86_400
"""Maximum seconds that a breaker stays open, whatever ``Retry-After`` the upstream sends."""
SPANS_KEPT = 50
"""Maximum unsettled spans in the log of a pull."""
MOST_SKEW = 86_400
"""Maximum seconds by which a window is widened for the clock skew of an upstream."""


@dataclass
class PullResult:
    """The result of a pull."""

    pull_id: int
    state: str
    pages: int = 0
    retries: int = 0
    tally: RowCounts = field(default_factory=RowCounts)
    error: DubanError | None = None
    unsettled: list[tuple[str, str]] = field(default_factory=list)
    """Spans of change times (RFC 3339) that kept changing while they were paged, and are not requested again."""

    def view(self, lang: str) -> dict[str, Any]:
        """Return the result as JSON, with its message in ``lang``."""
        tally = self.tally
        return {
            "pull": self.pull_id, "state": self.state, "pages": self.pages, "retries": self.retries,
            "created": tally.created, "corrected": tally.corrected, "unchanged": tally.unchanged,
            "rejected": tally.rejected, "error": self.error.text(lang) if self.error else None,
            "unsettled": self.unsettled,
        }  # fmt: skip


class LeaseLost(Conflict):
    """Another process has taken the feed over."""


class PullStopped(DubanError):
    """The process is shutting down: the pull stops, and the next one continues from its cursor."""

    code = "stopped"


class PullNotDue(Conflict):
    """Another process has pulled the feed in the meantime."""


_ACTIVE: set[str] = set()
"""The lease holders of this process that are running."""


def holder_name() -> str:
    """Return a unique lease holder name: host, process id and a random token."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def is_gone(holder: str) -> bool:
    """Return whether ``holder`` has certainly ended, so that its lease can be taken over: a process of this host that
    does not exist, or a session of this process that could not release its lease."""
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname()[:60] or not rest.isdigit():
        return False
    if int(rest) == os.getpid():
        return holder not in _ACTIVE
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


class PullSession:
    """A running pull or reconciliation: its lease, its log row, and the feed's definition."""

    def __init__(self, runtime: Runtime, feed: Feed, spec: FeedSpec, holder: str, pull_id: int, pace: RequestPace,
                 before_started: datetime | None) -> None:  # fmt: skip
        """Set ``stop`` to a function that returns whether to end; it is called before each request."""
        assert feed.id is not None, "it is stored"
        self.runtime, self.spec, self.holder, self.pace = runtime, spec, holder, pace
        self.feed_id, self.source_id = feed.id, feed.source_id
        self.position: Position = dict(feed.position)
        self.newest_at = feed.newest_at
        self.before_failures = feed.failures
        self.before_started = before_started
        self.stop: Callable[[], bool] = lambda: False
        self.skew: int | None = None
        self.widen = timedelta(seconds=min(abs(feed.skew_seconds or 0), MOST_SKEW))
        self.detail: dict[str, Any] | None = None
        self.done = PullResult(pull_id, "running")
        self.actor = FEED + spec.name

    @cached_property
    def reader(self) -> RecordReader:
        """The reader of this feed's records; not used by a folder, whose files are read by a profile."""
        return RecordReader(self.spec)

    def run(self, job: Callable[[], None]) -> PullResult:
        """Run ``job``, record its result or error, and release the lease."""
        try:
            self._run(job)
        finally:
            _ACTIVE.discard(self.holder)
        return self.done

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except LeaseLost:
            raise
        except PullStopped as error:
            self.done.error = error
            self._finish("stopped")
        except DubanError as error:
            self.done.error = error
            self._finish("failed")
        except KeyboardInterrupt:
            self.done.error = PullStopped("被中断", "interrupted")
            self._finish("stopped")
            raise
        except BaseException as error:
            self.done.error = DubanError(f"内部错误：{type(error).__name__}", f"internal error: {type(error).__name__}")
            self._finish("failed")
            raise
        else:
            self._finish("done")

    def renew(self) -> None:
        """Renew the lease for another term. Raises ``LeaseLost`` and ``PullStopped``."""
        if self.stop():
            raise PullStopped(
                "服务正在停止，下次从此处继续", "the service is stopping; the next pull continues from here"
            )
        with self.runtime.database.write() as session:
            self.hold(session, {})

    def hold(self, session: Session, values: Mapping[str, Any]) -> None:
        """Set ``values`` on the feed's row and renew the lease, in the caller's transaction. Raises ``LeaseLost``."""
        until = self.pace.now() + TERM
        if not store.held(session, self.feed_id, self.holder, {**values, "lease_until": until}):
            raise LeaseLost("该接入源已由另一进程接管", "another process has taken this feed over")

    def take(self, records: Sequence[Record], position: Position | None) -> None:
        """Import records, and move the cursor to ``position`` with the last of them (None: leave it unchanged)."""
        now = self.pace.now()
        upstream_records = self.reader.page(records, now)
        known, open_reasons = self._stored_state(upstream_records)
        new_records = [one for one in upstream_records if not is_known(one, known) and not _is_kept(one, open_reasons)]
        repeated = [RowOutcome("unchanged")] * (len(records) - len(new_records))
        by_number = {one.number: one for one in new_records}
        rows = [one.input_row() for one in new_records]
        self._track_newest(upstream_records)

        def counted(rows_done: Sequence[InputRow], outcomes: Sequence[RowOutcome]) -> list[RowOutcome]:
            """A reject stored before counts as unchanged; repeated records count with the last row."""
            counted_outcomes = [
                RowOutcome("unchanged")
                if outcome.status == "rejected" and by_number[row.number].digest in open_reasons
                else outcome
                for row, outcome in zip(rows_done, outcomes, strict=True)
            ]
            return [*counted_outcomes, *repeated] if not rows or rows_done[-1] is rows[-1] else counted_outcomes

        def record(uow: UnitOfWork, rows_done: Sequence[InputRow], outcomes: Sequence[RowOutcome]) -> None:
            last = not rows or rows_done[-1] is rows[-1]
            results = [(by_number[row.number], outcome) for row, outcome in zip(rows_done, outcomes, strict=True)]
            self._remember(uow.session, results, now)
            self.advance(uow.session, position if last else None, counted(rows_done, outcomes))

        if not rows:
            with self.runtime.writing(now) as uow:
                record(uow, (), ())
            self.done.tally = self.done.tally.count(repeated)
            return
        origin = RejectOrigin("feed", self.source_id, None, self.actor)
        context = IngestContext(
            origin, self.spec.source.code, self.actor, history=True, live=True, follow=following(self.actor)
        )
        for rows_done, outcomes in commit_rows(self.runtime, prepare_rows(self.runtime, context, rows, now), record):
            self.done.tally = self.done.tally.count(counted(rows_done, outcomes))

    def note_unsettled(self, since: datetime, until: datetime) -> None:
        """Record in the log that this span kept changing while it was paged and is not requested again."""
        self.done.unsettled.append((since.isoformat(), until.isoformat()))
        self.detail = {"unsettled": self.done.unsettled[-SPANS_KEPT:]}

    def _track_newest(self, upstream_records: Sequence[UpstreamRecord]) -> None:
        newest = max((one.updated_at for one in upstream_records if one.ticket and one.updated_at), default=None)
        if newest and (self.newest_at is None or newest > self.newest_at):
            self.newest_at = newest

    def _stored_state(
        self, upstream_records: Sequence[UpstreamRecord]
    ) -> tuple[Mapping[str, FeedRecord], Mapping[str, str]]:
        """Return the stored versions of these records, and the reasons of those stored as rejects."""
        with self.runtime.database.read() as session:
            known = store.records(
                session, self.feed_id, [one.external_id for one in upstream_records if one.external_id]
            )
            return known, store.reject_reasons(session, self.source_id, [one.digest for one in upstream_records])

    def advance(self, session: Session, position: Position | None, outcomes: Iterable[RowOutcome]) -> None:
        """Count ``outcomes`` and move the cursor, in the transaction of ``session``. Raises ``LeaseLost``."""
        feed = session.get(Feed, self.feed_id, populate_existing=True)
        assert feed is not None, "feeds are not deleted"
        outcomes = list(outcomes)
        tally = RowCounts(feed.created, feed.unchanged, feed.rejected, feed.corrected).count(outcomes)
        values: dict[str, Any] = {
            "created": tally.created, "unchanged": tally.unchanged, "rejected": tally.rejected,
            "corrected": tally.corrected, "newest_at": self.newest_at,
        }  # fmt: skip
        if position is not None:
            values["position"] = position
        self.hold(session, values)
        row = session.get(FeedPull, self.done.pull_id)
        assert row is not None, "it was stored at the beginning"
        pull_counts = RowCounts(row.created, row.unchanged, row.rejected, row.corrected).count(outcomes)
        row.created, row.unchanged = pull_counts.created, pull_counts.unchanged
        row.rejected, row.corrected = pull_counts.rejected, pull_counts.corrected
        row.pages += position is not None
        row.detail = self.detail
        session.add(row)

    def _remember(self, session: Session, results: Sequence[tuple[UpstreamRecord, RowOutcome]], now: datetime) -> None:
        """Store the version of each record that its ticket now has, and settle older rejects of the same record."""
        rows: dict[str, dict[str, Any]] = {}
        for one, outcome in results:
            if outcome.status != "rejected" and outcome.ticket_id is not None and one.external_id is not None:
                rows[one.external_id] = {
                    "feed_id": self.feed_id, "external_id": one.external_id, "ticket_id": outcome.ticket_id,
                    "updated_at": one.updated_at, "digest": one.digest,
                }  # fmt: skip
        store.remember(session, list(rows.values()))
        touched = [one.external_id for one, _ in results if one.external_id is not None]
        waiting: dict[str, list[Reject]] = {}
        for reject in store.open_rejects_of(session, self.source_id, touched):
            waiting.setdefault(str(reject.external_id), []).append(reject)
        for external_id, rejects in waiting.items():
            self._settle(session, rejects, rows.get(external_id), now)

    def _settle(
        self, session: Session, rejects: Sequence[Reject], known: Mapping[str, Any] | None, now: datetime
    ) -> None:
        """Settle the rejects of one record: only the latest version stays open, unless the ticket has a later one."""
        moments = {reject.id: self.reader.updated_at_of_raw(reject.raw, now) or OLDEST for reject in rejects}
        latest = max(rejects, key=lambda reject: (moments[reject.id], reject.id))
        behind = known is not None and moments[latest.id] < (known["updated_at"] or now)
        for reject in rejects:
            if known is not None and reject.digest == known["digest"]:
                state = "retried"
            elif reject is not latest or behind:
                state = "superseded"
            else:
                continue
            reject.state, reject.settled_at, reject.settled_by = state, now, self.actor
            reject.ticket_id = known["ticket_id"] if known is not None else None
            session.add(reject)

    def _finish(self, state: str) -> None:
        """Record the end of this session in the log and the feed: error, breaker, and released lease."""
        now = self.pace.now()
        self.done.state = state
        error = self.done.error
        error_data = {"code": error.code, "zh": error.message.zh[:500], "en": error.message.en[:500]} if error else None
        with self.runtime.database.write() as session:
            row = session.get(FeedPull, self.done.pull_id)
            assert row is not None, "it was stored at the beginning"
            row.state, row.finished_at, row.error, row.detail = state, now, error_data, self.detail
            row.retries = self.done.retries
            session.add(row)
            values: dict[str, Any] = {"lease_holder": None, "lease_until": None}
            if self.skew is not None:
                values["skew_seconds"] = self.skew
            if state == "failed":
                values["last_error"] = error_data
            if row.kind == "pull" and state == "done":
                values |= {"failures": 0, "open_until": None, "last_done_at": now, "last_error": None}
            elif row.kind == "pull" and state == "failed":
                values |= self._breaker(now)
            elif row.kind == "pull":
                values["last_started_at"] = self.before_started
            store.held(session, self.feed_id, self.holder, values)

    def _breaker(self, now: datetime) -> dict[str, Any]:
        """Return the failure count and the end of the break: by ``Retry-After``, or by exponential backoff."""
        limits = self.spec.limits
        failures = self.before_failures + 1
        wait = float(getattr(self.done.error, "wait", None) or 0)
        if failures >= limits.breaker_failures:
            doublings = min(failures - limits.breaker_failures, BREAKER_DOUBLINGS)
            wait = max(limits.breaker_seconds * 2**doublings, wait)
        return {"failures": failures, "open_until": now + timedelta(seconds=min(wait, LONGEST_BREAK)) if wait else None}


def begin(
    runtime: Runtime, name: str, pace: RequestPace, kind: str, actor: str, *, force: bool = False, if_due: bool = False
) -> PullSession:
    """Acquire the lease of the feed ``name`` and open its log. ``force``: even while its breaker is open; ``if_due``: only
    if it is due or requested. Raises NotFound, Conflict, and ``PullNotDue``."""
    now = pace.now()
    holder = holder_name()
    with runtime.database.write() as session:
        feed = store.by_name(session, name)
        if feed is None:
            raise NotFound(f"没有名为 {name} 的接入源", f"there is no feed {name!r}")
        if if_due and not feeds.is_due(feed, now):
            raise PullNotDue(f"接入源 {name} 刚由另一进程拉取", f"another process has just pulled the feed {name}")
        requested_by = feed.pull_asked_by if kind == "pull" else feed.reconcile_asked_by
        _check_can_begin(feed, now, runtime, force=force or requested_by is not None)
        spec = feed_spec(feed)
        last_started_at = feed.last_started_at
        if not store.take_lease(session, feed, holder, now, TERM, started=kind == "pull"):
            raise _busy(name)
        assert feed.id is not None, "it is stored"
        _end_abandoned(session, feed.id, now)
        row = FeedPull(feed_id=feed.id, kind=kind, started_at=now, actor=requested_by or actor)
        session.add(row)
        session.flush()
        assert row.id is not None, "it has been flushed"
        session.refresh(feed)
        work = PullSession(runtime, feed, spec, holder, row.id, pace, last_started_at)
        _ACTIVE.add(holder)
        return work


def _check_can_begin(feed: Feed, now: datetime, runtime: Runtime, *, force: bool) -> None:
    name = feed.name
    if not feed.active:
        raise Conflict(f"接入源 {name} 已停用", f"the feed {name} is switched off")
    if feed.open_until is not None and feed.open_until > now and not force:
        raise Conflict(
            f"接入源 {name} 连续失败 {feed.failures} 次，{_local(feed.open_until, runtime)} 之后再试（--force 立即试）",
            f"the feed {name} failed {feed.failures} times in a row; next try after "
            f"{_local(feed.open_until, runtime)} (--force: at once)",
        )
    holder = feed.lease_holder
    if holder is not None and feed.lease_until is not None and feed.lease_until > now and not is_gone(holder):
        raise _busy(name)


def _busy(name: str) -> Conflict:
    return Conflict(f"接入源 {name} 正在拉取", f"the feed {name} is being pulled already")


def _end_abandoned(session: Session, feed_id: int, now: datetime) -> None:
    """Mark running pulls of the feed as failed: their process died, or the lease could not have been acquired."""
    for row in store.running_pulls(session, feed_id):
        row.state, row.finished_at = "failed", now
        row.error = {"code": "abandoned", "zh": "拉取进程中断", "en": "the pulling process died"}
        session.add(row)


def _is_kept(one: UpstreamRecord, open_reasons: Mapping[str, str]) -> bool:
    """Return whether the record is already stored as a reject for the same reason."""
    return one.ticket is None and open_reasons.get(one.digest) == reason_of(one.errors)


def _local(moment: datetime, runtime: Runtime) -> str:
    return f"{moment.astimezone(runtime.settings.zone):%Y-%m-%d %H:%M:%S}"
