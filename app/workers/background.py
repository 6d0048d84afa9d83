"""The half of a process that works without being asked: sweeper, leadership, periodic jobs, feeds."""

from __future__ import annotations

import os
import secrets
import socket
import time
from typing import Protocol

from app.runtime import Runtime
from app.workers import feeds, recompute, reports, seal
from app.workers.leadership import Leadership
from app.workers.outbox import OutboxWorker
from app.workers.scheduler import JOBS, NOTE_SECONDS, Scheduler
from app.workers.sweeper import Sweeper

STOP_SECONDS = 2.0
"""How long a stop waits for what is under way. Whatever that is, it is whole or undone when it is cut off; and containers
are killed after ten seconds, of which open streams may have taken five."""


def holder_name() -> str:
    """A name for this process that no other has: host, process id, and a few random letters."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(3)}"


class Worker(Protocol):
    """A background worker that can be stopped."""

    def tell(self) -> None:
        """Begin nothing more."""

    def stop(self, patience: float) -> bool:
        """Wait so many seconds for what is under way; whether that has come to its end."""


class Background:
    """Starts and stops what works in the background of one process."""

    def __init__(self, runtime: Runtime) -> None:
        holder = holder_name()
        self.sweeper = Sweeper(runtime, holder)
        self.leadership = Leadership(runtime.database, holder)
        runtime.metrics.leader.set_function(lambda: float(self.leadership.epoch is not None))
        self.scheduler = Scheduler(runtime, self.leadership)
        self.puller = feeds.Puller(runtime)
        self.outbox = OutboxWorker(runtime)
        ours = (seal.SEAL_JOB, recompute.JOB, *feeds.FEED_JOBS, *reports.REPORT_JOBS.values())
        assert {job.name for job in ours} <= set(JOBS)
        self._started = False

    def start(self) -> None:
        """Begin."""
        self.sweeper.start()
        self.leadership.start()
        self.scheduler.start()
        self.puller.start()
        self.outbox.start()
        self._started = True

    def stop(self, *besides: Worker) -> bool:
        """Finish what is short and end, and have the workers ``besides`` do so within the same time; harmless where nothing
        was started. Whether all that was under way has ended: where not, a thread is still at a long job, and the process is
        to leave without it."""
        ends = time.monotonic() + STOP_SECONDS
        ours: tuple[Worker, ...] = (self.scheduler, self.puller, self.sweeper, self.outbox) if self._started else ()
        workers = (*ours, *besides)
        for worker in workers:
            worker.tell()
        ended = [worker.stop(max(0.0, ends - time.monotonic())) for worker in workers]
        if self._started:
            self.leadership.stop(NOTE_SECONDS)
        self._started = False
        return all(ended)
