"""Pulled sources: each feed with its cursor and state, the log of its pulls, and the last version of each record."""

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, document, moment, moment_or_none
from app.models.types import BigInt, Json


class Feed(SQLModel, table=True):
    """One feed. ``position`` moves only in the transaction that stores the pulled rows; ``lease_*`` name the current
    puller; ``failures`` and ``open_until`` are the circuit breaker. ``spec`` holds references to secrets, never secrets."""

    __tablename__ = "feed"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, max_length=64)
    source_id: int = Field(foreign_key="source.id")
    kind: str = Field(max_length=16, description="rest, open311, folder")
    spec: dict[str, Any] = document(description="the feed as ingest.connectors.spec.FeedSpec")
    active: bool = True
    position: dict[str, Any] = document(description="the cursor: how far everything is committed")
    lease_holder: str | None = Field(default=None, max_length=128)
    lease_until: datetime | None = moment_or_none()
    failures: int = Field(default=0, description="failed pulls in a row")
    open_until: datetime | None = moment_or_none(description="no pull before, since the upstream keeps failing")
    last_started_at: datetime | None = moment_or_none()
    last_done_at: datetime | None = moment_or_none(description="end of the last pull that reached the upstream's end")
    last_error: dict[str, Any] | None = Field(default=None, sa_type=Json, nullable=True)
    newest_at: datetime | None = moment_or_none(description="the latest change reported by the upstream")
    skew_seconds: int | None = Field(default=None, description="upstream's clock less ours, by its Date header")
    created: int = Field(default=0, sa_type=BigInt)
    corrected: int = Field(default=0, sa_type=BigInt)
    unchanged: int = Field(default=0, sa_type=BigInt)
    rejected: int = Field(default=0, sa_type=BigInt)
    added_at: datetime = moment()
    added_by: str = Field(max_length=100)
    pull_asked_by: str | None = Field(default=None, max_length=100, description="who wants it pulled now")
    reconcile_asked: str | None = Field(default=None, max_length=10, description="a day that somebody wants compared")
    reconcile_asked_by: str | None = Field(default=None, max_length=100)


class FeedPull(SQLModel, table=True):
    """One pull or reconciliation of a feed."""

    __tablename__ = "feed_pull"
    __table_args__ = (
        Index("ix_feed_pull_feed", "feed_id", "id"),
        Index("ix_feed_pull_started", "feed_id", "started_at"),
    )
    id: int | None = big_key()
    feed_id: int = Field(foreign_key="feed.id")
    kind: str = Field(default="pull", max_length=16, description="pull, reconcile")
    state: str = Field(default="running", max_length=16, description="running, done, failed, stopped")
    started_at: datetime = moment()
    finished_at: datetime | None = moment_or_none()
    pages: int = 0
    retries: int = 0
    created: int = 0
    corrected: int = 0
    unchanged: int = 0
    rejected: int = 0
    error: dict[str, Any] | None = Field(default=None, sa_type=Json, nullable=True)
    detail: dict[str, Any] | None = Field(default=None, sa_type=Json, nullable=True)
    actor: str = Field(max_length=100)


class FeedRecord(SQLModel, table=True):
    """The last version of one record that became a ticket, by which an older or equal version is recognized."""

    __tablename__ = "feed_record"
    feed_id: int = Field(primary_key=True, foreign_key="feed.id")
    external_id: str = Field(primary_key=True, max_length=64)
    ticket_id: int = Field(sa_type=BigInt)
    updated_at: datetime | None = moment_or_none(description="by the upstream's clock")
    digest: str = Field(max_length=64, description="SHA-256 of the record as it came")
