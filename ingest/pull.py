"""Pulling a feed: pages are taken in one by one, each in one transaction with its rejects and with the cursor behind it.

So a pull that is killed anywhere goes on behind the last page whose fate is committed, and what comes again is known:

* the very same record as before is ``unchanged`` without another look, and so is an older version of it;
* another version is a correction of its ticket (``ingest.feed_updates``);
* a record that is no ticket is a reject, once, however often it comes; once it can be taken in, its reject is settled.

A feed is pulled by one process at a time: the lease in its row. Whoever lost it cannot commit any more.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session

from app import clock
from app.domain.errors import Conflict, DubanError, FieldProblem, NotFound
from app.models import Feed, FeedPull
from app.runtime import Runtime
from app.services.rejects import Place, digest_of
from app.store import feeds as store
from ingest.batch import raw_of
from ingest.chunks import Door, Fate, Line, Tally, take_in
from ingest.feed_spec import FeedSpec
from ingest.feed_updates import FEED, feed_spec, following
from ingest.importer import import_file
from ingest.mapping import Mapper
from ingest.problems import problem
from ingest.profile import load_profile
from ingest.retry import own_profiles
from ingest.schema import HistoricalTicket, future_problem
from ingest.sources.folder import DONE, FAILED, put_away, waiting_files
from ingest.sources.http import Pace, Upstream
from ingest.sources.jsonrows import row_of
from ingest.sources.open311 import Open311Feed
from ingest.sources.rest import Page, Position, Record, RestFeed, member
from ingest.values import MomentReader

TERM = timedelta(minutes=10)
"""How long a lease lasts without a sign of life; renewed before every request and with every page."""
BREAKER_DOUBLINGS = 6


@dataclass
class Pulled:
    """What a pull came to."""

    pull_id: int
    state: str
    pages: int = 0
    retries: int = 0
    tally: Tally = field(default_factory=Tally)
    error: DubanError | None = None

    def view(self, lang: str) -> dict[str, Any]:
        """As JSON, its message in ``lang``."""
        tally = self.tally
        return {
            "pull": self.pull_id, "state": self.state, "pages": self.pages, "retries": self.retries,
            "created": tally.created, "corrected": tally.corrected, "unchanged": tally.unchanged,
            "rejected": tally.rejected, "error": self.error.text(lang) if self.error else None,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Said:
    """One record on its way in."""

    number: int
    raw: str
    digest: str
    updated_at: datetime | None
    ticket: HistoricalTicket | None
    errors: Sequence[FieldProblem]


class Lost(Conflict):
    """Another process has taken the feed over."""


def holder_name() -> str:
    """Who pulls: host, process, and a word that no other pull has."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def is_gone(holder: str) -> bool:
    """Whether ``holder`` was a process of this host that does not exist any more: its lease need not be waited for."""
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname()[:60] or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def pull(
    runtime: Runtime,
    name: str,
    *,
    actor: str = "system:duban",
    force: bool = False,
    pace: Pace | None = None,
    on_page: Callable[[Pulled], None] | None = None,
) -> Pulled:
    """Pull the feed ``name`` to its upstream's end; blocks. ``force``: also while its breaker is open.

    An upstream that fails is told of in the answer (``state`` failed), and what came before it is stored. Raises
    NotFound, and Conflict where another pull is under way, or the breaker is open.
    """
    pace = pace or Pace(clock.now)
    work = begin(runtime, name, pace, "pull", actor, force=force)
    return work.run(lambda: _pull_folder(work) if work.spec.kind == "folder" else _pull_pages(work, on_page))


