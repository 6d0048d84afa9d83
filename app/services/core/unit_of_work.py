"""The unit of work: one transaction of one use case, with what is written at its very end.

``complete`` is the only place where a use case commits. Locks are acquired in one order everywhere, to avoid deadlocks:

0. trees and the parents of tickets (``store.reference.lock_tree``, ``store.tickets.lock_parents``);
1. the rows of tickets (``store.lock_ticket``, ``claim_due``), before anything is decided;
2. the counters of order numbers (``orders.book``);
3. the keys of outbox messages, in ``complete``: another transaction may hold one until its commit;
4. the counter of the alert feed, in ``complete``: it stays locked until the commit, which keeps the feed's numbers
   without gaps and in the order of commit, so it is the last lock taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert
from sqlmodel import Session

from app.db import Database
from app.models import AlertFeed
from app.services.core.reference import Reference, ReferenceCache
from app.store import outbox
from app.store.ids import take

FEED_COUNTER = "alert_feed"


@dataclass(frozen=True, slots=True)
class UnitOfWork:
    """A writing session, the reference data in force, the moment of the use case, and what is pending until the commit.

    ``now`` is read once, when the transaction has begun."""

    session: Session
    ref: Reference
    now: datetime
    _feed: list[tuple[int, str, datetime]] = field(default_factory=list)
    _outbox: list[dict[str, Any]] = field(default_factory=list)

    def at(self, now: datetime) -> UnitOfWork:
        """The same transaction at another moment, for histories played back (the demo): what is pending is shared."""
        return replace(self, now=now)

    def note_alert(self, alert_id: int | None, kind: str) -> None:
        """Add an entry to the alert feed at the commit: ``kind`` (raised, acked, resolved) happened to an alert."""
        assert alert_id is not None, "an alert is stored before it is noted"
        self._feed.append((alert_id, kind, self.now))

    def enqueue(
        self, kind: str, dedupe_key: str, audience: Sequence[str], *, payload: Mapping[str, Any], expires_at: datetime | None,
        ticket_id: int | None = None, alert_id: int | None = None, unit_id: int | None = None,
        channel: str | None = None, not_before: datetime | None = None,
    ) -> None:  # fmt: skip
        """Write a message into the outbox at the commit, at most once for ``dedupe_key``; nobody in ``audience``: none.

        ``payload``: JSON values, no personal data; ``channel`` None: every configured one; ``not_before`` None: now."""
        if audience:
            self._outbox.append(
                {
                    "kind": kind, "dedupe_key": dedupe_key, "audience": list(audience), "unit_id": unit_id,
                    "ticket_id": ticket_id, "alert_id": alert_id, "channel": channel, "payload": dict(payload),
                    "created_at": self.now, "not_before": not_before or self.now, "expires_at": expires_at,
                    "state": "pending", "attempts": 0,
                }
            )  # fmt: skip

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the work that is rolled back by itself, with what it left pending, where the block raises."""
        entries, messages = len(self._feed), len(self._outbox)
        try:
            with self.session.begin_nested():
                yield
        except BaseException:
            del self._feed[entries:]
            del self._outbox[messages:]
            raise

    def complete(self) -> None:
        """Write the pending rows and commit. The feed's counter is the last lock taken (see the module)."""
        self.session.flush()
        if self._outbox:
            outbox.write(self.session, self._outbox)
        self._publish_feed()
        self.session.commit()

    def _publish_feed(self) -> None:
        if not self._feed:
            return
        first = take(self.session, FEED_COUNTER, len(self._feed)) - len(self._feed) + 1
        self.session.execute(
            insert(AlertFeed.__table__),  # type: ignore[attr-defined]
            [{"id": first + n, "alert_id": a, "kind": kind, "at": at} for n, (a, kind, at) in enumerate(self._feed)],
        )


@contextmanager
def unit_of_work(
    database: Database,
    references: ReferenceCache,
    now: datetime | Callable[[], datetime],
    connection: Connection | None = None,
) -> Iterator[UnitOfWork]:
    """A unit of work, completed if the block ends well, and rolled back whole if it does not.

    ``now``: the moment, or a clock that is read once the transaction has begun; ``connection``: see ``Database.transaction``.
    """
    with database.transaction(connection) as session:
        ref = references.get(session)
        uow = UnitOfWork(session, ref, now() if callable(now) else now)
        yield uow
        uow.complete()
