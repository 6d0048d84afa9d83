"""The next chunk made ready while the one before is written: the database's time and ours overlap.

A thread of its own reads, maps and validates; the caller writes. Memory stays bounded: ``depth`` chunks wait at most.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
_LOOK = 0.2
"""Seconds between two looks of the thread whether anybody still wants what it holds."""


@contextmanager
def ahead(source: Iterator[T], depth: int = 1) -> Iterator[Iterator[T]]:
    """What ``source`` gives, in its order, made up to ``depth + 1`` items before it is asked for, in a thread of its own.

    What ``source`` raises is raised here, after all that it gave before. When the block ends, early or not, so has the
    thread: ``source`` is then nobody's, and may be closed.
    """
    maker = _Maker(source, depth)
    maker.thread.start()
    try:
        yield maker.made()
    finally:
        maker.stop()


class _Item(Generic[T]):
    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


class _Failed:
    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Maker(Generic[T]):
    """The thread, and what it has made."""

    def __init__(self, source: Iterator[T], depth: int) -> None:
        self._source = source
        self._unwanted = threading.Event()
        self.queue: Queue[_Item[T] | _Failed | None] = Queue(depth)
        self.thread = threading.Thread(target=self._make, name="ahead", daemon=True)

    def _make(self) -> None:
        end: _Failed | None = None
        try:
            for value in self._source:
                if not self._put(_Item(value)):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            end = _Failed(error)
        self._put(end)

    def _put(self, item: _Item[T] | _Failed | None) -> bool:
        while not self._unwanted.is_set():
            try:
                self.queue.put(item, timeout=_LOOK)
            except Full:
                continue
            return True
        return False

    def made(self) -> Iterator[T]:
        """What comes, to its end."""
        while (item := self.queue.get()) is not None:
            if isinstance(item, _Failed):
                raise item.error
            yield item.value

    def stop(self) -> None:
        """Have the thread end, and wait for that."""
        self._unwanted.set()
        self.thread.join()
