"""A child process of this program: started, spoken to over pipes, noticed when it dies, and stopped.

A child runs ``main`` of one module and ends when its pipes close, so it never outlives the process that started it. It
shares nothing with its parent but the messages, which are pickled. This module imports the standard library alone, so
that a small child starts in a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_ROOT = str(Path(__file__).resolve().parent.parent)


class ProcessDied(Exception):
    """The process at the other end of a pipe ended or was never started. What it was sent last may be done, or not."""


class Pipe:
    """One end of a two-way pipe for pickled messages; for one thread at a time. Raises ProcessDied."""

    def __init__(self, descriptor: int) -> None:
        self._connection = Connection(descriptor)

    def send(self, message: Any) -> None:
        """Send one message; blocks while the other end is busy with earlier ones."""
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            self._connection.send_bytes(content)
        except OSError as error:
            raise ProcessDied from error

    def receive(self) -> Any:
        """Wait for the next message."""
        try:
            content = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise ProcessDied from error
        return pickle.loads(content)  # noqa: S301 - written by this program

    def poll(self) -> bool:
        """Whether a message or the end is there already."""
        try:
            return self._connection.poll()
        except OSError as error:
            raise ProcessDied from error

    def close(self) -> None:
        """Close this end; the other one then raises ProcessDied."""
        self._connection.close()


class ChildProcess:
    """``main`` of ``module`` in a process of its own, with so many ``pipes`` to it; ``quiet``: its output is discarded.

    Ctrl-C in a terminal reaches the parent only. Raises ProcessDied where no process can be started.
    """

    def __init__(self, module: str, *, pipes: int = 1, quiet: bool = False) -> None:
        pairs = [socket.socketpair() for _ in range(pipes)]
        self.pipes = [Pipe(ours.detach()) for ours, _ in pairs]
        theirs = [other.fileno() for _, other in pairs]
        output = subprocess.DEVNULL if quiet else None
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this program
                [sys.executable, "-P", "-m", module, *map(str, theirs)],  # -P: nothing from the current folder
                env={**os.environ, "PYTHONPATH": path}, pass_fds=theirs, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        except OSError as error:
            self._close()
            raise ProcessDied from error
        finally:
            for _, other in pairs:
                other.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self, within: float = 0.0) -> int:
        """Close the pipes, give it so many seconds to finish, then kill it. Its exit status, negative for a signal."""
        self._close()
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _close(self) -> None:
        for pipe in self.pipes:
            pipe.close()


def pipes_to_parent() -> list[Pipe]:
    """In a child: its ends of the pipes, in their order."""
    return [Pipe(int(descriptor)) for descriptor in sys.argv[1:]]


def limit_resources(memory: int, seconds: int) -> None:
    """In a child: take at most so many bytes and seconds of processor time, where the system can see to that.

    Memory beyond raises MemoryError or ends the process; time beyond ends it by SIGXCPU.
    """
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not every system has it

        for what, most, after in (
            (resource.RLIMIT_AS, memory, 0),
            (resource.RLIMIT_CPU, seconds, 1),  # SIGXCPU comes first and names the reason; SIGKILL a second later
            (resource.RLIMIT_CORE, 0, 0),
        ):
            hard = resource.getrlimit(what)[1]
            ends = most + after if hard == resource.RLIM_INFINITY else min(most + after, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (min(most, ends), ends))
