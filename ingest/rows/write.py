"""Write many rows in one transaction, for batches, imports and feeds. Each row becomes a ticket, is unchanged, or is
rejected.

A row that the database refuses is isolated by bisecting its chunk, so that the other rows are still stored. Outcomes are
reported after the transaction has been committed.
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
    """Number of rows by outcome."""

    created: int = 0
    unchanged: int = 0
    rejected: int = 0
    corrected: int = 0

    def count(self, outcomes: Iterable[RowOutcome]) -> RowCounts:
        """Return these counts plus those of ``outcomes``."""
        more = Counter([outcome.status for outcome in outcomes])
        return RowCounts(
            self.created + more["created"],
            self.unchanged + more["unchanged"],
            self.rejected + more["rejected"],
            self.corrected + more["corrected"],
        )


RecordProgress = Callable[[UnitOfWork, Sequence[InputRow], Sequence[RowOutcome]], None]
"""Writes progress in the same transaction as the rows: the position of an import or the cursor of a feed."""


def prepare_chunks(
    runtime: Runtime, context: IngestContext, chunks: Iterator[Chunk], now: datetime
) -> Iterator[tuple[PreparedChunk, Chunk]]:
    """Yield each chunk with its rows prepared; runs in the thread ahead of the one that writes."""
    for source_chunk in chunks:
        yield prepare_rows(runtime, context, source_chunk.rows, now), source_chunk
        del source_chunk


def prepare_rows(runtime: Runtime, context: IngestContext, rows: Sequence[InputRow], now: datetime) -> PreparedChunk:
    """Prepare the rows of one transaction as far as possible before it begins."""
    chunk = PreparedChunk(runtime, context, rows, now)
    with runtime.reading() as (_, ref):
        chunk.prepare(ref)
    return chunk


def commit_rows(
    runtime: Runtime, chunk: PreparedChunk, record: RecordProgress | None = None
) -> Iterator[tuple[Sequence[InputRow], Sequence[RowOutcome]]]:
    """Commit the rows of ``chunk``; yield the rows and outcomes of each transaction after its commit.

    One transaction, unless the database refuses a row. Raises the database's error where it is unavailable; what has
    been yielded by then is stored.
    """
    rows = chunk.rows
    try:
        outcomes = _commit(runtime, chunk, record)
    except DBAPIError as error:
        if not db_errors.is_of_a_row(error):
            raise
        if len(rows) > 1:
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                yield from commit_rows(runtime, PreparedChunk(runtime, chunk.context, half, chunk.now), record)
            return
        log.warning("database refused a row", error=type(error.orig).__name__, row=rows[0].number)
        rows = [rows[0]._replace(ticket=None, errors=(_unstorable(),))]
        outcomes = _commit(runtime, PreparedChunk(runtime, chunk.context, rows, chunk.now), record)
    yield rows, outcomes


def _commit(runtime: Runtime, chunk: PreparedChunk, record: RecordProgress | None) -> Sequence[RowOutcome]:
    try:
        return _transaction(runtime, chunk, record)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.DeadlockDetected):
            raise
        return _transaction(runtime, chunk, record)  # rolled back completely, so it can be retried


def _transaction(runtime: Runtime, chunk: PreparedChunk, record: RecordProgress | None) -> Sequence[RowOutcome]:
    with runtime.writing(chunk.now) as uow:
        outcomes = chunk.write(uow)
        rejected = [
            rejects.RejectedRow(row.number, outcome.errors, row.raw(), row.external_id)
            for row, outcome in zip(chunk.rows, outcomes, strict=True)
            if outcome.status == "rejected"
        ]
        rejects.store_rejects(uow.session, rejected, chunk.context.origin, chunk.now)
        if record is not None:
            record(uow, chunk.rows, outcomes)
    return outcomes


def write_rows(
    runtime: Runtime, uow: UnitOfWork, context: IngestContext, rows: Sequence[InputRow], ids: Sequence[int]
) -> Sequence[RowOutcome]:
    """Write the tickets of ``rows`` in a unit of work; rejected rows are not stored."""
    return PreparedChunk(runtime, context, rows, uow.now, ids).write(uow)


def _unstorable() -> FieldProblem:
    return FieldProblem(
        "", "数据库无法保存此行的内容", "the database cannot store the content of this row", "unstorable"
    )
