"""The ticket (工单), its event log, deadlines, suspensions, extensions and callbacks."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, document, given_key, moment, moment_or_none
from app.models.types import BigInt


class Ticket(SQLModel, table=True):
    """The current state of one citizen request or dispute. Its events give the state at any earlier moment.

    ``due_at`` is the complete-deadline in force; ``next_check_at`` the moment at which the ladder next has something
    to decide (none: nothing to watch). ``head_seq`` and ``head_hash`` are the end of its chain of events.
    """

    __tablename__ = "ticket"
    __table_args__ = (
        UniqueConstraint("source_id", "external_id"),
        Index("ix_ticket_next_check", "next_check_at", sqlite_where=text("next_check_at IS NOT NULL"),
              postgresql_where=text("next_check_at IS NOT NULL")),
        Index("ix_ticket_received", "received_at", "id"),
        Index("ix_ticket_completed", "completed_at"),
        Index("ix_ticket_voided", "voided_at", sqlite_where=text("voided_at IS NOT NULL"),
              postgresql_where=text("voided_at IS NOT NULL")),
        Index("ix_ticket_status", "status", "id"),
        Index("ix_ticket_unit", "unit_id", "id"),
        Index("ix_ticket_category", "category_id", "id"),
        Index("ix_ticket_due", "due_at", "id"),
        Index("ix_ticket_number", "number"),
        Index("ix_ticket_phone", "reporter_phone", sqlite_where=text("reporter_phone IS NOT NULL"),
              postgresql_where=text("reporter_phone IS NOT NULL")),
    )  # fmt: skip

    id: int = given_key()
    number: str = Field(max_length=32, description="local date of receipt and the id, as printed on documents")
    source_id: int = Field(foreign_key="source.id")
    external_id: str = Field(max_length=64)
    fingerprint: str = Field(max_length=64, description="of the content as pushed: distinguishes a retry from a change")
    title: str = Field(max_length=200)
    content: str | None = None
    kind: str | None = Field(default=None, max_length=16)
    category_id: int | None = Field(default=None, foreign_key="category.id")
    priority: str = Field(default="normal", max_length=16)
    severity: str | None = Field(default=None, max_length=16)
    unit_id: int | None = Field(default=None, foreign_key="unit.id")
    first_unit_id: int | None = Field(default=None, foreign_key="unit.id", description="首问负责: never changes")
    grid_id: int | None = Field(default=None, foreign_key="grid.id", index=True)
    parent_id: int | None = Field(
        default=None, sa_type=BigInt, index=True, description="the earlier ticket of the same matter"
    )
    parent_external_id: str | None = Field(default=None, max_length=64)
    reporter_name: str | None = Field(default=None, max_length=100)
    reporter_phone: str | None = Field(default=None, max_length=40)
    reporter_id_number: str | None = Field(default=None, max_length=40)
    address: str | None = Field(default=None, max_length=500)
    latitude: float | None = None
    longitude: float | None = None
    attributes: dict[str, Any] | None = document(default=None, nullable=True)

    status: str = Field(max_length=16)
    stage: str = Field(default="assigned", max_length=16)
    card: str | None = Field(default=None, max_length=8)
    received_at: datetime = moment()
    recorded_at: datetime = moment(description="when Duban took it in")
    changed_at: datetime = moment(description="latest `at` of its events: rows unchanged since need no replay")
    source_due_at: datetime | None = moment_or_none()
    dispatched_at: datetime | None = moment_or_none()
    accepted_at: datetime | None = moment_or_none()
    contacted_at: datetime | None = moment_or_none()
    suspended_at: datetime | None = moment_or_none()
    completed_at: datetime | None = moment_or_none(description="its last completion")
    first_completed_at: datetime | None = moment_or_none()
    closed_at: datetime | None = moment_or_none()
    voided_at: datetime | None = moment_or_none()
    due_at: datetime | None = moment_or_none()
    provisional: bool = False
    policy_id: int | None = Field(default=None, foreign_key="policy_version.id")
    calendar_id: int | None = Field(default=None, foreign_key="calendar_version.id")
    round: int = Field(default=1, description="raised by each reopening")
    historical: bool = Field(default=False, description="imported history: does not wake the ladder")
    source_verdict: str | None = Field(
        default=None, max_length=8, description="on_time or late, as reported by the source"
    )
    result: str | None = None
    satisfaction: str | None = Field(default=None, max_length=24)
    resolved: bool | None = None
    returns: int = 0
    reopens: int = 0
    urges: int = 0
    dissatisfied: int = 0
    extensions: int = 0
    repeats: int = Field(default=0, description="later reports linked to this one")
    supervised: bool = False
    next_check_at: datetime | None = moment_or_none()
    version: int = 1
    head_seq: int = 0
    head_hash: str = Field(default="", max_length=64)


class TicketEvent(SQLModel, table=True):
    """One change of one ticket, never altered. ``at``: when it happened; ``recorded_at``: when it was written down.
    ``hash`` covers the event and the hash before it, so that a changed event breaks the chain."""

    __tablename__ = "ticket_event"
    ticket_id: int = Field(primary_key=True, sa_type=BigInt, foreign_key="ticket.id")
    seq: int = Field(primary_key=True)
    type: str = Field(max_length=32)
    at: datetime = moment()
    recorded_at: datetime = moment(index=True)
    actor: str = Field(max_length=100)
    data: dict[str, Any] = document()
    prev_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64)


class Deadline(SQLModel, table=True):
    """One deadline of one ticket. A reopening opens a new ``round``; ``revision`` grows whenever ``due_at`` moves, so
    that a moved deadline can be warned of again, and an unmoved one never twice.

    ``policy_id`` and ``calendar_id`` name versions, which are never deleted; that they exist is checked where a ticket
    names them, and not once more for each of its deadlines: that took an eighth of the database's time for a push."""

    __tablename__ = "deadline"
    ticket_id: int = Field(primary_key=True, sa_type=BigInt, foreign_key="ticket.id")
    target: str = Field(primary_key=True, max_length=16)
    round: int = Field(primary_key=True, default=1)
    revision: int = 1
    started_at: datetime = moment()
    due_at: datetime = moment()
    met_at: datetime | None = moment_or_none()
    cancelled_at: datetime | None = moment_or_none(description="no longer asked for: void, superseded")
    provisional: bool = False
    basis: str = Field(default="policy", max_length=8, description="policy, or source: the upstream's own limit binds")
    limit: dict[str, Any] | None = document(default=None, nullable=True)
    extended_days: int = 0
    policy_id: int | None = Field(default=None, description="of a policy version")
    calendar_id: int | None = Field(default=None, description="of a calendar version")


