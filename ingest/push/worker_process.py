"""Groups of pushes committed in a child process.

A thread that commits shares the interpreter with the event loop that reads the next pushes: however many processors
there are, one waits for the other. So a busy server (``ingest.push.queue``) hands its groups to a child process. Each
lane has a pipe of its own, with one thread at either end: the pushed bodies go in, their outcomes come back. Both
processes commit by the same code (``ingest.push.transaction``), so either can take over from the other at any moment.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from app.config import Settings
from app.errors import DubanError
from app.logging import configure, get_logger
from app.runtime import Runtime
from ingest.child_process import ChildProcess, Pipe, ProcessDied, pipes_to_parent
from ingest.push.transaction import CommitConnection, Outcome, Push, commit_pushes
from ingest.rows.garbage import freeze_startup_objects
from ingest.rows.ticket_in import validate_ticket

log = get_logger("duban.intake")
_READY = "ready"
_STOP_SECONDS = 10.0


class CommitWorker:
    """A child process with so many ``lanes``, ready to commit; each lane is for one thread at a time. Raises ProcessDied
    where it does not come up."""

    def __init__(self, settings: Settings, lanes: int) -> None:
        self._child = ChildProcess("ingest.push.worker_process", pipes=lanes)
        try:
            self._child.pipes[0].send(settings)
            self.ready = self._child.pipes[0].receive() == _READY
        except ProcessDied:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def commit(self, lane: int, pushes: Sequence[Push], ids: Sequence[int], now: datetime) -> list[Outcome]:
        """Commit a group under these ids; one outcome for each push. Raises ProcessDied."""
        given = [(push.raw or _written(push), push.source_code, push.actor, push.key) for push in pushes]
        pipe = self._child.pipes[lane]
        try:
            pipe.send((given, list(ids), now))
            outcomes: list[Outcome] = pipe.receive()
        except ProcessDied:
            self.ready = False
            raise
        return outcomes

    def stop(self) -> None:
        """Let it finish what it has, and wait for its end."""
        self.ready = False
        self._child.stop(_STOP_SECONDS)


def _written(push: Push) -> bytes:
    return push.incoming.model_dump_json(exclude_none=True).encode()


# -- in the child ------------------------------------------------------------------------------------------------------


def _serve(runtime: Runtime, pipe: Pipe) -> None:
    """Commit the groups of one lane until it closes."""
    line = CommitConnection(runtime.database)
    try:
        with suppress(ProcessDied):  # the parent is gone, or has no more
            while True:
                given, ids, now = pipe.receive()
                pushes = [Push(validate_ticket(raw), source, actor, key, raw) for raw, source, actor, key in given]
                pipe.send([_sendable(one) for one in commit_pushes(runtime, pushes, now, line, ids)])
    except Exception:
        log.exception("commit worker failed")
    finally:
        line.drop()
        pipe.close()  # the parent commits what it gets no answer to


def _sendable(outcome: Outcome) -> Outcome:
    """An error that is not a refusal is a defect: it is logged here, and the caller learns its type only."""
    if isinstance(outcome, Exception) and not isinstance(outcome, DubanError):
        log.error("push failed", exc_info=outcome)
        return RuntimeError(type(outcome).__name__)
    return outcome


def main() -> None:
    """Serve one lane for each pipe; the settings come by the first."""
    pipes = pipes_to_parent()
    with suppress(ProcessDied):  # the parent is gone already
        settings: Settings = pipes[0].receive()
        configure(settings)
        runtime = Runtime(settings)
        freeze_startup_objects()
        pipes[0].send(_READY)
        lanes = [threading.Thread(target=_serve, args=(runtime, pipe)) for pipe in pipes]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        runtime.close()


if __name__ == "__main__":
    main()
