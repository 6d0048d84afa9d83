"""Sources, units, grids and categories: readable by every signed-in role, changed by administrators and dispatchers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path
from pydantic import BaseModel

from app import clock
from app.api.answers import CHANGES
from app.api.deps import Cursor, Limit, Run, Who, decode_cursor, encode_cursor
from app.models import Category, Grid, Unit
from app.schemas.common import JsonBody, Page
from app.schemas.reference import (
    CategoryChange,
    CategoryIn,
    CategoryOut,
    ChangedUnitOut,
    GridChange,
    GridIn,
    GridOut,
    SourceChange,
    SourceIn,
    SourceOut,
    UnitChange,
    UnitIn,
    UnitOut,
)
from app.security.permissions import require
from app.services.core import catalogue
from app.services.core.reference import Node
from app.services.recompute import run as recompute
from app.services.rules import calendars

router = APIRouter(tags=["reference data"])
CodePath = Annotated[str, Path(max_length=64, description="code, which may hold slashes")]
View = TypeVar("View", bound=BaseModel)


def _page(rows: Iterable[Any], view: Callable[[Any], View], cursor: str | None, limit: int) -> Page[View]:
    after = decode_cursor(cursor) or 0
    found = [row for row in sorted(rows, key=lambda row: row.id) if row.id > after][: limit + 1]
    more = found[limit - 1].id if len(found) > limit else None
    return Page(items=[view(row) for row in found[:limit]], next=encode_cursor(more) if more is not None else None)


def _nodes(
    nodes: Mapping[int, Node], view: Callable[[Node, Mapping[int, Node]], View], cursor: str | None, limit: int
) -> Page[View]:
    return _page(nodes.values(), lambda node: view(node, nodes), cursor, limit)


def _write(run: Any, who: Any, work: Callable[[Any, Any], Any], view: Callable[[Any, int], View]) -> View:
    require(who, "reference.edit")
    with run.writing() as uow:
        key = work(uow.session, uow.ref).id
    with run.reading() as (_, ref):
        return view(ref, key)


@router.get("/units")
def list_units(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> Page[UnitOut]:
    """Every unit."""
    with run.reading() as (_, ref):
        return _nodes(ref.units, catalogue.unit_view, cursor, limit)


def _unit_fields(body: JsonBody, ref: Any) -> dict[str, Any]:
    fields = body.model_dump(exclude_unset=True)
    if "calendar" in fields:
        fields["calendar_code"] = fields.pop("calendar")
        catalogue.check_calendar(ref, fields["calendar_code"])
    return fields


@router.post("/units", status_code=201, responses=CHANGES)
def create_unit(run: Run, who: Who, body: UnitIn) -> UnitOut:
    """Create a unit."""
    return _write(
        run,
        who,
        lambda session, ref: catalogue.create_node(session, Unit, _unit_fields(body, ref)),
        lambda ref, key: catalogue.unit_view(ref.units[key], ref.units),
    )


@router.patch("/units/{code:path}", responses=CHANGES, response_model_exclude_unset=True)
def change_unit(run: Run, who: Who, code: CodePath, body: UnitChange) -> ChangedUnitOut:
    """Change a unit; a new parent moves its whole subtree. Open deadlines whose calendar changes are recomputed and listed as
    ``moved``.
    """
    path = ""

    def view(ref: Any, key: int) -> UnitOut:
        nonlocal path
        path = ref.units[key].path
        return catalogue.unit_view(ref.units[key], ref.units)

    unit = _write(
        run, who, lambda session, ref: catalogue.change_node(session, Unit, code, _unit_fields(body, ref)), view
    ).model_dump()
    if {"calendar", "parent"} & body.model_fields_set:
        tally = recompute.after_unit(run.database, run.reference, path, who.actor, clock.now())
        unit |= calendars.moves_view(tally, run.settings.zone)
    return ChangedUnitOut(**unit)


@router.get("/grids")
def list_grids(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> Page[GridOut]:
    """Every grid."""
    with run.reading() as (_, ref):
        return _nodes(ref.grids, catalogue.grid_view, cursor, limit)


@router.post("/grids", status_code=201, responses=CHANGES)
def create_grid(run: Run, who: Who, body: GridIn) -> GridOut:
    """Create a grid."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.create_node(session, Grid, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.grid_view(ref.grids[key], ref.grids),
    )


@router.patch("/grids/{code:path}", responses=CHANGES)
def change_grid(run: Run, who: Who, code: CodePath, body: GridChange) -> GridOut:
    """Change a grid; a new parent moves its whole subtree."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.change_node(session, Grid, code, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.grid_view(ref.grids[key], ref.grids),
    )


@router.get("/categories")
def list_categories(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> Page[CategoryOut]:
    """Every category."""
    with run.reading() as (_, ref):
        return _nodes(ref.categories, catalogue.category_view, cursor, limit)


@router.post("/categories", status_code=201, responses=CHANGES)
def create_category(run: Run, who: Who, body: CategoryIn) -> CategoryOut:
    """Create a category."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.create_node(session, Category, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.category_view(ref.categories[key], ref.categories),
    )


@router.patch("/categories/{code:path}", responses=CHANGES)
def change_category(run: Run, who: Who, code: CodePath, body: CategoryChange) -> CategoryOut:
    """Change a category; a new parent moves its whole subtree."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.change_node(session, Category, code, body.model_dump(exclude_unset=True)),
        lambda ref, key: catalogue.category_view(ref.categories[key], ref.categories),
    )


@router.get("/sources")
def list_sources(run: Run, who: Who, limit: Limit = 500, cursor: Cursor = None) -> Page[SourceOut]:
    """Every source."""
    with run.reading() as (_, ref):
        return _page(ref.sources.values(), SourceOut.model_validate, cursor, limit)


@router.post("/sources", status_code=201, responses=CHANGES)
def create_source(run: Run, who: Who, body: SourceIn) -> SourceOut:
    """Create a source."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.create_source(session, body.model_dump()),
        lambda ref, key: SourceOut.model_validate(ref.sources[key]),
    )


@router.patch("/sources/{code:path}", responses=CHANGES)
def change_source(run: Run, who: Who, code: CodePath, body: SourceChange) -> SourceOut:
    """Change a source."""
    return _write(
        run,
        who,
        lambda session, _: catalogue.change_source(session, code, body.model_dump(exclude_unset=True)),
        lambda ref, key: SourceOut.model_validate(ref.sources[key]),
    )
