"""Many rows, one transaction: what batch and import share. Each row becomes a ticket, is known already, or is a reject.

A row that the database refuses is found by halving its chunk, so that it sinks no neighbour. What is said of rows in
bulk is said once the transaction has been committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy.exc import DBAPIError

from app.errors import FieldProblem
from app.logging import get_logger
from app.runtime import Runtime
from app.services.core.unit_of_work import UnitOfWork
from app.services.intake import rejects
from app.store import db_errors
from ingest.rows.prepare import IngestContext, PreparedChunk, RowOutcome
from ingest.rows.row import Chunk, InputRow

log = get_logger("duban.intake")


@dataclass
class RowCounts:
    """How many rows had which fate."""

    created: int = 0
    unchanged: int = 0
    rejected: int = 0
    corrected: int = 0

    def count(self, fates: Iterable[RowOutcome]) -> RowCounts:
        """This tally and those fates."""
        more = Counter([fate.status for fate in fates])
        return RowCounts(
            self.created + more["created"],
            self.unchanged + more["unchanged"],
            self.rejected + more["rejected"],
            self.corrected + more["corrected"],
        )


RecordProgress = Callable[[UnitOfWork, Sequence[InputRow], Sequence[RowOutcome]], None]
"""Writes what belongs into the same transaction as these rows: the position of an import or of a feed."""


def prepare_chunks(
    runtime: Runtime, door: IngestContext, chunks: Iterator[Chunk], now: datetime
) -> Iterator[tuple[PreparedChunk, Chunk]]:
    """Each chunk with its lines prepared: for the thread that works ahead of the one that writes."""
    for chunk in chunks:
        yield prepare_rows(runtime, door, chunk.lines, now), chunk
        del chunk


def prepare_rows(runtime: Runtime, door: IngestContext, lines: Sequence[InputRow], now: datetime) -> PreparedChunk:
    """Lines for one transaction, prepared as far as that can be done before it."""
    part = PreparedChunk(runtime, door, lines, now)
    with runtime.reading() as (_, ref):
        part.prepare(ref)
    return part


def commit_rows(
    runtime: Runtime, part: PreparedChunk, record: RecordProgress | None = None
) -> Iterator[tuple[Sequence[InputRow], Sequence[RowOutcome]]]:
    """Take the lines of ``part`` in; gives those of each transaction with their fates once that is committed: all at
    once, unless the database refuses something. Raises what the database raises when it is away; what was given before
    then is stored."""
    lines = part.lines
    try:
        fates = _commit(runtime, part, record)
    except DBAPIError as error:
        if not db_errors.is_of_a_row(error):
            raise
        if len(lines) > 1:
            for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
                yield from commit_rows(runtime, PreparedChunk(runtime, part.door, half, part.now), record)
            return
        log.warning("database refused a row", error=type(error.orig).__name__, row=lines[0].number)
        lines = [lines[0]._replace(ticket=None, errors=(_unstorable(),))]
        fates = _commit(runtime, PreparedChunk(runtime, part.door, lines, part.now), record)
    yield lines, fates


def _commit(runtime: Runtime, part: PreparedChunk, record: RecordProgress | None) -> Sequence[RowOutcome]:
    try:
        return _transaction(runtime, part, record)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.DeadlockDetected):
            raise
        return _transaction(runtime, part, record)  # rolled back whole, so that it can be done again


def _transaction(runtime: Runtime, part: PreparedChunk, record: RecordProgress | None) -> Sequence[RowOutcome]:
    with runtime.writing(part.now) as uow:
        fates = part.write(uow)
        kept = [
            rejects.RefusedRow(line.number, fate.errors, line.raw(), line.external_id)
            for line, fate in zip(part.lines, fates, strict=True)
            if fate.status == "rejected"
        ]
        rejects.keep(uow.session, kept, part.door.place, part.now)
        if record is not None:
            record(uow, part.lines, fates)
    return fates


def write_rows(
    runtime: Runtime, uow: UnitOfWork, door: IngestContext, lines: Sequence[InputRow], ids: Sequence[int]
) -> Sequence[RowOutcome]:
    """Write the tickets of ``lines`` in a unit of work; nothing is kept of those that are refused."""
    return PreparedChunk(runtime, door, lines, uow.now, ids).write(uow)


def _unstorable() -> FieldProblem:
    return FieldProblem(
        "", "数据库无法保存此行的内容", "the database cannot store the content of this row", "unstorable"
    )
