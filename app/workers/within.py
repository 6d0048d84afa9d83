"""What a stop tries to get done, and does not wait for where the database is busy or away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread

logger = logging.getLogger("duban.workers")


def try_within(seconds: float, what: str, job: Callable[[], object]) -> None:
    """Do ``job`` in a thread of its own and wait so many seconds for its end; the thread holds up no process that ends
    meanwhile. An error of the job is logged: ``what`` could not be done."""

    def attempt() -> None:
        try:
            job()
        except Exception:  # whoever is stopping has nothing else to try, and the rest of its stop must go on
            logger.exception("%s could not be done", what)

    thread = Thread(target=attempt, name="duban-within", daemon=True)
    thread.start()
    thread.join(seconds)
