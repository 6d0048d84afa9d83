"""Measurement: the work and its reference run alternately, three times; medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; the goals refer to ``ratio``."""

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
    """Return the median seconds of ``work`` and of ``reference``, run alternately so that a busy machine affects both.

    ``between`` runs before each of them, unmeasured: it removes what the previous run has left.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for run, times_taken in zip((work, reference), taken, strict=True):
            if between is not None:
                between()
            start = time.perf_counter()
            run()
            times_taken.append(time.perf_counter() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])
