"""Rows of feeds: the lease of the pulling worker, the cursor committed with the data, the last version of each record."""

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
"""Seconds of a quarter of an hour: every time zone offset is a multiple of it."""


def by_name(session: Session, name: str) -> Feed | None:
    """The feed with the name ``name``, or None."""
    found: Feed | None = session.execute(select(Feed).where(col(Feed.name) == name)).scalar_one_or_none()
    return found


def by_id(session: Session, feed_id: int) -> Feed | None:
    """The feed with this id, or None."""
    return session.get(Feed, feed_id)


def all_feeds(session: Session) -> list[Feed]:
    """Every feed, by name."""
    return list(session.execute(select(Feed).order_by(col(Feed.name))).scalars())


def last_pulls(
    session: Session, feed_id: int, limit: int, *, kind: str | None = None, before: int | None = None
) -> list[FeedPull]:
    """The latest pulls and reconciliations of a feed (of one ``kind``; below the id ``before``), newest first."""
    query = select(FeedPull).where(col(FeedPull.feed_id) == feed_id)
    if kind is not None:
        query = query.where(col(FeedPull.kind) == kind)
    if before is not None:
        query = query.where(col(FeedPull.id) < before)
    return list(session.execute(query.order_by(col(FeedPull.id).desc()).limit(limit)).scalars())


def running_pulls(session: Session, feed_id: int) -> list[FeedPull]:
    """The running pulls of a feed, by its log."""
    query = select(FeedPull).where(col(FeedPull.feed_id) == feed_id, col(FeedPull.state) == "running")
    return list(session.execute(query).scalars())


def prune_pulls(session: Session, *, quiet_before: datetime, before: datetime) -> int:
    """Delete pulls begun before ``before``, and those without rows begun before ``quiet_before``; returns their number."""
    quiet = (
        (col(FeedPull.started_at) < quiet_before)
        & (col(FeedPull.kind) == "pull") & (col(FeedPull.state) == "done") & col(FeedPull.detail).is_(None)
        & (col(FeedPull.created) + col(FeedPull.corrected) + col(FeedPull.rejected) == 0)
    )  # fmt: skip
    done = session.execute(delete(FeedPull).where(quiet | (col(FeedPull.started_at) < before)))
    return int(done.rowcount)  # type: ignore[attr-defined]


def open_rejects(session: Session, source_id: int) -> int:
    """The number of open rejects of this source."""
    query = select(func.count()).select_from(Reject).where(
        col(Reject.source_id) == source_id, col(Reject.door) == "feed", col(Reject.state) == "open"
    )  # fmt: skip
    return int(session.execute(query).scalar_one())


def take_lease(session: Session, feed: Feed, holder: str, now: datetime, term: timedelta, *, started: bool) -> bool:
    """Acquire the feed's lease, if the holder is still the one in ``feed``; returns whether it was acquired. Clears the
    request it serves: a pull (``started``: it counts for the interval), or else a reconciliation."""
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
    """Set ``values`` on the feed if ``holder`` still has its lease; returns whether it has. The row stays locked."""
    done = session.execute(
        update(Feed).where(col(Feed.id) == feed_id, col(Feed.lease_holder) == holder).values(**values)
    )
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def records(session: Session, feed_id: int, external_ids: Iterable[str]) -> dict[str, FeedRecord]:
    """The last version of these records, for those that are tickets, by external id."""
    wanted = list(dict.fromkeys(external_ids))
    found: dict[str, FeedRecord] = {}
    for start in range(0, len(wanted), LOOKUP):
        query = select(FeedRecord).where(
            col(FeedRecord.feed_id) == feed_id, col(FeedRecord.external_id).in_(wanted[start : start + LOOKUP])
        )
        found |= {row.external_id: row for row in session.execute(query).scalars()}
    return found


def remember(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store the version of each record, replacing the earlier one. External ids must be unique."""
    if not rows:
        return
    postgres = session.get_bind().dialect.name == "postgresql"
    for start in range(0, len(rows), LOOKUP):
        some = list(rows[start : start + LOOKUP])
        insert: Any = (postgresql.insert if postgres else sqlite.insert)(FeedRecord).values(some)
        new = {name: insert.excluded[name] for name in ("ticket_id", "updated_at", "digest")}
        session.execute(insert.on_conflict_do_update(index_elements=["feed_id", "external_id"], set_=new))


def reject_reasons(session: Session, source_id: int, digests: Sequence[str]) -> dict[str, str]:
    """The reasons of the rejects, open or settled, with these digests, by digest."""
    found: dict[str, str] = {}
    for start in range(0, len(digests), LOOKUP):
        query = select(col(Reject.digest), col(Reject.reason)).where(
            col(Reject.source_id) == source_id, col(Reject.digest).in_(digests[start : start + LOOKUP]),
            col(Reject.door) == "feed",
        )  # fmt: skip
        found |= {row.digest: row.reason for row in session.execute(query)}
    return found


def open_rejects_of(session: Session, source_id: int, external_ids: Iterable[str]) -> list[Reject]:
    """The open rejects of a feed's records with these ids at their source, in order of arrival."""
    wanted = list(dict.fromkeys(external_ids))
    found: list[Reject] = []
    for start in range(0, len(wanted), LOOKUP):
        query = select(Reject).where(
            col(Reject.source_id) == source_id, col(Reject.external_id).in_(wanted[start : start + LOOKUP]),
            col(Reject.door) == "feed", col(Reject.state) == "open",
        )  # fmt: skip
        found += session.execute(query.order_by(col(Reject.id))).scalars()
    return found


def intake_by_quarter(session: Session, feed_id: int, since: datetime) -> list[tuple[datetime, int, int, int]]:
    """The row counts of pulls begun since ``since``, by quarter of an hour: its start, created, corrected, rejected."""
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
    """The external ids of the tickets of a source received from ``since`` until before ``until``."""
    query = select(col(Ticket.external_id)).where(
        col(Ticket.source_id) == source_id, col(Ticket.received_at) >= since, col(Ticket.received_at) < until
    )
    return set(session.execute(query).scalars())


def ids_known(session: Session, source_id: int, external_ids: Sequence[str]) -> set[str]:
    """Which of these external ids of a source are tickets, received on any day."""
    found: set[str] = set()
    for start in range(0, len(external_ids), LOOKUP):
        query = select(col(Ticket.external_id)).where(
            col(Ticket.source_id) == source_id, col(Ticket.external_id).in_(external_ids[start : start + LOOKUP])
        )
        found |= set(session.execute(query).scalars())
    return found
