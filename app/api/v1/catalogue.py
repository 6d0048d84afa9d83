"""Sources, units, grids and categories: read by all who may sign in, changed by administrators and dispatchers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from app import clock
from app.api.body import JsonBody
from app.api.deps import Cursor, Limit, Run, Who, decode_cursor, encode_cursor
from app.models import Category, Grid, Unit
from app.security.permissions import require
from app.services.core import catalogue
from app.services.core.reference import Node
from app.services.recompute import run as recompute
from app.services.rules import calendars

router = APIRouter(tags=["reference data"])
Code = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S+$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
CodePath = Annotated[str, Path(max_length=64)]


class NodeIn(JsonBody):
    """A node of a tree to be made; ``parent`` is a code."""

    code: Code
    name: Name
    name_en: str | None = Field(default=None, max_length=200)
    parent: str | None = None
    active: bool = True


class UnitIn(NodeIn):
    """A unit to be made."""

    tier: str | None = Field(default=None, max_length=64)
    calendar: str | None = Field(default=None, max_length=64)


class CategoryIn(NodeIn):
    """A category to be made."""

    practical: bool = False


class NodeChange(JsonBody):
    """What may change of a node; what is left out stays."""

    name: Name = ""
    name_en: str | None = None
    parent: str | None = None
    active: bool = True


class UnitChange(NodeChange):
    """What may change of a unit."""

    tier: str | None = None
    calendar: str | None = None


class CategoryChange(NodeChange):
    """What may change of a category."""

    practical: bool = False


class SourceIn(JsonBody):
    """A source to be made."""

    code: Code
    name: Name
    name_en: str | None = Field(default=None, max_length=200)
    binds_due: bool = Field(default=False, description="its own limit binds instead of the policy's")
    active: bool = True


class SourceChange(JsonBody):
    """What may change of a source."""

    name: Name = ""
    name_en: str | None = None
    binds_due: bool = False
    active: bool = True


def _page(rows: Iterable[Any], view: Callable[[Any], dict[str, Any]], cursor: str | None, limit: int) -> dict[str, Any]:
    after = decode_cursor(cursor) or 0
    found = [row for row in sorted(rows, key=lambda row: row.id) if row.id > after][: limit + 1]
    more = found[limit - 1].id if len(found) > limit else None
    return {"items": [view(row) for row in found[:limit]], "next": encode_cursor(more) if more is not None else None}


def _nodes(
    nodes: Mapping[int, Node],
    view: Callable[[Node, Mapping[int, Node]], dict[str, Any]],
    cursor: str | None,
    limit: int,
) -> dict[str, Any]:
    return _page(nodes.values(), lambda node: view(node, nodes), cursor, limit)


def _write(
    run: Any, who: Any, work: Callable[[Any, Any], Any], view: Callable[[Any, int], dict[str, Any]]
) -> dict[str, Any]:
    require(who, "reference.edit")
    with run.writing() as uow:
        key = work(uow.session, uow.ref).id
    with run.reading() as (_, ref):
        return view(ref, key)


@router.get("/units")
def list_units(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> dict[str, Any]:
    """Every unit."""
    with run.reading() as (_, ref):
        return _nodes(ref.units, catalogue.unit_view, cursor, limit)


def _unit_fields(body: JsonBody, ref: Any) -> dict[str, Any]:
    fields = body.model_dump(exclude_unset=True)
    if "calendar" in fields:
        fields["calendar_code"] = fields.pop("calendar")
        catalogue.check_calendar(ref, fields["calendar_code"])
    return fields


@router.post("/units", status_code=201)
def create_unit(run: Run, who: Who, body: UnitIn) -> dict[str, Any]:
    """Make a unit."""
    return _write(
        run,
        who,
        lambda session, ref: catalogue.create_node(session, Unit, _unit_fields(body, ref)),
        lambda ref, key: catalogue.unit_view(ref.units[key], ref.units),
    )


@router.patch("/units/{code:path}")
def change_unit(run: Run, who: Who, code: CodePath, body: UnitChange) -> dict[str, Any]:
    """Change a unit; a new parent moves its whole subtree. Open deadlines that come under another calendar move, and are
    listed as ``moved``."""
    view = _write(
        run,
        who,
        lambda session, ref: catalogue.change_node(session, Unit, code, _unit_fields(body, ref)),
        lambda ref, key: {**catalogue.unit_view(ref.units[key], ref.units), "at": ref.units[key].path},
    )
    path = view.pop("at")
    if {"calendar", "parent"} & body.model_fields_set:
        tally = recompute.after_unit(run.database, run.reference, path, who.actor, clock.now())
        view |= calendars.moves_view(tally, run.settings.zone)
    return view


@router.get("/grids")
def list_grids(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> dict[str, Any]:
    """Every grid."""
    with run.reading() as (_, ref):
        return _nodes(ref.grids, catalogue.node_view, cursor, limit)


@router.post("/grids", status_code=201)
def create_grid(run: Run, who: Who, body: NodeIn) -> dict[str, Any]:
    """Make a grid."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.create_node(session, Grid, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.node_view(ref.grids[key], ref.grids),
    )


@router.patch("/grids/{code:path}")
def change_grid(run: Run, who: Who, code: CodePath, body: NodeChange) -> dict[str, Any]:
    """Change a grid; a new parent moves its whole subtree."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.change_node(session, Grid, code, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.node_view(ref.grids[key], ref.grids),
    )


@router.get("/categories")
def list_categories(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> dict[str, Any]:
    """Every category."""
    with run.reading() as (_, ref):
        return _nodes(ref.categories, catalogue.category_view, cursor, limit)


@router.post("/categories", status_code=201)
def create_category(run: Run, who: Who, body: CategoryIn) -> dict[str, Any]:
    """Make a category."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.create_node(session, Category, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.category_view(ref.categories[key], ref.categories),
    )


@router.patch("/categories/{code:path}")
def change_category(run: Run, who: Who, code: CodePath, body: CategoryChange) -> dict[str, Any]:
    """Change a category; a new parent moves its whole subtree."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.change_node(session, Category, code, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.category_view(ref.categories[key], ref.categories),
    )


@router.get("/sources")
def list_sources(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> dict[str, Any]:
    """Every source."""
    with run.reading() as (_, ref):
        return _page(ref.sources.values(), catalogue.source_view, cursor, limit)


@router.post("/sources", status_code=201)
def create_source(run: Run, who: Who, body: SourceIn) -> dict[str, Any]:
    """Make a source."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.create_source(session, body.model_dump()),
        lambda ref, key: catalogue.source_view(ref.sources[key]),
    )


@router.patch("/sources/{code:path}")
def change_source(run: Run, who: Who, code: CodePath, body: SourceChange) -> dict[str, Any]:
    """Change a source."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.change_source(session, code, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.source_view(ref.sources[key]),
    )
