"""Reference data: sources, units, grids, categories, calendars, policies, ladders."""

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from app.models.base import datetime, document, moment, moment_or_none
from app.models.types import BigInt


class Source(SQLModel, table=True):
    """Where tickets come from (来源). ``binds_due``: its own limit binds instead of the policy's."""

    __tablename__ = "source"
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(unique=True, max_length=64)
    name: str = Field(max_length=200)
    name_en: str | None = Field(default=None, max_length=200)
    binds_due: bool = False
    active: bool = True


class Unit(SQLModel, table=True):
    """A responsible unit (责任单位); units form a tree. ``path`` is ``/1/7/12/``: the ids from the root to itself."""

    __tablename__ = "unit"
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(unique=True, max_length=64)
    name: str = Field(max_length=200)
    name_en: str | None = Field(default=None, max_length=200)
    parent_id: int | None = Field(default=None, foreign_key="unit.id", index=True)
    path: str = Field(default="/", max_length=400, index=True)
    tier: str | None = Field(default=None, max_length=64, description="units are ranked against their tier only")
    calendar_code: str | None = Field(default=None, max_length=64, description="for its subtree; none: the parent's")
    active: bool = True


class Grid(SQLModel, table=True):
    """A node of the area tree (网格), of any depth."""

    __tablename__ = "grid"
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(unique=True, max_length=64)
    name: str = Field(max_length=200)
    name_en: str | None = Field(default=None, max_length=200)
    parent_id: int | None = Field(default=None, foreign_key="grid.id", index=True)
    path: str = Field(default="/", max_length=400, index=True)
    active: bool = True


class Category(SQLModel, table=True):
    """A node of the category tree (分类). ``practical``: counts as a practical matter (实事类)."""

    __tablename__ = "category"
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(unique=True, max_length=64)
    name: str = Field(max_length=200)
    name_en: str | None = Field(default=None, max_length=200)
    parent_id: int | None = Field(default=None, foreign_key="category.id", index=True)
    path: str = Field(default="/", max_length=400, index=True)
    practical: bool = False
    active: bool = True


class CalendarVersion(SQLModel, table=True):
    """One version of a working-day calendar; the highest version of a code is in force. Rows never change."""

    __tablename__ = "calendar_version"
    __table_args__ = (UniqueConstraint("code", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(max_length=64)
    version: int
    name: str = Field(max_length=200)
    spec: dict[str, Any] = document(description="the calendar as an object of the contract")
    note: str = Field(default="", max_length=400)
    created_by: str = Field(max_length=100)
    created_at: datetime = moment()


class PolicyVersion(SQLModel, table=True):
    """One version of a deadline policy; tickets pin the version they were judged by. Rows never change but for
    ``retired_at``."""

    __tablename__ = "policy_version"
    __table_args__ = (UniqueConstraint("code", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(max_length=64)
    version: int
    spec: dict[str, Any] = document(description="the policy as domain.policies.Policy.to_spec()")
    created_by: str = Field(max_length=100)
    created_at: datetime = moment()
    retired_at: datetime | None = moment_or_none()


class LadderVersion(SQLModel, table=True):
    """One version of a supervision ladder; the highest version of a code is in force."""

    __tablename__ = "ladder_version"
    __table_args__ = (UniqueConstraint("code", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    code: str = Field(max_length=64)
    version: int
    spec: dict[str, Any] = document(description="the ladder as domain.ladder.Ladder.to_spec()")
    created_by: str = Field(max_length=100)
    created_at: datetime = moment()


class Counter(SQLModel, table=True):
    """A named counter: id blocks, order numbers of a year, the reference data's version, the alert feed's head."""

    __tablename__ = "counter"
    name: str = Field(primary_key=True, max_length=64)
    value: int = Field(default=0, sa_type=BigInt)
