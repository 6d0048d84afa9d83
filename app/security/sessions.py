"""The session's cookie, and repeated failures to sign in: counted by name, in memory, so that guessing becomes slow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

SESSION_COOKIE = "duban_session"
"""HttpOnly, SameSite=Lax; the console sets it, the API takes it for reading."""
FREE_TRIES = 5
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=1)
MOST_NAMES = 10_000


@dataclass(slots=True)
class _Record:
    failures: int
    last: datetime


class Throttle:
    """How long a name must wait: nothing for five failures, then 30 s, doubled with each further one, 15 min at most.

    By name and not by address: behind a government proxy everybody has the same address. It is forgotten after an hour
    without a failure, with a success, and with a restart.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._records: dict[str, _Record] = {}

    def wait(self, name: str, now: datetime) -> timedelta:
        """How long ``name`` has still to wait at ``now``; zero if it may try."""
        with self._lock:
            record = self._records.get(_key(name))
            if record is None or record.failures < FREE_TRIES:
                return timedelta(0)
            doublings = min(record.failures - FREE_TRIES, 10)
            pause = min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)
            return max(record.last + pause - now, timedelta(0))

    def failed(self, name: str, now: datetime) -> None:
        """Count a failure."""
        with self._lock:
            if len(self._records) >= MOST_NAMES:
                self._records = {k: r for k, r in self._records.items() if now - r.last < FORGET_AFTER}
            if len(self._records) >= MOST_NAMES:
                self._records.clear()  # rather a fresh start than memory without end
            record = self._records.get(_key(name))
            if record is None or now - record.last >= FORGET_AFTER:
                self._records[_key(name)] = _Record(1, now)
            else:
                record.failures += 1
                record.last = now

    def succeeded(self, name: str) -> None:
        """Forget the failures of ``name``."""
        with self._lock:
            self._records.pop(_key(name), None)


def _key(name: str) -> str:
    return name.strip().casefold()[:64]
