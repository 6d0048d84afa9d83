"""Classify database errors: a row that cannot be stored, or a database that is unavailable."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from app.errors import Busy, Conflict, DubanError, Invalid

_AWAY = frozenset({"08", "25", "53", "55", "57", "58", "XX"})
"""Classes of SQLSTATE not caused by a row: connection, read-only standby, resources, locks, shutdown, system."""
_AGAIN = frozenset({"08", "40", "57"})
"""Classes after which the same transaction may well succeed: lost connection, deadlock, a restart."""


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def is_away(error: BaseException) -> bool:
    """Whether the database itself is the cause, not the data: unreachable, locked, full, read-only."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.OperationalError | DisconnectionError | NoFreeConnection):
        return True
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return cause.sqlstate[:2] in _AWAY or cause.sqlstate[:2] == "40"


def may_pass(error: BaseException) -> bool:
    """Whether to retry the same transaction at once: the connection was lost, or a deadlock was broken.

    The transaction may have been committed nevertheless: the retry must check that."""
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return isinstance(cause, DisconnectionError)
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return cause.sqlstate[:2] in _AGAIN


def is_unstorable(error: BaseException) -> bool:
    """Whether the database rejected a value as such: a NUL in a text, a number out of range."""
    return isinstance(_cause(error), sqlite3.DataError | psycopg.DataError)


def is_taken(error: BaseException) -> bool:
    """Whether a unique constraint was violated: another transaction created the same at the same time."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.IntegrityError):
        return cause.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return isinstance(cause, psycopg.errors.UniqueViolation)


def is_of_a_row(error: BaseException) -> bool:
    """Whether the database rejected the data: an unsupported value, or a violated constraint."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.DataError | sqlite3.IntegrityError | psycopg.DataError | psycopg.IntegrityError):
        return True
    return isinstance(cause, psycopg.Error) and (cause.sqlstate or "")[:2] == "54"


def away() -> Busy:
    """The error reported while the database is unavailable."""
    return Busy("数据库暂不可用，请稍后重试", "the database is away, try again", retry_after=2)


def refusal_of(error: DBAPIError) -> DubanError | None:
    """The refusal that answers an error of the database; none where it is a defect of Duban."""
    if is_away(error):
        return away()
    if is_taken(error):
        return Conflict("已存在相同的记录，请刷新后重试", "it exists already: it was created at the same time")
    if is_unstorable(error):
        return Invalid.at("", "含有数据库无法保存的字符", "holds text that no database keeps")
    return None
