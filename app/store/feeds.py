"""Rows of feeds: the lease of whoever pulls, the cursor that moves with the data, what each record last said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, cast, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from app.models import Feed, FeedPull, FeedRecord, Reject, Ticket
from app.models.types import EPOCH

LOOKUP = 500
QUARTER = 900
"""Seconds of a quarter of an hour: no time zone is off by less."""


def by_name(session: Session, name: str) -> Feed | None:
    """The feed called ``name``."""
    found: Feed | None = session.execute(select(Feed).where(col(Feed.name) == name)).scalar_one_or_none()
    return found


def by_id(session: Session, feed_id: int) -> Feed | None:
    """The feed with this id."""
    return session.get(Feed, feed_id)


def all_feeds(session: Session) -> list[Feed]:
    """Every feed, by name."""
    return list(session.execute(select(Feed).order_by(col(Feed.name))).scalars())


def last_pulls(
    session: Session, feed_id: int, limit: int, *, kind: str | None = None, before: int | None = None
) -> list[FeedPull]:
    """The latest pulls and reconciliations of a feed (of one ``kind``; below the id ``before``), the newest first."""
    query = select(FeedPull).where(col(FeedPull.feed_id) == feed_id)
    if kind is not None:
        query = query.where(col(FeedPull.kind) == kind)
    if before is not None:
        query = query.where(col(FeedPull.id) < before)
    return list(session.execute(query.order_by(col(FeedPull.id).desc()).limit(limit)).scalars())


def running_pulls(session: Session, feed_id: int) -> list[FeedPull]:
    """What is under way of a feed, by its log."""
    query = select(FeedPull).where(col(FeedPull.feed_id) == feed_id, col(FeedPull.state) == "running")
    return list(session.execute(query).scalars())


def prune_pulls(session: Session, *, quiet_before: datetime, before: datetime) -> int:
    """Delete pulls from the log: those begun before ``before``, and such as brought nothing before ``quiet_before``."""
    quiet = (
        (col(FeedPull.started_at) < quiet_before)
        & (col(FeedPull.kind) == "pull") & (col(FeedPull.state) == "done") & col(FeedPull.detail).is_(None)
        & (col(FeedPull.created) + col(FeedPull.corrected) + col(FeedPull.rejected) == 0)
    )  # fmt: skip
    done = session.execute(delete(FeedPull).where(quiet | (col(FeedPull.started_at) < before)))
    return int(done.rowcount)  # type: ignore[attr-defined]


def open_rejects(session: Session, source_id: int) -> int:
    """How many rejects of this source wait for somebody."""
    query = select(func.count()).select_from(Reject).where(
        col(Reject.source_id) == source_id, col(Reject.door) == "feed", col(Reject.state) == "open"
    )  # fmt: skip
    return int(session.execute(query).scalar_one())


def take_lease(session: Session, feed: Feed, holder: str, now: datetime, term: timedelta, *, started: bool) -> bool:
    """Take the feed's lease from the holder that ``feed`` was read with; False where another was quicker. What was
    asked for is taken on with it: a pull (``started``: it counts as one for the interval), or else a reconciliation."""
    before = col(Feed.lease_holder)
    unmoved = before.is_(None) if feed.lease_holder is None else before == feed.lease_holder
    values: dict[str, Any] = {"lease_holder": holder, "lease_until": now + term}
    if started:
        values |= {"last_started_at": now, "pull_asked_by": None}
    else:
        values |= {"reconcile_asked": None, "reconcile_asked_by": None}
    done = session.execute(update(Feed).where(col(Feed.id) == feed.id, unmoved).values(**values))
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def held(session: Session, feed_id: int, holder: str, values: Mapping[str, Any]) -> bool:
    """Set ``values`` on the feed if ``holder`` still has its lease; whether it has. The row stays locked."""
    done = session.execute(
        update(Feed).where(col(Feed.id) == feed_id, col(Feed.lease_holder) == holder).values(**values)
    )
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def records(session: Session, feed_id: int, external_ids: Iterable[str]) -> dict[str, FeedRecord]:
    """What the feed last said of these records, of those that are tickets."""
    wanted = list(dict.fromkeys(external_ids))
    found: dict[str, FeedRecord] = {}
    for start in range(0, len(wanted), LOOKUP):
        query = select(FeedRecord).where(
            col(FeedRecord.feed_id) == feed_id, col(FeedRecord.external_id).in_(wanted[start : start + LOOKUP])
        )
        found |= {row.external_id: row for row in session.execute(query).scalars()}
    return found


def remember(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what was said of each record; what was kept of it before is replaced. No record may come twice."""
    if not rows:
        return
    postgres = session.get_bind().dialect.name == "postgresql"
    for start in range(0, len(rows), LOOKUP):
        some = list(rows[start : start + LOOKUP])
        insert: Any = (postgresql.insert if postgres else sqlite.insert)(FeedRecord).values(some)
        new = {name: insert.excluded[name] for name in ("ticket_id", "updated_at", "digest")}
        session.execute(insert.on_conflict_do_update(index_elements=["feed_id", "external_id"], set_=new))


