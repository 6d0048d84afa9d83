"""A long file read, mapped, validated and fingerprinted in a child process, and written in this one.

One interpreter runs one thread at a time, and the two halves of an import take about as long. The child reads by the
same code (``ingest.rows.row``), so the parent can go on by itself behind the last row that it was given, should the
child die. The child needs no database.
"""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path

from app.errors import DubanError, FieldProblem
from ingest.child_process import ChildProcess, Pipe, ProcessDied, pipes_to_parent
from ingest.formats.base import FileLimits
from ingest.rows.garbage import collect_young, gc_paused
from ingest.rows.profile import Profile
from ingest.rows.row import Chunk, InputRow, file_chunks
from ingest.rows.ticket_in import Packed, pack, unpack
from ingest.rows.validate import open_mapped

_READY = "ready"


@dataclass(frozen=True, slots=True)
class FileTask:
    """The rows of a text file after row number ``after``, in chunks of ``size``."""

    path: Path
    profile: Profile
    limits: FileLimits
    now: datetime
    after: int
    size: int

    def chunks(self) -> Iterator[Chunk]:
        """The rows, read and mapped. Raises DubanError where the file cannot be read."""
        with open_mapped(self.path, self.profile, limits=self.limits) as file:
            yield from file_chunks(file, self.now, after=self.after, size=self.size)


def can_help() -> bool:
    """Whether this machine has a processor for a second process."""
    return os.name == "posix" and (os.cpu_count() or 1) > 1


class ReaderProcess:
    """A child process that reads one file at a time; for one thread at a time. Raises ProcessDied where none can be
    started."""

    def __init__(self) -> None:
        self._child = ChildProcess("ingest.files.reader_process")
        self._pipe = self._child.pipes[0]
        self._ready = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def is_ready(self) -> bool:
        """Whether it has come up, or has failed to: then ``chunks`` raises ProcessDied."""
        try:
            if not self._ready and self._pipe.poll():
                self._ready = self._pipe.receive() == _READY
        except ProcessDied:
            self._ready = True
        return self._ready

    def chunks(self, task: FileTask) -> Iterator[Chunk]:
        """The chunks of ``task``, to be read to their end; else ``close``. Raises the DubanError that reading raises, after
        all earlier chunks; ProcessDied where the child dies or fails otherwise."""
        self._pipe.send(task)
        while (message := self._pipe.receive()) is not None:
            if isinstance(message, DubanError):
                raise message
            yield _chunk_of(message)
            del message  # before the next comes

    def close(self) -> None:
        """End it: it holds nothing that is not here, or in the file."""
        self._child.stop()


# -- what goes through the pipe ----------------------------------------------------------------------------------------

_Sent = tuple[list[tuple[int, Packed | None, Sequence[FieldProblem], str | None]], bytes, int, int]


def _sent(chunk: Chunk) -> _Sent:
    """A chunk as plain values: the fewer objects, the faster it is unpickled. The raw rows, which only a reject needs,
    stay packed."""
    lines = [
        (line.number, None if line.ticket is None else pack(line.ticket), line.errors, line.fingerprint)
        for line in chunk.rows
    ]
    return lines, pickle.dumps([line.raw for line in chunk.rows]), chunk.consumed, chunk.total


def _chunk_of(sent: _Sent) -> Chunk:
    lines, raws, consumed, total = sent
    return Chunk(
        [
            InputRow(
                number,
                None if ticket is None else unpack(*ticket),
                errors,
                partial(_raw_at, raws, index),
                None,
                known,
            )
            for index, (number, ticket, errors, known) in enumerate(lines)
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


# -- in the child ------------------------------------------------------------------------------------------------------


def _serve(pipe: Pipe) -> None:
    """Read one file after another, until the parent closes the pipe."""
    while True:
        task: FileTask = pipe.receive()
        end: DubanError | None = None
        with gc_paused():
            try:
                for chunk in task.chunks():
                    pipe.send(_sent(chunk))
                    del chunk
                    collect_young()
            except DubanError as error:
                end = error
        pipe.send(end)


def main() -> None:
    """Serve the one pipe."""
    gc.freeze()  # what has been loaded by now is there to stay
    with suppress(ProcessDied):  # the parent is gone, or has no more
        pipe = pipes_to_parent()[0]
        pipe.send(_READY)
        _serve(pipe)


if __name__ == "__main__":
    main()
