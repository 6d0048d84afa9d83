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
def gc_paused() -> Iterator[None]:
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


def freeze_startup_objects() -> None:
    """For a process that serves: what it has loaded by now is there to stay, and need not be looked through any more;
    and what comes is mostly gone by itself before anybody could look. Without this, full collections took a third of
    the time of a busy server, and made a push wait for a quarter of a second now and then."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def collect_young() -> None:
    """Collect the cycles among what was made lately: between two chunks, when there is little of it."""
    gc.collect(0)
