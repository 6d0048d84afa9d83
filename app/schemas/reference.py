"""Reference data: units, grids, categories and sources."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from app.schemas.common import Answer, JsonBody, example
from app.schemas.deadline import DeadlineMoveOut

Code = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S+$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
GRID: Final[dict[str, Any]] = {
    "id": 4, "code": "CN-1", "name": "城南第一片", "name_en": "Chengnan 1", "parent": "CN", "path": "CN/CN-1", "active": True,
}  # fmt: skip


class GridIn(JsonBody):
    """A grid to be created; ``parent`` is a code."""

    model_config = ConfigDict(json_schema_extra=example({"code": "CN-1", "name": "城南第一片", "parent": "CN"}))
    code: Code
    name: Name
    name_en: str | None = Field(default=None, max_length=200)
    parent: str | None = None
    active: bool = True


class UnitIn(GridIn):
    """A unit to be created."""

    model_config = ConfigDict(
        json_schema_extra=example({"code": "GA-03", "name": "城南派出所", "parent": "GA", "tier": "派出所"})
    )
    tier: str | None = Field(default=None, max_length=64)
    calendar: str | None = Field(default=None, max_length=64, description="code of a calendar")


class CategoryIn(GridIn):
    """A category to be created."""

    model_config = ConfigDict(
        json_schema_extra=example({"code": "noise-night", "name": "夜间噪声", "parent": "noise", "practical": True})
    )
    practical: bool = False


class GridChange(JsonBody):
    """What may change of a grid; what is left out stays."""

    model_config = ConfigDict(json_schema_extra=example({"name": "城南第一片"}))
    name: Name = ""
    name_en: str | None = None
    parent: str | None = None
    active: bool = True


class UnitChange(GridChange):
    """What may change of a unit; what is left out stays."""

    model_config = ConfigDict(json_schema_extra=example({"name": "城南派出所", "active": True}))
    tier: str | None = None
    calendar: str | None = None


class CategoryChange(GridChange):
    """What may change of a category; what is left out stays."""

    model_config = ConfigDict(json_schema_extra=example({"practical": False}))
    practical: bool = False


class SourceIn(JsonBody):
    """A source to be created."""

    model_config = ConfigDict(json_schema_extra=example({"code": "12345", "name": "12345 热线", "binds_due": False}))
    code: Code
    name: Name
    name_en: str | None = Field(default=None, max_length=200)
    binds_due: bool = Field(default=False, description="its own limit binds instead of the policy's")
    active: bool = True


class SourceChange(JsonBody):
    """What may change of a source; what is left out stays."""

    model_config = ConfigDict(json_schema_extra=example({"binds_due": True}))
    name: Name = ""
    name_en: str | None = None
    binds_due: bool = False
    active: bool = True


class GridOut(Answer):
    """A grid."""

    model_config = ConfigDict(json_schema_extra=example(GRID))

    id: int
    code: str
    name: str
    name_en: str | None
    parent: str | None = Field(description="code of the node above")
    path: str = Field(description="codes from the root")
    active: bool


class UnitOut(GridOut):
    """A unit."""

    model_config = ConfigDict(json_schema_extra=example({**GRID, "tier": "县直部门", "calendar": None}))

    tier: str | None
    calendar: str | None = Field(description="code of its own calendar")


class ChangedUnitOut(UnitOut):
    """A unit that was changed; where its calendar or parent was given, with the deadlines that moved."""

    moved: list[DeadlineMoveOut] | None = None
    moved_count: int | None = None
    confirmed: list[DeadlineMoveOut] | None = None
    confirmed_count: int | None = None
    looked_at: int | None = None


class CategoryOut(GridOut):
    """A category."""

    model_config = ConfigDict(json_schema_extra=example({**GRID, "practical": False}))

    practical: bool


class SourceOut(Answer):
    """A source."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 1, "code": "12345", "name": "12345 政务服务热线", "name_en": "12345 hotline", "binds_due": False,
             "active": True}
        )
    )  # fmt: skip

    id: int
    code: str
    name: str
    name_en: str | None
    binds_due: bool
    active: bool
