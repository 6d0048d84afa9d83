"""Feeds: pulled sources and the log of their pulls."""

from __future__ import annotations

from datetime import date
from typing import Any, Final, Self

from pydantic import ConfigDict, Field, model_validator

from app.schemas.codes import FeedState
from app.schemas.common import Answer, JsonBody, example
from app.schemas.moment import ShownMoment
from app.validation import objection

TOML_LENGTH: Final = 256 * 1024
_FEED: Final[dict[str, Any]] = {
    "id": 2, "name": "hotline12345", "title": "12345 热线", "kind": "rest", "source": "hotline12345", "state": "ok",
    "active": True, "base_url": "https://12345.example.gov.cn/api", "every_seconds": 60,
    "last_started_at": "2026-03-15T09:00:00+08:00", "last_done_at": "2026-03-15T09:00:02+08:00", "lag_seconds": 41,
    "late": False, "newest_at": "2026-03-15T08:58:12+08:00", "skew_seconds": -3, "failures": 0, "open_until": None,
    "error": None, "created": 4120, "corrected": 2877, "unchanged": 91034, "rejected": 12, "open_rejects": 3,
    "can_reconcile": True, "pull_asked": False, "reconcile_asked": None,
    "position": {"since": "2026-03-15T01:00:00+00:00", "through": "2026-03-15T01:00:00+00:00"},
    "added_at": "2026-03-01T10:00:00+08:00", "added_by": "user:admin",
}  # fmt: skip
_PULL: Final[dict[str, Any]] = {
    "id": 815, "kind": "reconcile", "state": "done", "started_at": "2026-03-15T00:31:00+08:00",
    "finished_at": "2026-03-15T00:31:04+08:00", "pages": 0, "retries": 1, "created": 1, "corrected": 0, "unchanged": 0,
    "rejected": 0, "error": None, "note": None, "actor": "system:duban",
    "detail": {"day": "2026-03-14", "upstream": 140, "here": 139, "missing": 1, "still_missing": [], "extra": [],
               "extra_count": 0},
}  # fmt: skip


class FeedIn(JsonBody):
    """A feed: by a bundled template, or by its own definition as TOML or as an object."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"template": "hotline12345", "base_url": "https://12345.example.gov.cn/api"},
            {"template": "open311", "name": "boston", "source": "boston", "base_url": "https://311.example.org/v2"},
        )
    )
    template: str | None = Field(default=None, max_length=64)
    toml: str | None = Field(default=None, max_length=TOML_LENGTH)
    definition: dict[str, Any] | None = None
    name: str | None = Field(default=None, max_length=58, description="replaces the definition's name")
    source: str | None = Field(default=None, max_length=64, description="replaces the definition's source")
    base_url: str | None = Field(default=None, max_length=2000, description="address of the upstream")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(each is not None for each in (self.template, self.toml, self.definition)) != 1:
            raise objection("template、toml、definition 三者给出其一", "give one of template, toml, definition")
        return self


class FeedChange(JsonBody):
    """What is changed of a feed; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra=example({"active": False}, {"base_url": "https://new.example.gov.cn/api"})
    )
    active: bool | None = Field(default=None, description="switched on, which closes its breaker, or off")
    base_url: str | None = Field(default=None, max_length=2000)
    toml: str | None = Field(default=None, max_length=TOML_LENGTH, description="a new definition; the cursor stays")
    definition: dict[str, Any] | None = Field(default=None, description="the same as an object")
    rewind: bool = Field(default=False, description="forget the cursor: the next pull begins as the first did")


class ReconcileIn(JsonBody):
    """The day to compare; none: yesterday in the feed's time zone."""

    model_config = ConfigDict(json_schema_extra=example({"day": "2026-03-14"}))
    day: date | None = None


class PullOut(Answer):
    """One pull or reconciliation."""

    model_config = ConfigDict(json_schema_extra=example(_PULL))

    id: int
    kind: str
    state: str
    started_at: ShownMoment
    finished_at: ShownMoment | None
    pages: int
    retries: int
    created: int
    corrected: int
    unchanged: int
    rejected: int
    error: str | None
    detail: dict[str, Any] | None
    note: str | None
    actor: str


class FeedOut(Answer):
    """A feed with its state."""

    model_config = ConfigDict(json_schema_extra=example(_FEED))

    id: int
    name: str
    title: str
    kind: str
    source: str | None = Field(description="code of the source")
    state: FeedState
    active: bool
    base_url: str | None
    every_seconds: int | float | None
    last_started_at: ShownMoment | None
    last_done_at: ShownMoment | None
    lag_seconds: int | None = Field(description="since everything the upstream had was here")
    late: bool
    newest_at: ShownMoment | None
    skew_seconds: int | float | None = Field(description="of the upstream's clock")
    failures: int = Field(description="in a row")
    open_until: ShownMoment | None = Field(description="the breaker is open until then")
    error: str | None
    created: int
    corrected: int
    unchanged: int
    rejected: int
    open_rejects: int
    can_reconcile: bool
    pull_asked: bool
    reconcile_asked: str | None
    position: dict[str, Any] | None
    added_at: ShownMoment
    added_by: str


class FeedDetailOut(FeedOut):
    """A feed with its definition (for callers who may edit it), its latest pulls and its latest reconciliations."""

    model_config = ConfigDict(
        json_schema_extra=example({**_FEED, "definition": {}, "pulls": [_PULL], "reconciliations": []})
    )

    definition: dict[str, Any] | None = None
    pulls: list[PullOut]
    reconciliations: list[PullOut]


class FeedTemplateOut(Answer):
    """A template that a feed can be made from."""

    model_config = ConfigDict(
        json_schema_extra=example({"name": "folder", "toml": 'name = "folder"\nkind = "folder"\n'})
    )

    name: str
    toml: str
