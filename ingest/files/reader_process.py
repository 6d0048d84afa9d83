"""Reading in a process of its own, for a long file: read, mapped, validated and fingerprinted there, written here.

One interpreter does one thing at a time, and the two halves of an import are about as long. What is read there is read
by the same code (``ingest.rows.row``), so that this process can go on by itself, behind the last row that it was given,
should the other be gone. This module is both ends of the pipe; the second process needs no database, and ends with the
pipe: with the first one, however that ended.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from app.errors import DubanError, FieldProblem
from ingest.formats.base import FileLimits
from ingest.rows.garbage import held_off, sweep_young
from ingest.rows.profile import Profile
from ingest.rows.row import Chunk, InputRow, file_chunks
from ingest.rows.ticket_in import Packed, packed, unpacked
from ingest.rows.validate import open_mapped

_READY = "ready"


class ProcessDied(Exception):
    """The other process is not there (any more)."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """The rows of a text file below number ``after``."""

    path: Path
    profile: Profile
    limits: FileLimits
    now: datetime
    after: int
    size: int

    def chunks(self) -> Iterator[Chunk]:
        """What is read. Raises DubanError for what cannot be."""
        with open_mapped(self.path, self.profile, limits=self.limits) as file:
            yield from file_chunks(file, self.now, after=self.after, size=self.size)


def can_help() -> bool:
    """Whether this machine has a processor for a second process."""
    return os.name == "posix" and (os.cpu_count() or 1) > 1


class ReaderProcess:
    """A second process, which reads one file at a time; for one thread at a time. Raises Gone where none can be started."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._pipe = Connection(ours.detach())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this program
                [sys.executable, "-m", "ingest.files.reader_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for the first process, which then closes the pipe
            )
        except OSError as error:
            self._pipe.close()
            raise ProcessDied from error
        finally:
            theirs.close()
        self._ready = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_ready(self) -> bool:
        """Whether it has come up, or has not and never will: then ``chunks`` raises Gone."""
        try:
            if not self._ready and self._pipe.poll():
                self._ready = self._pipe.recv() == _READY
        except (EOFError, OSError):
            self._ready = True
        return self._ready

    def chunks(self, task: FileTask) -> Iterator[Chunk]:
        """What is read. Raises the DubanError that reading raises, behind all that stands before; and Gone where the other
        process dies of it, is not there, or meets what it has no words for. To be read to its end: else ``close``."""
        try:
            self._pipe.send_bytes(pickle.dumps(task, pickle.HIGHEST_PROTOCOL))
            while (said := pickle.loads(self._pipe.recv_bytes())) is not None:  # noqa: S301 - our own process
                if isinstance(said, DubanError):
                    raise said
                yield _chunk_of(said)
                del said  # before the next comes
        except (EOFError, OSError) as error:
            raise ProcessDied from error

    def close(self) -> None:
        """End it: it holds nothing that is not here, or in the file."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()


# -- what goes through the pipe ----------------------------------------------------------------------------------------

_Sent = tuple[list[tuple[int, Packed | None, Sequence[FieldProblem], str | None]], bytes, int, int]


def _sent(chunk: Chunk) -> _Sent:
    """A chunk as plain values: the fewer objects, the sooner it is read at the other end. The raw rows, which nobody but
    a reject needs, stay packed."""
    lines = [
        (line.number, None if line.ticket is None else packed(line.ticket), line.errors, line.fingerprint)
        for line in chunk.lines
    ]
    return lines, pickle.dumps([line.raw for line in chunk.lines]), chunk.consumed, chunk.total


def _chunk_of(sent: _Sent) -> Chunk:
    lines, raws, consumed, total = sent
    return Chunk(
        [
            InputRow(
                number, None if said is None else unpacked(*said), errors, partial(_raw_at, raws, index), None, known
            )
            for index, (number, said, errors, known) in enumerate(lines)
        ],
        consumed,
        total,
    )


def _raw_at(raws: bytes, index: int) -> str:
    return str(_unpacked_raws(raws)[index]())


@lru_cache(maxsize=1)
def _unpacked_raws(raws: bytes) -> Sequence[Callable[[], str]]:
    found: Sequence[Callable[[], str]] = pickle.loads(raws)  # noqa: S301 - our own process
    return found


# -- the other end -----------------------------------------------------------------------------------------------------


def _serve(pipe: Connection) -> None:
    """Read what is asked for, until nobody asks any more."""
    while True:
        task: FileTask = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from the process that started this one
        end: DubanError | None = None
        with held_off():
            try:
                for chunk in task.chunks():
                    _send(pipe, _sent(chunk))
                    del chunk
                    sweep_young()
            except DubanError as error:
                end = error
        _send(pipe, end)


def _send(pipe: Connection, what: Any) -> None:
    pipe.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))


def main() -> None:
    """``python -m ingest.files.reader_process FD``."""
    gc.freeze()  # what has been loaded by now is there to stay
    with suppress(EOFError, OSError):  # the first process is gone, or wants no more
        pipe = Connection(int(sys.argv[1]))
        pipe.send(_READY)
        _serve(pipe)


if __name__ == "__main__":
    main()
