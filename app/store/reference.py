"""Reading and writing reference data: sources, units, grids, categories, calendars, policies, ladders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import func, select
from sqlmodel import Session

from app.models import CalendarVersion, Category, Counter, Grid, LadderVersion, PolicyVersion, Source, Unit

Node = TypeVar("Node", Unit, Grid, Category)
Versioned = TypeVar("Versioned", CalendarVersion, PolicyVersion, LadderVersion)


def version_of(session: Session) -> int:
    """The number that grows with every change of reference data."""
    return session.execute(select(Counter.value).where(Counter.name == "reference")).scalar() or 0  # type: ignore[call-overload,no-any-return]


def all_rows(session: Session, table: type[Node] | type[Source]) -> Sequence[Node] | Sequence[Source]:
    """Every row of a small table, by id."""
    return session.execute(select(table).order_by(table.id)).scalars().all()  # type: ignore[arg-type]


def latest_versions(session: Session, table: type[Versioned]) -> Sequence[Versioned]:
    """The highest version of each code."""
    top = select(table.code, func.max(table.version).label("version")).group_by(table.code).subquery()  # type: ignore[call-overload]
    query = select(table).join(top, (table.code == top.c.code) & (table.version == top.c.version))
    return session.execute(query.order_by(table.id)).scalars().all()  # type: ignore[arg-type]


def by_code(session: Session, table: type[Node] | type[Source], code: str) -> Node | Source | None:
    """The row with this code, or None."""
    return session.execute(select(table).where(table.code == code)).scalars().one_or_none()  # type: ignore[arg-type]


def add_node(session: Session, table: type[Node], code: str, name: str, parent: Node | None, **fields: object) -> Node:
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
    for row in session.execute(select(table).where(table.path.startswith(old))).scalars():  # type: ignore[attr-defined]
        row.path = new + row.path[len(old) :]
        session.add(row)
    session.flush()
