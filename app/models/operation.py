"""Operation: seals over event chains, leases, records of jobs."""

from sqlmodel import Field, SQLModel

from app.models.base import big_key, datetime, moment, moment_or_none
from app.models.types import BigInt


class Seal(SQLModel, table=True):
    """A seal over the heads of all chains that grew since the seal before: ``root`` covers them and that seal's root."""

    __tablename__ = "seal"
    id: int | None = big_key()
    sealed_at: datetime = moment()
    cut_at: datetime = moment(description="events recorded up to here are under this seal or an earlier one")
    entries: int
    prev_root: str = Field(max_length=64)
    root: str = Field(max_length=64)


class SealEntry(SQLModel, table=True):
    """The head of one chain as a seal found it."""

    __tablename__ = "seal_entry"
    ticket_id: int = Field(primary_key=True, sa_type=BigInt)
    seq: int = Field(primary_key=True)
    hash: str = Field(max_length=64)
    seal_id: int = Field(sa_type=BigInt, foreign_key="seal.id", index=True)


class Lease(SQLModel, table=True):
    """The leader of a periodic task and the end of its lease; ``epoch`` grows with each change of leader."""

    __tablename__ = "lease"
    name: str = Field(primary_key=True, max_length=32)
    holder: str = Field(max_length=100)
    epoch: int = 1
    expires_at: datetime = moment()


class JobRun(SQLModel, table=True):
    """A periodic job done for one period, from which a restart finds the missed periods."""

    __tablename__ = "job_run"
    job: str = Field(primary_key=True, max_length=32)
    period: str = Field(primary_key=True, max_length=32)
    started_at: datetime = moment()
    done_at: datetime | None = moment_or_none()
    error: str | None = Field(default=None, max_length=500)


class SweepRun(SQLModel, table=True):
    """The last run of a sweeper, for ``/readyz``."""

    __tablename__ = "sweep_run"
    holder: str = Field(primary_key=True, max_length=100)
    at: datetime = moment()
    checked: int = 0
    alerts: int = 0
