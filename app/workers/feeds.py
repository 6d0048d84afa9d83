"""Pull feeds in the background, each when its interval has passed, by one worker at a time; reconcile each day the day after.

Pulling needs no leader: the lease of a feed decides which process pulls it, and a starting pull checks again that it is due.
Reconciliation is a job of the leader; missed days are made up.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from threading import Event, Lock, Thread
from zoneinfo import ZoneInfo

from app import clock
from app.errors import Conflict, DubanError
from app.logging import context, get_logger
from app.runtime import Runtime
from app.services.intake import feeds
from app.store import feeds as store
from app.workers.scheduler import Job, register
from ingest.connectors.http import RequestPace
from ingest.feeds.pull import pull
from ingest.feeds.reconcile import reconcile

logger = get_logger("duban.feeds")
LOOK_SECONDS = 2.0
AT_ONCE = 4
"""Feeds that one process works on at the same time: one slow upstream holds up none but itself."""
SETTLED = timedelta(minutes=30)
"""After midnight, before the day before is compared: the last records of a day come a little later."""
MADE_UP_DAYS = 7
QUIET_KEPT, KEPT = timedelta(days=2), timedelta(days=400)
"""How long the log keeps pulls without rows, and all others."""


class Puller:
    """Pulls what is due, in threads of its own."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stop = Event()
        self._lock = Lock()
        self._working: dict[str, Thread] = {}
        self._thread = Thread(target=self._loop, name="duban-feeds", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def tell(self) -> None:
        """Begin nothing more, and let what is under way end with the page it is at."""
        self._stop.set()

    def stop(self, patience: float) -> bool:
        """Wait so many seconds for the pages under way; whether they have come to their end. What is cut off goes on
        from the last page that was committed."""
        self.tell()
        ends = time.monotonic() + patience
        with self._lock:
            threads = [self._thread, *self._working.values()]
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, ends - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def waiting(self, now: datetime) -> list[tuple[str, date | None]]:
        """The feeds to be worked on: to be pulled, or, with a day, to be compared."""
        with self._runtime.database.read() as session:
            asked = [(name, date.fromisoformat(day)) for name, day in feeds.requested_reconciliations(session)]
            return [*asked, *((name, None) for name in feeds.due(session, now))]

    def one(self, name: str, day: date | None) -> bool:
        """Work on one feed; whether anything was done: not where another process is at it, or was just before."""
        pace = RequestPace(clock.now, sleep=self._sleep)
        try:
            if day is not None:
                reconcile(self._runtime, name, day, pace=pace, stop=self._stop.is_set)
            else:
                done = pull(self._runtime, name, if_due=True, pace=pace, stop=self._stop.is_set)
                if done.error is not None:
                    logger.warning("feed pull failed", feed=name, reason=done.error.message.en)
        except Conflict as busy:
            logger.debug("feed busy", feed=name, reason=busy.message.en)
            return False
        except DubanError as error:
            logger.warning("feed pull refused", feed=name, reason=error.message.en)
        except Exception:  # the database may be away for a while; the next look tries again
            logger.exception("feed pull failed", feed=name)
        return True

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                for name, day in self.waiting(clock.now()):
                    self._begin(name, day)
            except Exception:  # the database may be away for a while; the next look tries again
                logger.exception("feed check failed; retrying", delay=LOOK_SECONDS)
            self._stop.wait(LOOK_SECONDS)

    def _begin(self, name: str, day: date | None) -> None:
        with self._lock:
            if name in self._working or len(self._working) >= AT_ONCE or self._stop.is_set():
                return
            thread = Thread(target=self._work, args=(name, day), name=f"duban-feed-{name}", daemon=True)
            self._working[name] = thread
            thread.start()

    def _work(self, name: str, day: date | None) -> None:
        try:
            with context(feed=name):
                self.one(name, day)
        finally:
            with self._lock:
                del self._working[name]


# ---------------------------------------------------------------------------------------------------- the day before


def due_days(runtime: Runtime, now: datetime) -> list[str]:
    """The days that ought to have been compared by ``now``, oldest first, each with the id of its feed. Not before a
    feed has been pulled whole: until then everything would be missing."""
    found: list[tuple[date, int]] = []
    with runtime.database.read() as session:
        for feed in store.all_feeds(session):
            if not feed.active or feed.last_done_at is None or not feeds.can_reconcile(feed):
                continue
            assert feed.id is not None, "it is stored"
            zone = ZoneInfo(feed.spec.get("mapping", {}).get("time_zone") or runtime.settings.time_zone)
            today, first = ((moment.astimezone(zone)).date() for moment in (now - SETTLED, feed.added_at))
            days = (today - timedelta(days=back) for back in range(MADE_UP_DAYS, 0, -1))
            found += ((day, feed.id) for day in days if day >= first)
    return [f"{day.isoformat()} {feed_id}" for day, feed_id in sorted(found)]


def compare(runtime: Runtime, period: str, now: datetime) -> None:
    """Compare one day of one feed. Raises what ``reconcile`` raises; the job is then tried again later."""
    day, _, feed_id = period.partition(" ")
    with runtime.database.read() as session:
        feed = store.by_id(session, int(feed_id))
    if feed is not None and feed.active:
        reconcile(runtime, feed.name, date.fromisoformat(day), patience=PATIENCE)


PATIENCE = 5
"""Seconds that a comparison waits for a pull under way."""
RECONCILE_JOB = register(Job("feed-reconcile", 300, compare, due_days))


def prune(runtime: Runtime, period: str, now: datetime) -> int:
    """Delete pulls without rows, and very old ones, from the log; returns their number."""
    with runtime.database.write() as session:
        return store.prune_pulls(session, quiet_before=now - QUIET_KEPT, before=now - KEPT)


PRUNE_JOB = register(Job("feed-log", 3600, prune))
FEED_JOBS: tuple[Job, ...] = (RECONCILE_JOB, PRUNE_JOB)
