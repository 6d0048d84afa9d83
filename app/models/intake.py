"""Intake: import runs, rejects, and responses to idempotent requests."""

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, document, moment, moment_or_none
from app.models.types import BigInt


class ImportRun(SQLModel, table=True):
    """One imported file. ``position`` is the last row with a committed outcome, so that an interrupted run can resume."""

    __tablename__ = "import_run"
    __table_args__ = (Index("ix_import_run_file", "file_sha256", "profile"),)
    id: int | None = big_key()
    file_name: str = Field(max_length=255)
    file_sha256: str = Field(max_length=64)
    profile: str = Field(max_length=100)
    columns: list[str] | None = document(nullable=True, default=None)
    source_id: int = Field(foreign_key="source.id")
    live: bool = False
    state: str = Field(default="running", max_length=16, description="running, done, failed")
    position: int = Field(default=0, sa_type=BigInt)
    created: int = 0
    unchanged: int = 0
    rejected: int = 0
    started_at: datetime = moment()
    finished_at: datetime | None = moment_or_none()
    actor: str = Field(max_length=100)


class Reject(SQLModel, table=True):
    """A row that could not be imported, stored whole with its errors."""

    __tablename__ = "reject"
    __table_args__ = (
        Index("ix_reject_state", "state", "id"),
        Index("ix_reject_reason", "reason", "id"),
        Index("ix_reject_digest", "source_id", "digest"),
        Index("ix_reject_external_id", "source_id", "external_id"),
    )
    id: int | None = big_key()
    source_id: int | None = Field(default=None, foreign_key="source.id")
    door: str = Field(max_length=16, description="push, batch, import, feed")
    run_id: int | None = Field(default=None, sa_type=BigInt, index=True)
    row: int | None = Field(default=None, description="number of the row in its file or batch; the first data row is 1")
    reason: str = Field(max_length=64, description="code of the first error: what rejects are grouped by")
    errors: list[dict[str, Any]] = document()
    raw: str = Field(description="the row as it came")
    digest: str = Field(max_length=64, description="SHA-256 of `raw`: what comes again is known again")
    external_id: str | None = Field(default=None, max_length=64, description="of a feed's record, where it can be read")
    profile: str | None = Field(default=None, max_length=100)
    state: str = Field(default="open", max_length=16, description="open, retried, deleted, superseded")
    ticket_id: int | None = Field(default=None, sa_type=BigInt)
    created_at: datetime = moment()
    settled_at: datetime | None = moment_or_none()
    settled_by: str | None = Field(default=None, max_length=100)


class IdempotentAnswer(SQLModel, table=True):
    """The response to a request with an ``Idempotency-Key``, for the same caller."""

    __tablename__ = "idempotent_answer"
    caller: str = Field(primary_key=True, max_length=100)
    key: str = Field(primary_key=True, max_length=128)
    request_hash: str = Field(max_length=64)
    status: int
    body: str
    created_at: datetime = moment(index=True)