def kept_reasons(session: Session, source_id: int, digests: Sequence[str]) -> dict[str, str]:
    """The reasons of the rejects, settled or not, that records with these digests are, by digest."""
    found: dict[str, str] = {}
    for start in range(0, len(digests), LOOKUP):
        query = select(col(Reject.digest), col(Reject.reason)).where(
            col(Reject.source_id) == source_id, col(Reject.digest).in_(digests[start : start + LOOKUP]),
            col(Reject.door) == "feed",
        )  # fmt: skip
        found |= {row.digest: row.reason for row in session.execute(query)}
    return found


def open_rejects_of(session: Session, source_id: int, external_ids: Iterable[str]) -> list[Reject]:
    """The open rejects of a feed's records with these ids at their source, in the order in which they came."""
    wanted = list(dict.fromkeys(external_ids))
    found: list[Reject] = []
    for start in range(0, len(wanted), LOOKUP):
        query = select(Reject).where(
            col(Reject.source_id) == source_id, col(Reject.external_id).in_(wanted[start : start + LOOKUP]),
            col(Reject.door) == "feed", col(Reject.state) == "open",
        )  # fmt: skip
        found += session.execute(query.order_by(col(Reject.id))).scalars()
    return found


def brought(session: Session, feed_id: int, since: datetime) -> list[tuple[datetime, int, int, int]]:
    """What pulls begun since then brought, by quarters of an hour: its beginning, created, corrected, rejected."""
    started: Any = col(FeedPull.started_at)
    if session.get_bind().dialect.name == "postgresql":
        quarter: Any = cast(func.floor(func.extract("epoch", started) / QUARTER), BigInteger)
    else:
        quarter = cast(started, BigInteger) // (QUARTER * 1_000_000)
    sums = [func.sum(col(column)) for column in (FeedPull.created, FeedPull.corrected, FeedPull.rejected)]
    query = select(quarter, *sums).where(col(FeedPull.feed_id) == feed_id, started >= since).group_by(quarter)
    return [
        (EPOCH + timedelta(seconds=QUARTER * int(number)), int(created), int(corrected), int(rejected))
        for number, created, corrected, rejected in session.execute(query.order_by(quarter))
    ]


def ids_received(session: Session, source_id: int, since: datetime, until: datetime) -> set[str]:
    """The external ids of the tickets of a source that were received in a span, its end left out."""
    query = select(col(Ticket.external_id)).where(
        col(Ticket.source_id) == source_id, col(Ticket.received_at) >= since, col(Ticket.received_at) < until
    )
    return set(session.execute(query).scalars())


def ids_known(session: Session, source_id: int, external_ids: Sequence[str]) -> set[str]:
    """Which of these external ids of a source are tickets, of whatever day."""
    found: set[str] = set()
    for start in range(0, len(external_ids), LOOKUP):
        query = select(col(Ticket.external_id)).where(
            col(Ticket.source_id) == source_id, col(Ticket.external_id).in_(external_ids[start : start + LOOKUP])
        )
        found |= set(session.execute(query).scalars())
    return found
