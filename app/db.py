"""The database: one engine, sessions for reading and for writing, migrations.

A writing session begins with ``BEGIN IMMEDIATE`` on SQLite, so that it waits for its turn at the start and can never
fail half-way because a reader wanted to become a writer. On PostgreSQL it is an ordinary transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from app.turns import Turns

_HERE = Path(__file__).resolve().parent
MIGRATIONS = next(p for p in (_HERE / "migrations", _HERE.parent / "alembic") if (p / "env.py").is_file())
"""The migration scripts: ``alembic/`` beside the package in a checkout, ``app/migrations`` in an installation.

(An installed ``alembic`` beside ``app`` is the library; ``pyproject.toml`` says where the wheel puts the scripts.)"""

PATIENCE = 30.0
"""Seconds for which a writer waits for SQLite to be free."""
_WRITE = "duban_write"


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun by _on_begin, not by the driver
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # what was answered 201 is on the disk
            "foreign_keys=ON",
            f"busy_timeout={PATIENCE * 1000:.0f}",
            "cache_size=-32000",
            "wal_autocheckpoint=4000",  # 16 MiB: what is written again and again is copied once
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def make_engine(url: str, *, pool_size: int = 10, behind_pooler: bool = False) -> Engine:
    """An engine for ``url`` (sqlite or postgresql+psycopg), with JSON through orjson and naive times refused.

    ``behind_pooler``: prepare no statements, which a pooler in transaction mode would lose. Errors carry no parameters:
    they may hold personal data, and errors are logged."""
    backend = make_url(url).get_backend_name()
    options: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": orjson.loads, "hide_parameters": True}
    if backend == "sqlite":
        database = make_url(url).database
        if database and database != ":memory:":
            Path(database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url, connect_args={"check_same_thread": False, "timeout": PATIENCE, "cached_statements": 256}, **options
        )
        _prepare_sqlite(engine)
        return engine
    options["connect_args"] = {"prepare_threshold": None} if behind_pooler else {}
    return create_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, **options)


class Database:
    """The engine of one process, with a session for reading and one for writing."""

    def __init__(self, url: str, *, pool_size: int = 10, behind_pooler: bool = False) -> None:
        self.url = url
        self.engine = make_engine(url, pool_size=pool_size, behind_pooler=behind_pooler)
        self.writer = self.engine.execution_options(**{_WRITE: True})
        self._turns: AbstractContextManager[object] = nullcontext() if self.is_postgresql else Turns(PATIENCE)

    @property
    def is_postgresql(self) -> bool:
        """Whether row locks, COPY and several writers are there."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the data and is rolled back at its end."""
        with Session(self.engine, autoflush=False) as session:
            yield session

    @contextmanager
    def transaction(self, connection: Connection | None = None) -> Iterator[Session]:
        """A writing session that is rolled back unless the caller commits it (``UnitOfWork.complete`` does).

        ``connection``: one of ``writer`` that the caller keeps, in place of one from the pool."""
        with (
            self.turn(),
            Session(connection if connection is not None else self.writer, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A writing session that is committed if the block ends well, and rolled back if it does not: for rows that no
        alert depends on. A use case takes a ``UnitOfWork``."""
        with self.transaction() as session:
            yield session
            session.commit()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Whatever writes does so within this: on SQLite one thread at a time, in the order of arrival (other processes
        are waited for by SQLite itself). Raises OperationalError where the turn does not come."""
        try:
            self._turns.__enter__()
        except TimeoutError as error:
            raise OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError(str(error))) from error
        try:
            yield
        finally:
            self._turns.__exit__(None, None, None)

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _alembic_config(url: str) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    config.attributes["url"] = url
    return config


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` to ``revision``; safe to call from several processes at once, and again."""
    alembic.command.upgrade(_alembic_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database at ``url`` back to ``revision`` (``base``: empty)."""
    alembic.command.downgrade(_alembic_config(url), revision)
