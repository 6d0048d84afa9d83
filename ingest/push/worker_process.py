"""The commit in a process of its own, for when pushes come thick and fast.

A thread that commits shares the interpreter with the event loop that reads the next pushes: however many processors
there are, one waits for the other. So a busy server (``ingest.push.queue``) hands its groups to a second process: this
module is both ends of the pipe. A lane is one pipe, with one thread at either end; a group goes in as the bodies that
were pushed, and its outcomes come back. Nothing else is shared: whichever process takes a group in does the same
(``ingest.push.transaction``), so either can stand in for the other at any moment.

The second process ends when the pipes close: with the first one, however that ended.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from multiprocessing.connection import Connection

from app.config import Settings
from app.db import Database
from app.errors import DubanError
from app.runtime import Runtime
from ingest.push.transaction import CommitConnection, Outcome, Push, commit_pushes
from ingest.rows.garbage import settle
from ingest.rows.ticket_in import validate_ticket

log = logging.getLogger("duban.intake")
_READY = "ready"
_STOP_SECONDS = 10.0


class ProcessDied(Exception):
    """The other process is not there (any more). What it was given last may be stored, or not."""


class CommitWorker:
    """A second process with so many ``lanes``. Its methods block, but for ``stand_ready``; each lane is for one thread
    at a time."""

    def __init__(self, settings: Settings, lanes: int) -> None:
        self._settings = settings
        self._pipes: list[Connection] = []
        self._count = lanes
        self._process: subprocess.Popen[bytes] | None = None
        self.ready = False
        """Whether it takes groups."""

    @property
    def pid(self) -> int | None:
        """Its process id, once it was started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready. Raises Gone where it does not come up."""
        pairs = [socket.socketpair() for _ in range(self._count)]
        self._pipes = [Connection(ours.detach()) for ours, _ in pairs]
        theirs = [other.detach() for _, other in pairs]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this program
                [sys.executable, "-m", "ingest.push.worker_process", *map(str, theirs)],
                pass_fds=theirs,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for the first process, which then closes the pipes
            )
        except OSError as error:
            raise ProcessDied from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        try:
            self._pipes[0].send(self._settings)
            self.ready = self._pipes[0].recv() == _READY
        except (EOFError, OSError) as error:
            raise ProcessDied from error

    def commit(self, lane: int, pushes: Sequence[Push], ids: Sequence[int], now: datetime) -> list[Outcome]:
        """Have a group taken in under these ids; what became of each. Raises Gone."""
        given = [(push.raw or _written(push), push.source_code, push.actor, push.key) for push in pushes]
        try:
            self._pipes[lane].send_bytes(pickle.dumps((given, list(ids), now), pickle.HIGHEST_PROTOCOL))
            outcomes: list[Outcome] = pickle.loads(self._pipes[lane].recv_bytes())  # noqa: S301 - our own process
        except (EOFError, OSError) as error:
            self.ready = False
            raise ProcessDied from error
        return outcomes

    def stop(self) -> None:
        """Let it finish what it has, and wait for its end."""
        self.ready = False
        for pipe in self._pipes:
            pipe.close()
        if self._process is not None:
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _written(push: Push) -> bytes:
    return push.incoming.model_dump_json(exclude_none=True).encode()


# -- the other end -----------------------------------------------------------------------------------------------------


def _serve(runtime: Runtime, pipe: Connection) -> None:
    """Take groups in from one lane until it closes."""
    line = CommitConnection(runtime.database)
    try:
        with suppress(EOFError, OSError):  # the first process is gone, or wants no more
            while True:
                given, ids, now = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from the process that started this one
                pushes = [Push(validate_ticket(raw), source, actor, key, raw) for raw, source, actor, key in given]
                outcomes = [_sendable(one) for one in commit_pushes(runtime, pushes, now, line, ids)]
                pipe.send_bytes(pickle.dumps(outcomes, pickle.HIGHEST_PROTOCOL))
    except Exception:
        log.exception("a group that cannot be taken in here")
    finally:
        line.drop()
        pipe.close()  # the first process takes in itself what it is given no answer to


def _sendable(outcome: Outcome) -> Outcome:
    """What is no refusal of ours is a bug: it goes to the log here, and the caller learns no more than that."""
    if isinstance(outcome, Exception) and not isinstance(outcome, DubanError):
        log.error("a push failed", exc_info=outcome)
        return RuntimeError(type(outcome).__name__)
    return outcome


def main() -> None:
    """``python -m ingest.push.worker_process FD …``: one lane for each descriptor; the settings come by the first."""
    pipes = [Connection(int(descriptor)) for descriptor in sys.argv[1:]]
    try:
        settings: Settings = pipes[0].recv()
        runtime = Runtime(settings, Database(settings.url, pool_size=settings.pool_size))
        settle()
        pipes[0].send(_READY)
    except (EOFError, OSError):
        return  # the first process is gone already
    lanes = [threading.Thread(target=_serve, args=(runtime, pipe)) for pipe in pipes]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    runtime.close()


if __name__ == "__main__":
    main()
