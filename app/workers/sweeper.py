"""The sweeper's loop: sweep, sleep until the next check, stop on request.

It needs no leader: see ``app.services.supervision.sweep``.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from threading import Event, Thread

from app import clock
from app.logging import get_logger
from app.runtime import Runtime
from app.services.supervision.sweep import SweepResult, record_run, sweep
from app.store.supervision import oldest_due

logger = get_logger("duban.sweeper")
RECORD_EVERY = timedelta(seconds=15)
"""How often a look that found nothing is noted: each note is a commit."""


class Sweeper:
    """One thread that sweeps every ``DUBAN_SWEEP_SECONDS``."""

    def __init__(self, runtime: Runtime, holder: str) -> None:
        self._runtime = runtime
        self._holder = holder
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="duban-sweeper", daemon=True)
        self._recorded_at: datetime | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def tell(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    def stop(self, patience: float) -> bool:
        """Wait so many seconds for the batch under way; whether that has come to its end."""
        self.tell()
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def once(self, now: datetime) -> SweepResult:
        """One look, noted for ``/readyz``."""
        runtime, begun = self._runtime, time.monotonic()
        with runtime.database.read() as session:
            oldest = oldest_due(session, now)
        result = sweep(
            runtime.database, runtime.reference, now, batch=runtime.settings.sweep_batch, stop=self._stop.is_set
        )
        if oldest is not None:
            runtime.metrics.sweep_delay_seconds.observe((now - oldest).total_seconds())
            runtime.metrics.sweep_seconds.observe(time.monotonic() - begun)
            runtime.metrics.alerts_raised.inc(result.alerts)
        if result.checked or self._recorded_at is None or now - self._recorded_at >= RECORD_EVERY:
            with runtime.database.write() as session:
                record_run(session, self._holder, now, result)
            self._recorded_at = now
        return result

    def _loop(self) -> None:
        pause = self._runtime.settings.sweep_seconds
        while not self._stop.is_set():
            try:
                result = self.once(clock.now())
                if result.checked:
                    logger.info("sweep done", **result.to_json())
            except Exception:  # the database may be away for a while; the next look tries again
                self._runtime.metrics.sweep_failures.inc()
                logger.exception("sweep failed; retrying", delay=pause)
            self._stop.wait(pause)