class Suspension(SQLModel, table=True):
    """A span in which the unit clock is paused; open while ``to_at`` is missing."""

    __tablename__ = "suspension"
    id: int | None = big_key()
    ticket_id: int = Field(sa_type=BigInt, foreign_key="ticket.id", index=True)
    from_at: datetime = moment()
    to_at: datetime | None = moment_or_none()
    until: datetime | None = moment_or_none(description="when it is expected to end")
    reason: str = Field(max_length=2000)
    actor: str = Field(max_length=100)


class Extension(SQLModel, table=True):
    """A request for more working days (延期), decided by another person than the requester."""

    __tablename__ = "extension"
    id: int | None = big_key()
    ticket_id: int = Field(sa_type=BigInt, foreign_key="ticket.id", index=True)
    round: int = 1
    days: int
    reason: str = Field(max_length=2000)
    state: str = Field(default="pending", max_length=16, index=True)
    asked_by: str = Field(max_length=100)
    asked_at: datetime = moment()
    ruled_by: str | None = Field(default=None, max_length=100)
    ruled_at: datetime | None = moment_or_none()
    note: str | None = Field(default=None, max_length=2000)


class Callback(SQLModel, table=True):
    """One callback attempt (回访), with the citizen's answers."""

    __tablename__ = "callback"
    id: int | None = big_key()
    ticket_id: int = Field(sa_type=BigInt, foreign_key="ticket.id", index=True)
    round: int = 1
    at: datetime = moment()
    outcome: str = Field(max_length=16)
    satisfaction: str | None = Field(default=None, max_length=24)
    resolved: bool | None = None
    speed: int | None = None
    attitude: int | None = None
    result_score: int | None = None
    remark: str | None = Field(default=None, max_length=2000)
    actor: str = Field(max_length=100)
