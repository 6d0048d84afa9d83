"""Sealed reports and the clear-out ledger (清零)."""

from typing import Any

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, document, moment, moment_or_none
from app.models.types import BigInt


class Report(SQLModel, table=True):
    """One edition of a report: its figures, its facts (Parquet), the definitions' version and a hash over them.

    The first edition of (kind, period, scope) is 1; a correction (更正) is a new edition and never overwrites one.
    """

    __tablename__ = "report"
    __table_args__ = (
        UniqueConstraint("kind", "period", "scope", "edition"),
        Index("ix_report_start", "start_at"),
    )
    id: int | None = big_key()
    kind: str = Field(max_length=16)
    period: str = Field(max_length=32)
    scope: str = Field(default="", max_length=64, description="code of a unit, or empty for the whole")
    edition: int = 1
    start_at: datetime = moment()
    end_at: datetime = moment()
    as_of: datetime = moment()
    definitions_version: str = Field(max_length=64)
    hash: str = Field(max_length=64)
    body: dict[str, Any] = document()
    difference: dict[str, Any] | None = document(default=None, nullable=True)
    facts: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = moment()
    created_by: str = Field(max_length=100)


class ClearOutEntry(SQLModel, table=True):
    """One row of a month's frozen clear-out list."""

    __tablename__ = "clear_out_entry"
    month: str = Field(primary_key=True, max_length=7)
    ticket_id: int = Field(primary_key=True, sa_type=BigInt, foreign_key="ticket.id")
    reasons: list[dict[str, Any]] = document()
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    stage: str = Field(max_length=16)
    unit_seconds: int = Field(sa_type=BigInt, description="working seconds open on the unit clock")
    citizen_seconds: int = Field(sa_type=BigInt, description="natural seconds open on the citizen clock")
    lists: int = Field(default=1, description="number of lists it has been on, this one included")
    leader: str | None = Field(default=None, max_length=100)
    measures: str | None = Field(default=None, max_length=2000)
    condition: str | None = Field(default=None, max_length=2000, description="when it counts as cleared")
    state: str = Field(default="open", max_length=16, description="open, cleared, carried_over")
    cleared_at: datetime | None = moment_or_none()
    version: int = 1


class ClearOutList(SQLModel, table=True):
    """A month's list, frozen on the first day of the next."""

    __tablename__ = "clear_out_list"
    month: str = Field(primary_key=True, max_length=7)
    as_of: datetime = moment()
    created_at: datetime = moment()
    created_by: str = Field(max_length=100)
    settings: dict[str, Any] = document(default_factory=dict)
    summary: dict[str, Any] = document(default_factory=dict)
