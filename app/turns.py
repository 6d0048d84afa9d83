"""Turns: one thread at a time, in the order in which they came.

SQLite lets one writer in at a time, and whoever finds it busy looks again after ever longer pauses: a writer that comes
back at once, as a batch does between two chunks, is in again before the others have looked. Within one process they
queue here instead, so that a push waits for one chunk at most.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from types import TracebackType


class Turns:
    """A context manager that lets one thread in at a time, first come, first served. Not to be entered twice by one
    thread. Raises TimeoutError where the turn has not come within ``patience`` seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = Lock()
        self._taken = False
        self._waiting: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in the queue."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=self._patience):
            return
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise TimeoutError(f"no turn within {self._patience:g} seconds")
        # Called up at the last moment: the turn is ours all the same.

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
