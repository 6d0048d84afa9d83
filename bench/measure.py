"""How a measurement is taken: the work and its reference in turn, three times, and the medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``ratio`` is what the goals speak of."""

    work: str
    measured: str
    reference: str
    ratio: float
    first_goal: str
    goal: str


def seconds_in_turn(
    work: Callable[[], object],
    reference: Callable[[], object],
    times: int = 3,
    between: Callable[[], object] | None = None,
) -> tuple[float, float]:
    """The median seconds of ``work`` and of ``reference``, run alternately so that a busy machine touches both.

    ``between`` is done before each of them, and not measured: it clears away what the one before has left."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for run, times_taken in zip((work, reference), taken, strict=True):
            if between is not None:
                between()
            start = time.perf_counter()
            run()
            times_taken.append(time.perf_counter() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])