class Work:
    """One pull or reconciliation under way: the lease, the log row, and the feed's definition."""

    def __init__(self, runtime: Runtime, feed: Feed, spec: FeedSpec, holder: str, pull_id: int, pace: Pace) -> None:
        assert feed.id is not None, "it is stored"
        self.runtime, self.spec, self.holder, self.pace = runtime, spec, holder, pace
        self.feed_id, self.source_id = feed.id, feed.source_id
        self.position: Position = dict(feed.position)
        self.newest_at = feed.newest_at
        self.before_failures = feed.failures
        self.skew: int | None = None
        self.detail: dict[str, Any] | None = None
        self.done = Pulled(pull_id, "running")
        self.actor = FEED + spec.name

    def run(self, job: Callable[[], None]) -> Pulled:
        """Do ``job`` and write what became of it, whatever that is; gives the lease back."""
        try:
            job()
        except DubanError as error:
            self.done.error = error
            if isinstance(error, Lost):
                raise
            self._finish("failed")
        except BaseException as error:
            self.done.error = DubanError(f"内部错误：{type(error).__name__}", f"internal error: {type(error).__name__}")
            self._finish("failed")
            raise
        else:
            self._finish("done")
        return self.done

    def renew(self) -> None:
        """Hold the lease for another term. Raises ``Lost``."""
        with self.runtime.database.write() as session:
            self.hold(session, {})

    def hold(self, session: Session, values: Mapping[str, Any]) -> None:
        """Set ``values`` on the feed's row, in the transaction of ``session``, if this pull still has its lease."""
        until = self.pace.now() + TERM
        if not store.held(session, self.feed_id, self.holder, {**values, "lease_until": until}):
            raise Lost("该接入源已由另一进程接管", "another process has taken this feed over")

    def take(self, records: Sequence[Record], position: Position | None) -> Tally:
        """Take records in, and move the cursor to ``position`` with the last of them (None: leave it)."""
        now = self.pace.now()
        said = self._read(records, now)
        known = self._known(said)
        fresh = [one for one in said if not _is_known(one, known)]
        skipped = [Fate("unchanged")] * (len(said) - len(fresh))
        by_number = {one.number: one for one in fresh}
        lines = [Line(one.number, one.ticket, one.errors, _raw(one)) for one in fresh]
        newest = max((one.updated_at for one in said if one.ticket and one.updated_at), default=None)
        if newest and (self.newest_at is None or newest > self.newest_at):
            self.newest_at = newest
        tally = Tally()

        def at_end(session: Session, part: Sequence[Line], fates: Sequence[Fate]) -> None:
            last = not lines or part[-1] is lines[-1]
            self._remember(
                session, [(by_number[line.number], fate) for line, fate in zip(part, fates, strict=True)], now
            )
            self._advance(session, position if last else None, [*fates, *(skipped if last else ())])

        door = Door(Place("feed", self.source_id, None, self.actor), self.spec.source.code, self.actor, history=True,
                    live=True, follow=following(self.actor))  # fmt: skip
        if not lines:
            with self.runtime.database.write() as session:
                at_end(session, (), ())
            tally = tally.count(skipped)
        for part, fates in take_in(self.runtime, door, lines, now, at_end) if lines else ():
            tally = tally.count([*fates, *(skipped if part[-1] is lines[-1] else ())])
        self.done.tally = _sum(self.done.tally, tally)
        return tally

    def _advance(self, session: Session, position: Position | None, fates: Sequence[Fate]) -> None:
        feed = session.get(Feed, self.feed_id, populate_existing=True)
        assert feed is not None, "feeds are not deleted"
        tally = Tally(feed.created, feed.unchanged, feed.rejected, feed.corrected).count(fates)
        values: dict[str, Any] = {
            "created": tally.created, "unchanged": tally.unchanged, "rejected": tally.rejected,
            "corrected": tally.corrected, "newest_at": self.newest_at,
        }  # fmt: skip
        if position is not None:
            values["position"] = position
        self.hold(session, values)
        row = session.get(FeedPull, self.done.pull_id)
        assert row is not None, "it was stored at the beginning"
        mine = Tally(row.created, row.unchanged, row.rejected, row.corrected).count(fates)
        row.created, row.unchanged = mine.created, mine.unchanged
        row.rejected, row.corrected = mine.rejected, mine.corrected
        row.pages += position is not None
        session.add(row)

    def _remember(self, session: Session, taken: Sequence[tuple[_Said, Fate]], now: datetime) -> None:
        rows: dict[str, dict[str, Any]] = {}
        settled: dict[str, int] = {}
        for one, fate in taken:
            if fate.status == "rejected" or fate.ticket_id is None or one.ticket is None:
                continue
            rows[one.ticket.external_id] = {
                "feed_id": self.feed_id, "external_id": one.ticket.external_id, "ticket_id": fate.ticket_id,
                "updated_at": one.updated_at, "digest": one.digest,
            }  # fmt: skip
            settled[one.digest] = fate.ticket_id
        store.remember(session, list(rows.values()))
        store.settle_rejects(session, self.source_id, settled, self.actor, now)

    def _known(self, said: Sequence[_Said]) -> dict[str, Any]:
        with self.runtime.database.read() as session:
            return store.records(session, self.feed_id, [one.ticket.external_id for one in said if one.ticket])

    def _read(self, records: Sequence[Record], now: datetime) -> list[_Said]:
        """Every record read by the mapping, older versions first."""
        profile = self.spec.profile()
        wanted = profile.column_names()
        read_moment = MomentReader(profile.times, ZoneInfo(profile.time_zone))
        mapper: Mapper | None = None
        found: list[_Said] = []
        for number, record in enumerate(records, 1):
            raw = raw_of(record)
            ticket: HistoricalTicket | None = None
            errors: Sequence[FieldProblem] = (problem("model_type"),)
            if isinstance(record, Mapping):
                columns, row = row_of(number, record, wanted)
                mapper = mapper or Mapper(profile, columns)
                mapped = mapper.map(row)
                if isinstance(mapped, HistoricalTicket):
                    early = future_problem(mapped, now)
                    ticket, errors = (None, (early,)) if early else (mapped, ())
                else:
                    errors = mapped
            updated = _moment(member(record, self.spec.updated), read_moment) if self.spec.updated else None
            found.append(_Said(number, raw, digest_of(raw), updated, ticket, errors))
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda one: one.updated_at or oldest)

    def _finish(self, state: str) -> None:
        """Write the end of this work into the log and the feed: the breaker, the error, the lease given back."""
        now = self.pace.now()
        self.done.state = state
        error = self.done.error
        told = {"code": error.code, "zh": error.zh[:500], "en": error.en[:500]} if error else None
        with self.runtime.database.write() as session:
            row = session.get(FeedPull, self.done.pull_id)
            assert row is not None, "it was stored at the beginning"
            row.state, row.finished_at, row.error, row.detail = state, now, told, self.detail
            row.retries = self.done.retries
            session.add(row)
            values: dict[str, Any] = {"lease_holder": None, "lease_until": None, "last_error": told}
            if self.skew is not None:
                values["skew_seconds"] = self.skew
            if row.kind == "pull" and state == "done":
                values |= {"failures": 0, "open_until": None, "last_done_at": now}
            elif row.kind == "pull":
                values |= self._breaker(now)
            store.held(session, self.feed_id, self.holder, values)

    def _breaker(self, now: datetime) -> dict[str, Any]:
        limits = self.spec.limits
        failures = self.before_failures + 1
        if failures < limits.breaker_failures:
            return {"failures": failures}
        doublings = min(failures - limits.breaker_failures, BREAKER_DOUBLINGS)
        wait = max(limits.breaker_seconds * 2**doublings, getattr(self.done.error, "wait", None) or 0)
        return {"failures": failures, "open_until": now + timedelta(seconds=wait)}


