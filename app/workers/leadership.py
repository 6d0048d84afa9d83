"""Who runs the periodic jobs: a lease row with an epoch. Sweeping needs no leader, periodic jobs do.

The holder renews its lease each second; one that dies or freezes is followed when the lease runs out. A process never
believes in its own lease longer than it has been renewed, by a clock that cannot be set back; and ``confirm`` asks the
row itself, inside the transaction that is about to act.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from threading import Event, Thread

from sqlalchemy import case, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from app import clock
from app.db import Database
from app.logging import get_logger
from app.models import Lease
from app.workers.within import try_within

logger = get_logger("duban.leadership")
TERM_SECONDS = 3.0
RENEW_SECONDS = 1.0
EMBEDDED_FACTOR = 10
"""On SQLite, where one process is the rule and each renewal is a commit to disk, ten times longer."""


class Leadership:
    """One process's claim on the lease ``name``."""

    def __init__(self, database: Database, holder: str, name: str = "periodic") -> None:
        self._database = database
        self._name = name
        self.holder = holder
        factor = 1 if database.is_postgresql else EMBEDDED_FACTOR
        self.term = timedelta(seconds=TERM_SECONDS * factor)
        self.renew_seconds = RENEW_SECONDS * factor
        self._epoch: int | None = None
        self._good_until = 0.0
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="duban-leadership", daemon=True)

    @property
    def epoch(self) -> int | None:
        """The epoch of the lease this process holds; none where it does not hold it, or could not renew it in time."""
        return self._epoch if time.monotonic() < self._good_until else None

    def beat(self, now: datetime) -> int | None:
        """Take the lease or renew it; the epoch, or none where another holds it."""
        before = self._epoch
        asked = time.monotonic()  # counted from before the question: the answer may be slow
        with self._database.write() as session:
            epoch = self._take(session, now)
        self._epoch = epoch
        self._good_until = asked + self.term.total_seconds() if epoch is not None else 0.0
        if before is not None and epoch != before:
            logger.warning("lease lost", lease=self._name, holder=self.holder, epoch=before)
        if epoch is not None and epoch != before:
            logger.info("lease acquired", lease=self._name, holder=self.holder, epoch=epoch)
        return epoch

    def confirm(self, session: Session, epoch: int) -> bool:
        """Whether the lease is still this process's in ``epoch``, as the row says; the row stays locked meanwhile."""
        row = session.get(Lease, self._name, with_for_update=self._database.is_postgresql or None)
        return row is not None and row.holder == self.holder and row.epoch == epoch

    def _take(self, session: Session, now: datetime) -> int | None:
        lease = col(Lease.holder)
        free = (lease == self.holder) | (col(Lease.expires_at) <= now)
        taken = update(Lease).where(col(Lease.name) == self._name, free).values(
            epoch=case((lease == self.holder, col(Lease.epoch)), else_=col(Lease.epoch) + 1),
            holder=self.holder,
            expires_at=now + self.term,
        ).returning(col(Lease.epoch))  # fmt: skip
        epoch = session.execute(taken).scalar_one_or_none()
        if epoch is not None:
            return int(epoch)
        write = postgresql.insert(Lease) if self._database.is_postgresql else sqlite.insert(Lease)
        fresh = write.values(name=self._name, holder=self.holder, epoch=1, expires_at=now + self.term)
        fresh = fresh.on_conflict_do_nothing(index_elements=["name"])
        return session.execute(fresh.returning(col(Lease.epoch))).scalar_one_or_none()

    def start(self) -> None:
        """Begin to claim and renew."""
        self._thread.start()

    def stop(self, patience: float = 60.0) -> None:
        """Give the lease up at once, so that another need not wait for it to run out; which it does by itself where the
        database does not answer within ``patience`` seconds."""
        self._stop.set()
        try_within(patience, "release lease", self._give_up)

    def _give_up(self) -> None:
        if self._thread.is_alive():
            self._thread.join()
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return
        with self._database.write() as session:
            row = session.get(Lease, self._name, with_for_update=self._database.is_postgresql or None)
            if row is not None and row.holder == self.holder and row.epoch == epoch:
                row.expires_at = clock.now()
                session.add(row)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.beat(clock.now())
            except Exception:  # without the database there is no lease: ``epoch`` runs out by itself
                logger.exception("lease renewal failed; retrying", lease=self._name, delay=self.renew_seconds)
            self._stop.wait(self.renew_seconds)
