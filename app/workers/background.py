"""The half of a process that works without being asked: sweeper, leadership, periodic jobs, feeds."""

from __future__ import annotations

import os
import secrets
import socket

from app.runtime import Runtime
from app.workers import feeds, recompute, reports, seal
from app.workers.leadership import Leadership
from app.workers.scheduler import JOBS, Scheduler
from app.workers.sweeper import Sweeper


def holder_name() -> str:
    """A name for this process that no other has: host, process id, and a few random letters."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(3)}"


class Background:
    """Starts and stops what works in the background of one process."""

    def __init__(self, runtime: Runtime) -> None:
        holder = holder_name()
        self.sweeper = Sweeper(runtime, holder)
        self.leadership = Leadership(runtime.database, holder)
        self.scheduler = Scheduler(runtime, self.leadership)
        self.puller = feeds.Puller(runtime)
        ours = (seal.SEAL_JOB, recompute.JOB, *feeds.FEED_JOBS, *reports.REPORT_JOBS.values())
        assert {job.name for job in ours} <= set(JOBS)
        self._started = False

    def start(self) -> None:
        """Begin."""
        self.sweeper.start()
        self.leadership.start()
        self.scheduler.start()
        self.puller.start()
        self._started = True

    def stop(self) -> None:
        """Finish what is under way and end; harmless where nothing was started."""
        if not self._started:
            return
        self.puller.stop()
        self.scheduler.stop()
        self.sweeper.stop()
        self.leadership.stop()
        self._started = False
