"""Produce the next item in a thread while the caller writes the current one, so that computing and database overlap."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ahead(source: Iterator[T]) -> Iterator[Iterator[T]]:
    """Yield the items of ``source`` (never None) in order, each produced while the caller uses the previous one.

    At most two items exist: the current and the next. An exception of ``source`` is raised here, after all earlier
    items. When the block ends, early or not, no thread uses ``source`` any more, and it may be closed.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as maker:
        yield _made(maker, source)


def _made(maker: ThreadPoolExecutor, source: Iterator[T]) -> Iterator[T]:
    made = maker.submit(next, source, None)
    while (item := made.result()) is not None:
        made = maker.submit(next, source, None)
        yield item
        del item  # free it before waiting for the next
