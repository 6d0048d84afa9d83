"""Python's cycle collector, held off while many rows pass through.

A batch makes fifty objects a row that die by themselves; walking over them again and again to look for cycles took two
fifths of the time. What cycles there are (a traceback now and then) is collected in between, and afterwards.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_holders = 0


@contextmanager
def held_off() -> Iterator[None]:
    """Hold the cycle collector off in this process until the block ends; blocks of several threads may overlap."""
    global _holders  # noqa: PLW0603 - the collector is one for the process, and so is this count
    with _lock:
        _holders += 1
        if _holders == 1:
            gc.disable()
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                gc.enable()


def sweep_young() -> None:
    """Collect the cycles among what was made lately: between two chunks, when there is little of it."""
    gc.collect(0)
