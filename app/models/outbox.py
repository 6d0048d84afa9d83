"""The outbox: messages to be sent, written in the transaction that causes them, and what became of each delivery."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, document, moment, moment_or_none
from app.models.types import BigInt


class Outbox(SQLModel, table=True):
    """One message to be sent to every recipient in ``audience`` (roles of a unit or of the office), at least once.

    ``dedupe_key``: the same message is written once, however often its cause is processed.
    """

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("dedupe_key"), Index("ix_outbox_due", "state", "not_before"))
    id: int | None = big_key()
    kind: str = Field(max_length=32, description="alert_raised")
    dedupe_key: str = Field(max_length=128)
    audience: list[str] = document(default_factory=list)
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    ticket_id: int | None = Field(default=None, sa_type=BigInt, foreign_key="ticket.id")
    alert_id: int | None = Field(default=None, sa_type=BigInt, foreign_key="alert.id")
    channel: str | None = Field(default=None, max_length=32, description="none: every configured channel")
    payload: dict[str, Any] = document(default_factory=dict)
    created_at: datetime = moment()
    not_before: datetime = moment(description="when it is next tried")
    expires_at: datetime | None = moment_or_none()
    state: str = Field(default="pending", max_length=16, description="pending, sent, failed, expired")
    attempts: int = 0
    lease_until: datetime | None = moment_or_none(description="a process is sending it; free again after this")


class Delivery(SQLModel, table=True):
    """One attempt to deliver a message to one recipient through one channel."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("outbox_id", "recipient", "channel", "attempt"),)
    id: int | None = big_key()
    outbox_id: int = Field(sa_type=BigInt, foreign_key="outbox.id")
    recipient: str = Field(max_length=100)
    channel: str = Field(max_length=32)
    attempt: int
    at: datetime = moment()
    state: str = Field(max_length=16, description="sent, transient, permanent")
    answer: str | None = Field(default=None, max_length=500)