def begin(runtime: Runtime, name: str, pace: Pace, kind: str, actor: str, *, force: bool = False) -> Work:
    """Take the lease of the feed ``name`` and open its log. Raises NotFound and Conflict."""
    now = pace.now()
    holder = holder_name()
    with runtime.database.write() as session:
        feed = store.by_name(session, name)
        if feed is None:
            raise NotFound(f"没有名为 {name} 的接入源", f"there is no feed {name!r}")
        spec = feed_spec(feed)
        if not feed.active:
            raise Conflict(f"接入源 {name} 已停用", f"the feed {name} is switched off")
        if feed.open_until is not None and feed.open_until > now and not force:
            raise Conflict(
                f"接入源 {name} 连续失败 {feed.failures} 次，{_local(feed.open_until, runtime)} 之后再试（--force 立即试）",
                f"the feed {name} failed {feed.failures} times in a row; next try after "
                f"{_local(feed.open_until, runtime)} (--force: at once)",
            )
        before = feed.lease_holder
        if before is not None and feed.lease_until is not None and feed.lease_until > now and not is_gone(before):
            raise Conflict(f"接入源 {name} 正在拉取", f"the feed {name} is being pulled already")
        if not store.take_lease(session, feed, holder, now, TERM):
            raise Conflict(f"接入源 {name} 正在拉取", f"the feed {name} is being pulled already")
        assert feed.id is not None, "it is stored"
        _end_abandoned(session, feed.id, now)
        row = FeedPull(feed_id=feed.id, kind=kind, started_at=now, actor=actor)
        session.add(row)
        session.flush()
        assert row.id is not None, "it has been flushed"
        session.refresh(feed)
        return Work(runtime, feed, spec, holder, row.id, pace)


