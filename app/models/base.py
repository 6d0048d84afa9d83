"""What every table shares: the metadata with its naming convention, and shorthands for columns."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from app.models.types import BigInt, Json, UtcDateTime

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def moment(*, index: bool = False, description: str | None = None) -> Any:
    """A moment that must be there."""
    return Field(sa_type=UtcDateTime, index=index, description=description)


def moment_or_none(*, index: bool = False, description: str | None = None) -> Any:
    """A moment that may be missing."""
    return Field(default=None, sa_type=UtcDateTime, nullable=True, index=index, description=description)


def big_key() -> Any:
    """A 64-bit primary key given by the database."""
    return Field(default=None, primary_key=True, sa_type=BigInt)


def given_key() -> Any:
    """A 64-bit primary key given by ``store.ids`` before the insert, so that rows can be written in bulk."""
    return Field(primary_key=True, sa_type=BigInt, sa_column_kwargs={"autoincrement": False})


def document(**kwargs: Any) -> Any:
    """A JSON document."""
    return Field(sa_type=Json, **kwargs)


__all__ = ["SQLModel", "big_key", "datetime", "document", "given_key", "moment", "moment_or_none"]
