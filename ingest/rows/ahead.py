"""The next item made in a thread while the caller writes the one before: the database's time and ours overlap."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ahead(source: Iterator[T]) -> Iterator[Iterator[T]]:
    """The items of ``source`` (none of them None) in order, each made while the caller has the one before.

    At most two are held: the caller's and the next. What ``source`` raises is raised here, after all earlier items.
    When the block ends, early or not, no thread uses ``source`` any more, and it may be closed.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as maker:
        yield _made(maker, source)


def _made(maker: ThreadPoolExecutor, source: Iterator[T]) -> Iterator[T]:
    made = maker.submit(next, source, None)
    while (item := made.result()) is not None:
        made = maker.submit(next, source, None)
        yield item
        del item  # before the next is waited for
