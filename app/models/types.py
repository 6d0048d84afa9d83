"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware ``moment``; exact. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without an offset reached the database: {moment.isoformat()}")
    return (moment - EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The moment, aware in UTC, of microseconds since 1970-01-01 UTC."""
    return EPOCH + timedelta(microseconds=value)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. ``timestamptz`` on PostgreSQL; on SQLite, which has no such type, an integer of microseconds since
    1970 UTC: exact, eight bytes, comparable, and five times faster to read than text. Naive times are refused."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        micros = to_micros(value)
        return value if dialect.name == "postgresql" else micros

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if dialect.name == "postgresql":
            return value.astimezone(UTC)  # type: ignore[no-any-return]
        return from_micros(value)


BigInt = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both; INTEGER on SQLite so that a primary key is the row id."""

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A JSON document: JSONB on PostgreSQL, text on SQLite."""
