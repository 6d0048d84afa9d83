"""Steps of a shutdown that are tried, and not waited for where the database is busy or unreachable."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from app.logging import get_logger

logger = get_logger("duban.workers")


def try_within(seconds: float, what: str, job: Callable[[], object]) -> None:
    """Run ``job`` in a thread of its own and wait at most ``seconds`` for it; the thread does not keep the process alive.
    An error of the job is logged with the name of the step, ``what``."""

    def attempt() -> None:
        try:
            job()
        except Exception:  # the rest of the shutdown must go on
            logger.exception("shutdown step failed", step=what)

    thread = Thread(target=attempt, name="duban-within", daemon=True)
    thread.start()
    thread.join(seconds)
