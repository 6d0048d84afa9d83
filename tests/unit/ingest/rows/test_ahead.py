"""What is made ahead comes in its order, raises where it is waited for, and ends with whoever wanted it."""

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


def test_everything_comes_once_and_in_order() -> None:
    with ahead(counting([], 50)) as found:
        assert list(found) == list(range(50))


def test_nothing_is_still_an_end() -> None:
    with ahead(iter(())) as found:
        assert list(found) == []


def test_what_is_raised_comes_after_all_that_stood_before() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("torn")

    seen: list[int] = []
    with pytest.raises(ValueError, match="torn"), ahead(broken()) as found:
        seen.extend(found)
    assert seen == [1, 2]


def test_no_more_is_made_than_may_wait() -> None:
    made: list[int] = []
    with ahead(counting(made, 1000), depth=2) as found:
        assert next(found) == 0
        threading.Event().wait(0.3)
        assert 2 <= len(made) <= 3  # the one given, and two that wait
    assert len(made) <= 3


def test_the_source_is_nobodys_once_the_block_has_ended_early() -> None:
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
    assert not any(thread.name == "ahead" for thread in threading.enumerate())
