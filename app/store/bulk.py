"""Bulk insertion without the ORM: COPY on PostgreSQL, multi-row VALUES on SQLite.

Rows are dicts of Python values, as ``services.intake.create.PreparedTicket`` holds them. They are transposed into columns
first: a column is converted at once, and an empty one is omitted. Three methods, chosen by measurement
(``bench/bulk.py``):

    SQLite                    INSERT … VALUES (…), (…), …: moments as microseconds and JSON as text
    PostgreSQL, few tickets   one statement for all tables, the rows as one JSON document each: one round trip
    PostgreSQL, many          binary COPY of each table; after a lost race for a key, INSERT … ON CONFLICT

The session's own work is flushed before, so that the order of statements is the order of the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import JSON, BigInteger, Boolean, Float, Integer, Table, Text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from app.models import Callback, Deadline, Reject, Ticket, TicketEvent
from app.models.types import UtcDateTime, to_micros

Row = Mapping[str, Any]
COPY_FROM = 96
"""Tickets from which on COPY beats one statement with the rows as JSON (PostgreSQL 15: even between 64 and 128)."""
VALUES = 64
"""Rows of one INSERT on SQLite. Python lets go of its interpreter lock for each statement, and takes it again; row by
row, that slows down every other thread of the process."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a group of new tickets, by table. Every row of a table has the same keys."""

    tickets: Sequence[Row]
    events: Sequence[Row]
    deadlines: Sequence[Row]
    callbacks: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class _Shape:
    """A table as the bulk path needs it: its columns, what each holds, and what PostgreSQL calls that."""

    table: str
    names: tuple[str, ...]
    moments: frozenset[str]
    documents: frozenset[str]
    pg_types: Mapping[str, str]
    required: frozenset[str]


@cache
def _shape(model: type[Any], *left_out: str) -> _Shape:
    table: Table = model.__table__
    columns = [column for column in table.columns if column.name not in left_out]
    return _Shape(
        table.name,
        tuple(column.name for column in columns),
        frozenset(column.name for column in columns if isinstance(column.type, UtcDateTime)),
        frozenset(column.name for column in columns if isinstance(column.type, JSON)),
        {column.name: _pg_type(column.type) for column in columns},
        frozenset(column.name for column in columns if not column.nullable),
    )


def _pg_type(kind: Any) -> str:
    known: tuple[tuple[type[Any], str], ...] = (
        (UtcDateTime, "timestamptz"), (JSON, "jsonb"), (Boolean, "bool"), (Float, "float8"), (BigInteger, "int8"),
        (Integer, "int4"), (Text, "text"),
    )  # fmt: skip
    return next((name for each, name in known if isinstance(kind, each)), "text")


def insert_tickets(session: Session, rows: Rows) -> set[int]:
    """Store new tickets with their dependent rows; returns the ids of those not stored because another transaction has
    stored their (source, external id) in the meantime. No row of such a ticket is written.

    ``rows.tickets`` must not contain a key twice. Raises ``DBAPIError`` for content that the database rejects; the
    transaction must then be rolled back.
    """
    if not rows.tickets:
        return set()
    session.flush()
    # Processes with the same keys acquire their locks in the same order, which avoids deadlocks.
    ordered = Rows(
        sorted(rows.tickets, key=itemgetter("source_id", "external_id")), rows.events, rows.deadlines, rows.callbacks
    )
    if session.get_bind().dialect.name != "postgresql":
        _insert_on_sqlite(session, ordered)  # nobody else writes meanwhile: no key can be lost
        return set()
    if len(rows.tickets) < COPY_FROM:
        return _insert_by_one_statement(session, ordered)
    return _copy_tickets(session, ordered)


def insert_rejects(session: Session, rows: Sequence[Row]) -> None:
    """Store rejects."""
    if not rows:
        return
    session.flush()
    shape = _shape(Reject, "id")
    if session.get_bind().dialect.name == "postgresql":
        with _cursor(session) as cursor:
            _copy(cursor, shape, rows)
    else:
        _insert_values(session, shape, rows, {})


