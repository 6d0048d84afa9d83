"""Reading and writing reference data: sources, units, grids, categories, calendars, policies, ladders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.models import CalendarVersion, Category, Deadline, Grid, LadderVersion, PolicyVersion, Source, Unit
from app.store.ids import take

Node = TypeVar("Node", Unit, Grid, Category)
Coded = TypeVar("Coded", Unit, Grid, Category, Source)
Versioned = TypeVar("Versioned", CalendarVersion, PolicyVersion, LadderVersion)


def version_of(session: Session) -> int:
    """The number that grows with every change of reference data. Asked in every transaction, so past the ORM."""
    found = session.connection().exec_driver_sql("SELECT value FROM counter WHERE name = 'reference'").scalar()
    return int(found or 0)


def all_rows(session: Session, table: type[Coded]) -> Sequence[Coded]:
    """Every row of a small table, by id."""
    return session.execute(select(table).order_by(col(table.id))).scalars().all()


def latest_versions(session: Session, table: type[Versioned]) -> Sequence[Versioned]:
    """The highest version of each code."""
    code, version = col(table.code), col(table.version)
    top = select(code, func.max(version).label("version")).group_by(code).subquery()
    query = select(table).join(top, (code == top.c.code) & (version == top.c.version)).order_by(col(table.id))
    return session.execute(query).scalars().all()


def every_version(session: Session, table: type[Versioned], code: str | None = None) -> Sequence[Versioned]:
    """Every version (of one code), oldest first."""
    query = select(table) if code is None else select(table).where(col(table.code) == code)
    return session.execute(query.order_by(col(table.created_at), col(table.id))).scalars().all()


def policies_of_open_deadlines(session: Session) -> set[int]:
    """The ids of the versions of policies that a deadline still runs by."""
    query = select(col(Deadline.policy_id)).where(
        col(Deadline.met_at).is_(None), col(Deadline.cancelled_at).is_(None), col(Deadline.policy_id).is_not(None)
    )
    return {key for key in session.execute(query.distinct()).scalars() if key is not None}


def lock_tree(session: Session, table: type[Node]) -> None:
    """Lock a tree against other moves to the end of the transaction. Several trees: unit, category, grid, in this order."""
    take(session, f"tree:{table.__tablename__}", 0)


def by_code(session: Session, table: type[Coded], code: str) -> Coded | None:
    """The row with this code, or None."""
    return session.execute(select(table).where(col(table.code) == code)).scalars().one_or_none()


def add_node(session: Session, table: type[Node], code: str, name: str, parent: Node | None, **fields: Any) -> Node:
    """Insert a tree node under ``parent`` and give it its path."""
    node = table(code=code, name=name, parent_id=parent.id if parent else None, **fields)
    session.add(node)
    session.flush()
    node.path = f"{parent.path if parent else '/'}{node.id}/"
    session.add(node)
    session.flush()
    return node


def move_subtree(session: Session, table: type[Node], node: Node, parent: Node | None) -> None:
    """Hang ``node`` and all below it under ``parent``; the paths of the whole subtree follow."""
    old = node.path
    node.parent_id = parent.id if parent else None
    new = f"{parent.path if parent else '/'}{node.id}/"
    for row in session.execute(select(table).where(col(table.path).startswith(old))).scalars():
        row.path = new + row.path[len(old) :]
        session.add(row)
    session.flush()
