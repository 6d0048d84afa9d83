"""Rows → map → validate: the pure half of the pipeline, shared by files and feeds. Rejected rows are returned whole."""

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
    """A row mapped to a ticket. The source row is included because the database may still refuse the ticket."""

    row: SourceRow
    ticket: HistoricalTicket


class RejectedRow(NamedTuple):
    """A row that is not a valid ticket, its errors, and the whole row as text."""

    row: SourceRow
    errors: tuple[FieldProblem, ...]
    raw: str


class MappedFile(NamedTuple):
    """An open file and the mapper of its profile for its header."""

    file: RowFile
    mapper: Mapper


@contextmanager
def open_mapped(path: Path, profile: Profile, *, limits: FileLimits | None = None) -> Iterator[MappedFile]:
    """Open ``path`` by ``profile``. Raises ``BadRequest``, ``TooLarge`` or ``Invalid`` (the header lacks required
    columns) before the first row."""
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
    """Yield every row with a number above ``after`` as a ticket or a reject, in order; none is dropped. With ``now``, a
    ticket received in the future is a reject too."""
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
