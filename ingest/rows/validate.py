"""Rows → map → validate: the pure half of the pipeline, the same for every file and feed. It keeps what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from app.errors import FieldProblem
from ingest.formats.base import FileLimits, SourceRow, raw_text
from ingest.formats.header import HeaderRule
from ingest.formats.open import RowFile
from ingest.rows.mapper import Mapper
from ingest.rows.profile import Profile
from ingest.rows.ticket_in import HistoricalTicket, future_problem


class MappedRow(NamedTuple):
    """A row that became a ticket. The row stays at hand: the database may refuse the ticket yet."""

    row: SourceRow
    ticket: HistoricalTicket


class RejectedRow(NamedTuple):
    """A row that did not, why, and the whole of it as text."""

    row: SourceRow
    errors: tuple[FieldProblem, ...]
    raw: str


class MappedFile(NamedTuple):
    """An open file under a profile: the file for its progress, the mapper for its header."""

    file: RowFile
    mapper: Mapper


@contextmanager
def open_mapped(path: Path, profile: Profile, *, limits: FileLimits | None = None) -> Iterator[MappedFile]:
    """``path`` opened as ``profile`` has it. Raises ``BadRequest``, ``TooLarge`` or ``Invalid`` (a header without the
    columns that matter) before the first row."""
    with RowFile(
        path,
        wanted=profile.column_names(),
        header=HeaderRule(profile.known_columns),
        encoding=profile.file.encoding,
        delimiter=profile.file.delimiter,
        sheet=profile.file.sheet,
        limits=limits,
    ) as file:
        yield MappedFile(file, Mapper(profile, file.columns))


def map_rows(source: MappedFile, *, now: datetime | None = None, after: int = 0) -> Iterator[MappedRow | RejectedRow]:
    """Every row below number ``after``, as a ticket or as a reject, in order; none is dropped. With ``now``, a ticket
    received after it is a reject too."""
    columns = source.file.columns
    map_one = source.mapper.map
    for row in source.file.rows():
        if row.number <= after:
            continue
        found = map_one(row)
        if isinstance(found, HistoricalTicket):
            early = future_problem(found, now) if now is not None else None
            if early is None:
                yield MappedRow(row, found)
                continue
            found = (early,)
        yield RejectedRow(row, found, raw_text(row, columns))
