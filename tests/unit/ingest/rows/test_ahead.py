"""Items made ahead keep their order, raise where they are waited for, and their thread ends with the block."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from ingest.rows.ahead import ahead


def counting(made: list[int], end: int) -> Iterator[int]:
    """Numbers; notes each one that is made."""
    for n in range(end):
        made.append(n)
        yield n


def test_every_item_comes_once_and_in_order() -> None:
    with ahead(counting([], 50)) as found:
        assert list(found) == list(range(50))


def test_an_empty_source_ends() -> None:
    with ahead(iter(())) as found:
        assert list(found) == []


def test_an_error_is_raised_after_all_earlier_items() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("torn")

    seen: list[int] = []
    with pytest.raises(ValueError, match="torn"), ahead(broken()) as found:
        seen.extend(found)
    assert seen == [1, 2]


def test_only_one_item_is_made_ahead() -> None:
    made: list[int] = []
    with ahead(counting(made, 1000)) as found:
        assert next(found) == 0
        threading.Event().wait(0.3)
        assert len(made) == 2  # the one given, and the next
    assert len(made) == 2


def test_no_thread_uses_the_source_after_the_block() -> None:
    closed = threading.Event()

    def source() -> Generator[int, None, None]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    given = source()
    with ahead(given) as found:
        assert next(found) == 0
    given.close()  # would raise, were the thread still in it
    assert closed.is_set()
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