def _columns(shape: _Shape, rows: Sequence[Row], few: int = 0) -> tuple[list[str], list[Sequence[Any]]]:
    """The rows as columns; those without a single value are left out, unless there are ``few`` rows or fewer."""
    taken: list[Sequence[Any]] = list(zip(*map(itemgetter(*shape.names), rows), strict=True))
    if len(rows) <= few:
        return list(shape.names), taken
    kept = [
        (name, values)
        for name, values in zip(shape.names, taken, strict=True)
        if values[0] is not None or name in shape.required or values.count(None) < len(values)
    ]
    return [name for name, _ in kept], [values for _, values in kept]


# -- SQLite ------------------------------------------------------------------------------------------------------------


def _insert_on_sqlite(session: Session, rows: Rows) -> None:
    known: dict[datetime, int] = {}  # most moments of a ticket stand in all of its tables
    _insert_values(session, _shape(Ticket), rows.tickets, known)
    _insert_values(session, _shape(TicketEvent), rows.events, known)
    _insert_values(session, _shape(Deadline), rows.deadlines, known)
    _insert_values(session, _shape(Callback, "id"), rows.callbacks, known)


def _insert_values(session: Session, shape: _Shape, rows: Sequence[Row], known: dict[datetime, int]) -> None:
    """Insert; ``known`` are the microseconds of moments met so far."""
    if not rows:
        return
    names, columns = _columns(shape, rows, VALUES)  # the same columns for every small group: a statement parsed already
    written: dict[int, str] = {}
    ready: list[Sequence[Any]] = []
    for name, values in zip(names, columns, strict=True):
        if name in shape.moments:
            values = [None if value is None else known.get(value) or _remember(known, value) for value in values]
        elif name in shape.documents:
            values = [None if value is None else written.get(id(value)) or _write(written, value) for value in values]
        ready.append(values)
    raw = session.connection().connection.driver_connection
    assert raw is not None, "a session's connection is open"
    values, width = list(chain.from_iterable(zip(*ready, strict=True))), len(names)
    at = 0
    try:
        while at < len(values):
            size = min(VALUES, 1 << ((len(values) - at) // width).bit_length() - 1)
            raw.execute(_statement(shape.table, tuple(names), size), values[at : at + size * width])
            at += size * width
    except raw.Error as error:
        # As SQLAlchemy would raise it, so that callers see one kind of error whichever way a row was written.
        raise DBAPIError.instance(f"INSERT INTO {shape.table}", None, error, raw.Error) from error


@lru_cache(maxsize=512)
def _statement(table: str, names: tuple[str, ...], size: int) -> str:
    """``size`` is a power of two, so that there are few statements, and each is parsed once for a connection."""
    columns, row = ",".join(f'"{name}"' for name in names), ",".join("?" * len(names))
    return f'INSERT INTO "{table}" ({columns}) VALUES {",".join([f"({row})"] * size)}'


def _remember(known: dict[datetime, int], moment: datetime) -> int:
    known[moment] = micros = to_micros(moment)
    return micros


def _write(written: dict[int, str], document: Any) -> str:
    """The document as JSON. Limits of one policy are one object, written once; the rows hold on to it meanwhile."""
    written[id(document)] = done = orjson.dumps(document).decode()
    return done


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


def _cursor(session: Session) -> psycopg.Cursor[Any]:
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw.cursor()


def _copy(cursor: psycopg.Cursor[Any], shape: _Shape, rows: Sequence[Row]) -> None:
    names, columns = _columns(shape, rows)
    ready = [
        [None if value is None else Jsonb(value, orjson.dumps) for value in values]
        if name in shape.documents
        else values
        for name, values in zip(names, columns, strict=True)
    ]
    quoted = ",".join(f'"{name}"' for name in names)
    statement: Any = f'COPY "{shape.table}" ({quoted}) FROM STDIN (FORMAT BINARY)'
    try:
        with cursor.copy(statement) as copy:
            copy.set_types([shape.pg_types[name] for name in names])
            write_row = copy.write_row
            for row in zip(*ready, strict=True):
                write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(f"COPY {shape.table}", None, error, psycopg.Error) from error


def _copy_tickets(session: Session, rows: Rows) -> set[int]:
    """COPY the tickets under a savepoint. COPY knows no ON CONFLICT; a lost race is so rare that the group is then
    written again by INSERT, which does."""
    with _cursor(session) as cursor:
        cursor.execute("SAVEPOINT duban_copy")
        try:
            _copy(cursor, _shape(Ticket), rows.tickets)
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.UniqueViolation):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT duban_copy")
            return _insert_by_one_statement(session, rows)
        cursor.execute("RELEASE SAVEPOINT duban_copy")
        for shape, hanging in (
            (_shape(TicketEvent), rows.events),
            (_shape(Deadline), rows.deadlines),
            (_shape(Callback, "id"), rows.callbacks),
        ):
            if hanging:
                _copy(cursor, shape, hanging)
    return set()


def _insert_by_one_statement(session: Session, rows: Rows) -> set[int]:
    """Every table in one statement; the rows of a ticket that lost a race are not written."""
    parts = [
        ("t", _shape(Ticket), rows.tickets, "", "ON CONFLICT (source_id, external_id) DO NOTHING RETURNING id"),
        ("e", _shape(TicketEvent), rows.events, "WHERE ticket_id IN (SELECT id FROM t)", ""),
        ("d", _shape(Deadline), rows.deadlines, "WHERE ticket_id IN (SELECT id FROM t)", ""),
        ("c", _shape(Callback, "id"), rows.callbacks, "WHERE ticket_id IN (SELECT id FROM t)", ""),
    ]
    steps, documents = [], []
    for alias, shape, given, where, end in parts:
        if not given:
            continue
        quoted = ",".join(f'"{name}"' for name in shape.names)
        steps.append(
            f'{alias} AS (INSERT INTO "{shape.table}" ({quoted}) '
            f'SELECT {quoted} FROM json_populate_recordset(NULL::"{shape.table}", %s) {where} {end})'
        )
        documents.append(orjson.dumps(given).decode())
    statement: Any = f"WITH {', '.join(steps)} SELECT id FROM t"
    try:
        with _cursor(session) as cursor:
            there = {key for (key,) in cursor.execute(statement, documents)}
    except psycopg.Error as error:
        raise DBAPIError.instance("INSERT INTO ticket", None, error, psycopg.Error) from error
    return {row["id"] for row in rows.tickets} - there


# -- looking up --------------------------------------------------------------------------------------------------------

_STORED = {
    "postgresql": "SELECT external_id, id, fingerprint FROM ticket WHERE source_id = %s AND external_id = ANY(%s)",
    "sqlite": "SELECT external_id, id, fingerprint FROM ticket "
    "WHERE source_id = ? AND external_id IN (SELECT value FROM json_each(?))",
}


def stored_tickets(session: Session, source_id: int, external_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """The ticket ids and fingerprints of those external ids of a source that exist, in one query."""
    if not external_ids:
        return {}
    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":
        # Planned each time: a plan made while the table was empty reads all of it, chunk after chunk, once it is not.
        with _cursor(session) as cursor:
            found = cursor.execute(_STORED[dialect], (source_id, list(external_ids)), prepare=False).fetchall()
    else:
        keys = orjson.dumps(list(external_ids)).decode()
        found = list(session.connection().exec_driver_sql(_STORED[dialect], (source_id, keys)))
    return {external_id: (ticket_id, fingerprint) for external_id, ticket_id, fingerprint in found}
