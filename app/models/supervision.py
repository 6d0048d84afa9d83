"""Supervision: alerts (预警), the feed that live viewers follow, supervision orders (督办单)."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, document, moment, moment_or_none
from app.models.types import BigInt


class Alert(SQLModel, table=True):
    """One alert: at most one for each ticket, deadline (target, round, revision) and rung.

    ``breach_at`` is the moment that was reached (for the rung at the deadline, the deadline itself), never the moment
    a sweep saw it; ``passed_over`` names the lower rungs that a late sweep did not raise one by one;
    ``notify`` the roles it is sent to.
    """

    __tablename__ = "alert"
    __table_args__ = (
        UniqueConstraint("ticket_id", "target", "round", "revision", "rung"),
        Index("ix_alert_open", "state", "id"),
    )
    id: int | None = big_key()
    ticket_id: int = Field(sa_type=BigInt, foreign_key="ticket.id")
    target: str = Field(max_length=16)
    round: int
    revision: int
    rung: str = Field(max_length=32)
    card: str | None = Field(default=None, max_length=8)
    unit_id: int | None = Field(default=None, foreign_key="unit.id", index=True)
    breach_at: datetime = moment()
    due_at: datetime = moment()
    raised_at: datetime = moment()
    passed_over: list[str] = document(default_factory=list)
    notify: list[str] = document(default_factory=list)
    state: str = Field(default="open", max_length=16)
    acked_by: str | None = Field(default=None, max_length=100)
    acked_at: datetime | None = moment_or_none()
    resolved_at: datetime | None = moment_or_none()
    resolution: str | None = Field(default=None, max_length=32)


class AlertFeed(SQLModel, table=True):
    """What happened to alerts, numbered without gaps in the order of commit: a viewer that has seen ``id`` n has seen
    everything up to n. The number comes from a counter row that the writing transaction holds to its end."""

    __tablename__ = "alert_feed"
    id: int = Field(primary_key=True, sa_type=BigInt, sa_column_kwargs={"autoincrement": False})
    alert_id: int = Field(sa_type=BigInt, foreign_key="alert.id")
    kind: str = Field(max_length=16, description="raised, acked, resolved")
    at: datetime = moment()


class SupervisionOrder(SQLModel, table=True):
    """A numbered supervision order (督办单). A ticket has one live order at most; later triggers advance it."""

    __tablename__ = "supervision_order"
    __table_args__ = (
        UniqueConstraint("year", "serial"),
        Index("uq_supervision_order_live", "ticket_id", unique=True, sqlite_where=text("live"), postgresql_where=text("live")),
        Index("ix_supervision_order_ticket", "ticket_id"),
    )  # fmt: skip
    id: int | None = big_key()
    year: int
    serial: int
    ticket_id: int = Field(sa_type=BigInt, foreign_key="ticket.id")
    unit_id: int | None = Field(default=None, foreign_key="unit.id", index=True)
    live: bool = True
    state: str = Field(default="issued", max_length=16, description="issued, replied, closed, cancelled")
    trigger: str = Field(max_length=16, description="overdue, dissatisfied, repeated, leader: the first one")
    triggers: list[dict[str, Any]] = document(default_factory=list)
    term: int = Field(default=1, description="grows when its own limit passes or a reply is refused")
    issued_at: datetime = moment()
    due_at: datetime = moment()
    signatory: str | None = Field(default=None, max_length=100)
    demand: str | None = Field(default=None, max_length=2000)
    reply: str | None = Field(default=None, max_length=10_000)
    replied_by: str | None = Field(default=None, max_length=100)
    replied_at: datetime | None = moment_or_none()
    ruling: str | None = Field(default=None, max_length=2000)
    ruled_by: str | None = Field(default=None, max_length=100)
    ruled_at: datetime | None = moment_or_none()
    closed_at: datetime | None = moment_or_none()
    version: int = 1