def _end_abandoned(session: Session, feed_id: int, now: datetime) -> None:
    """Pulls that never came to an end: their process died, else the lease would not be ours."""
    for row in store.last_pulls(session, feed_id, 5):
        if row.state == "running":
            row.state, row.finished_at = "failed", now
            row.error = {"code": "abandoned", "zh": "拉取进程中断", "en": "the pulling process died"}
            session.add(row)


def source_of(work: Work, upstream: Upstream) -> RestFeed | Open311Feed:
    """The reader of the feed's kind."""
    return Open311Feed(work.spec, upstream) if work.spec.kind == "open311" else RestFeed(work.spec, upstream)


def _pull_pages(work: Work, on_page: Callable[[Pulled], None] | None) -> None:
    with Upstream(work.spec, work.pace, work.renew) as upstream:
        try:
            for page in source_of(work, upstream).pages(work.position, work.pace.now()):
                work.take(page.records, page.position)
                work.done.pages += 1
                work.done.retries = upstream.retries
                if on_page is not None:
                    on_page(work.done)
        finally:
            work.done.retries, work.skew = upstream.retries, upstream.skew_seconds


def _pull_folder(work: Work) -> None:
    """Every file that waits, through the importer, which keeps its own position; then out of the way."""
    folder = work.spec.folder
    assert folder is not None, "checked when the spec was read"
    profile = load_profile(folder.profile, own_profiles(work.runtime))
    failed: list[str] = []
    for path in list(waiting_files(folder, work.pace.now())):
        work.renew()
        now = work.pace.now()
        try:
            done = import_file(
                work.runtime, path, profile, now, source_code=work.spec.source.code, live=folder.live,
                on_progress=lambda _: work.renew(),
            )  # fmt: skip
        except Lost:
            raise
        except DubanError as error:
            put_away(path, FAILED, now)
            failed.append(f"{path.name}: {error.en}")
            work.detail = {"failed": failed[-50:]}
            continue
        fates = [*_fates("created", done.tally.created), *_fates("unchanged", done.tally.unchanged),
                 *_fates("rejected", done.tally.rejected)]  # fmt: skip
        with work.runtime.database.write() as session:
            work._advance(session, {"file": path.name}, fates)
        work.done.tally = _sum(work.done.tally, done.tally)
        work.done.pages += 1
        put_away(path, DONE, now)


def _fates(status: Any, count: int) -> Iterator[Fate]:
    return (Fate(status) for _ in range(count))


def _is_known(one: _Said, known: Mapping[str, Any]) -> bool:
    """Whether the stored ticket has heard this already: the very record, or a later version of it."""
    row = known.get(one.ticket.external_id) if one.ticket else None
    if row is None:
        return False
    if row.digest == one.digest:
        return True
    return one.updated_at is not None and row.updated_at is not None and one.updated_at < row.updated_at


def _moment(value: object, read: MomentReader) -> datetime | None:
    """When the record was changed; none where that cannot be read, which is no reason to refuse it."""
    if value is None:
        return None
    try:
        return read(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _raw(one: _Said) -> Callable[[], str]:
    return lambda: one.raw


def _sum(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.created + other.created,
        one.unchanged + other.unchanged,
        one.rejected + other.rejected,
        one.corrected + other.corrected,
    )


def _local(moment: datetime, runtime: Runtime) -> str:
    return f"{moment.astimezone(runtime.settings.zone):%Y-%m-%d %H:%M:%S}"


__all__ = ["Page", "Pulled", "Work", "begin", "pull", "source_of"]
