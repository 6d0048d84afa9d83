"""API keys and people."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from app.schemas.codes import Role
from app.schemas.common import Answer, JsonBody, example
from app.schemas.moment import ShownMoment


class KeyIn(JsonBody):
    """A key to be created; an integrator's key needs its source, a unit's its unit."""

    model_config = ConfigDict(json_schema_extra=example({"role": "integrator", "source": "12345", "name": "热线平台"}))
    role: Role
    name: str | None = Field(default=None, max_length=100)
    source: str | None = Field(default=None, max_length=64, description="code of a source")
    unit: str | None = Field(default=None, max_length=64, description="code of a unit")


class KeyChange(JsonBody):
    """``revoked: true`` ends a key for good."""

    model_config = ConfigDict(json_schema_extra=example({"revoked": True}))
    revoked: Literal[True]


class UserIn(JsonBody):
    """A person to be given an account."""

    model_config = ConfigDict(
        json_schema_extra=example({"name": "li", "display_name": "李敏", "role": "unit", "unit": "GA-01"})
    )
    name: str = Field(min_length=1, max_length=64)
    display_name: str | None = Field(default=None, max_length=100)
    role: Role
    unit: str | None = Field(default=None, max_length=64, description="code of a unit")


class UserChange(JsonBody):
    """``active`` allows or stops signing in; ``reset_password`` gives a new one-time password."""

    model_config = ConfigDict(json_schema_extra=example({"active": False}))
    active: bool | None = None
    reset_password: bool = False


class KeyOut(Answer):
    """A key, without its secret."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 7, "name": "热线平台", "role": "integrator", "source": "12345", "unit": None,
             "created_by": "system:cli", "created_at": "2026-11-25T20:38:40Z", "revoked_at": None}
        )
    )  # fmt: skip

    id: int
    name: str
    role: Role
    source: str | None
    unit: str | None
    created_by: str
    created_at: ShownMoment
    revoked_at: ShownMoment | None


class NewKeyOut(Answer):
    """A key that was created, with its secret, which is shown once."""

    model_config = ConfigDict(
        json_schema_extra=example({"id": 7, "secret": "dbk_…", "role": "integrator", "name": "热线平台"})
    )

    id: int
    secret: str
    role: Role
    name: str


class ChangedKeyOut(Answer):
    """A key that was revoked."""

    model_config = ConfigDict(json_schema_extra=example({"id": 7, "revoked": True}))

    id: int
    revoked: bool


class UserOut(Answer):
    """An account."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 3, "name": "li", "display_name": "李敏", "role": "dispatcher", "unit": None, "active": True,
             "must_change_password": False, "created_at": "2026-11-25T20:38:42Z"}
        )
    )  # fmt: skip

    id: int
    name: str
    display_name: str
    role: Role
    unit: str | None
    active: bool
    must_change_password: bool
    created_at: ShownMoment


class NewUserOut(Answer):
    """An account that was created, with its one-time password, which is shown once."""

    model_config = ConfigDict(
        json_schema_extra=example({"id": 3, "name": "li", "role": "unit", "password": "wh89-csf7-mwx9-mzbv"})
    )

    id: int
    name: str
    role: Role
    password: str | None


class ChangedUserOut(Answer):
    """An account that was changed; with a new one-time password where one was asked for."""

    model_config = ConfigDict(json_schema_extra=example({"id": 3, "active": False, "password": None}))

    id: int
    active: bool
    password: str | None
