"""Making and changing sources, units, grids and categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlmodel import Session

from app.errors import Conflict, Invalid, NotFound
from app.models import Category, Grid, Source, Unit
from app.schemas.reference import CategoryOut, GridOut, UnitOut
from app.services.core.reference import Node, Reference, touch
from app.store import reference as store

Tree = TypeVar("Tree", Unit, Grid, Category)
KIND_ZH = {Unit: "责任单位", Grid: "网格", Category: "分类"}
MAX_DEPTH = 20


def _parent(session: Session, table: type[Tree], code: str | None) -> Tree | None:
    if code is None:
        return None
    found = store.by_code(session, table, code)
    if found is None:
        raise Invalid.at("/parent", f"没有编码为 {code!r} 的{KIND_ZH[table]}", f"nothing has the code {code!r}")
    if found.path.count("/") > MAX_DEPTH:
        raise Invalid.at("/parent", f"层级不能超过 {MAX_DEPTH} 级", f"a tree is at most {MAX_DEPTH} levels deep")
    return found


def create_node(session: Session, table: type[Tree], fields: Mapping[str, Any]) -> Tree:
    """Make a node of a tree from ``code``, ``name``, ``parent`` (a code) and its own fields.

    Raises Conflict where the code is taken, Invalid where the parent is unknown."""
    given = dict(fields)
    code, name, parent_code = given.pop("code"), given.pop("name"), given.pop("parent", None)
    store.lock_tree(session, table)
    if store.by_code(session, table, code) is not None:
        raise Conflict(f"编码 {code!r} 已被使用", f"the code {code!r} is taken", fields=["code"])
    node = store.add_node(session, table, code, name, _parent(session, table, parent_code), **given)
    touch(session)
    return node


def change_node(session: Session, table: type[Tree], code: str, fields: Mapping[str, Any]) -> Tree:
    """Change a node; a new ``parent`` moves its whole subtree. Raises NotFound, Invalid (a loop, unknown parent)."""
    if "parent" in fields:
        store.lock_tree(session, table)
    node = store.by_code(session, table, code)
    if node is None:
        raise NotFound(f"没有编码为 {code!r} 的{KIND_ZH[table]}", f"nothing has the code {code!r}")
    given = dict(fields)
    if "parent" in given:
        parent = _parent(session, table, given.pop("parent"))
        if parent is not None and parent.path.startswith(node.path):
            raise Invalid.at("/parent", "不能移到自己的下级之下", "a node cannot hang below itself")
        store.move_subtree(session, table, node, parent)
    for name, value in given.items():
        setattr(node, name, value)
    session.add(node)
    session.flush()
    touch(session)
    return node


def ensure_source(session: Session, code: str, name: str | None = None) -> Source:
    """The source with this code, made with ``name`` (the code, where none is given) if it is not there."""
    found = store.by_code(session, Source, code)
    if found is not None:
        return found
    row = Source(code=code, name=name or code)
    session.add(row)
    session.flush()
    touch(session)
    return row


def create_source(session: Session, fields: Mapping[str, Any]) -> Source:
    """Make a source; raises Conflict where the code is taken."""
    if store.by_code(session, Source, fields["code"]) is not None:
        raise Conflict(f"编码 {fields['code']!r} 已被使用", f"the code {fields['code']!r} is taken", fields=["code"])
    row = Source(**fields)
    session.add(row)
    session.flush()
    touch(session)
    return row


def change_source(session: Session, code: str, fields: Mapping[str, Any]) -> Source:
    """Change a source; raises NotFound."""
    row = store.by_code(session, Source, code)
    if row is None:
        raise NotFound(f"没有来源 {code!r}", f"no source has the code {code!r}")
    for name, value in fields.items():
        setattr(row, name, value)
    session.add(row)
    session.flush()
    touch(session)
    return row


def grid_view(node: Node, nodes: Mapping[int, Node]) -> GridOut:
    """A grid as read."""
    return GridOut(**_node_fields(node, nodes))


def unit_view(node: Node, nodes: Mapping[int, Node]) -> UnitOut:
    """A unit as read."""
    return UnitOut(**_node_fields(node, nodes), tier=node.tier, calendar=node.calendar_code)


def category_view(node: Node, nodes: Mapping[int, Node]) -> CategoryOut:
    """A category as read."""
    return CategoryOut(**_node_fields(node, nodes), practical=node.practical)


def _node_fields(node: Node, nodes: Mapping[int, Node]) -> dict[str, Any]:
    parent = nodes.get(node.parent_id) if node.parent_id is not None else None
    return {
        "id": node.id, "code": node.code, "name": node.name, "name_en": node.name_en,
        "parent": parent.code if parent else None, "path": "/".join(node.codes), "active": node.active,
    }  # fmt: skip


def check_calendar(ref: Reference, code: str | None) -> None:
    """Whether a unit may name this calendar; raises Invalid."""
    if code is not None and code not in ref.calendars:
        known = ", ".join(sorted(ref.calendars))
        raise Invalid.at("/calendar", f"没有日历 {code!r}，现有：{known}", f"no calendar {code!r}; there are: {known}")
