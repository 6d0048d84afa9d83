"""The next chunk made ready while the one before is written: the database's time and ours overlap.

A thread of its own reads, maps and validates; the caller writes. Memory stays bounded: beside the caller's chunk there
are ``depth`` more at most, made or in the making.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")


@contextmanager
def ahead(source: Iterator[T], depth: int = 1) -> Iterator[Iterator[T]]:
    """What ``source`` gives, in its order, made up to ``depth`` items before it is asked for, in a thread of its own.

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
        self._room = threading.Semaphore(depth)
        self._made: SimpleQueue[_Item[T] | _Failed | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._make, name="ahead", daemon=True)

    def _make(self) -> None:
        end: _Failed | None = None
        try:
            while self._wanted() and (item := next(self._source, self)) is not self:
                self._made.put(_Item(cast("T", item)))
                del item  # it is the caller's now, and gone once that has done with it
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            end = _Failed(error)
        self._made.put(end)

    def _wanted(self) -> bool:
        self._room.acquire()
        return not self._unwanted.is_set()

    def made(self) -> Iterator[T]:
        """What comes, to its end."""
        while (item := self._made.get()) is not None:
            if isinstance(item, _Failed):
                raise item.error
            self._room.release()
            yield item.value

    def stop(self) -> None:
        """Have the thread end, and wait for that."""
        self._unwanted.set()
        self._room.release()
        self.thread.join()
