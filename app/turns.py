"""Turns: a fair semaphore, which admits threads in the order of arrival.

SQLite allows one writer at a time, and a blocked connection retries after growing pauses, so a writer that returns at
once, such as a batch between two chunks, would starve the others. Within one process they queue here instead, and a push
waits for one chunk at most. Spreadsheets, which need much memory each, are read in turns as well.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from types import TracebackType


class Turns:
    """A context manager that lets ``places`` threads in at a time, first come, first served. Not to be entered twice by
    one thread. Raises TimeoutError where the turn has not come within ``patience`` seconds, or at once where ``queue``
    others stand waiting already."""

    def __init__(self, patience: float, *, places: int = 1, queue: int | None = None) -> None:
        self.patience = patience
        self.places = places
        self._queue = queue
        self._lock = Lock()
        self._free = places
        self._waiting: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in the queue."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if self._queue is not None and len(self._waiting) >= self._queue:
                raise TimeoutError(f"{self._queue} are waiting already")
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=self.patience):
            return
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise TimeoutError(f"no turn within {self.patience:g} seconds")
        # Called up at the last moment: the turn is ours all the same.

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
