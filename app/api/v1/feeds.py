"""Feeds: pulled sources, looked at, added, switched, and asked to be pulled or compared with their upstream.

Pulling is a worker's work, which may stand on another machine: what is asked for here is done by it within seconds.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field, model_validator

from app import clock
from app.api.body import JsonBody
from app.api.deps import Cursor, Limit, Run, Who, decode_cursor, encode_cursor
from app.api.problems import language
from app.errors import Invalid
from app.runtime import Runtime
from app.security.permissions import may, require
from app.security.principal import Principal
from app.services.intake import feeds
from app.validation import objection
from ingest.connectors.spec import FeedSpec, SpecOverrides, parse_spec, spec_of, template_names, template_text
from ingest.feeds import registry as feed_book

router = APIRouter(tags=["feeds"])
FeedName = Annotated[str, Path(max_length=64, description="name of the feed")]
TOML_LENGTH = 256 * 1024
FEED_EXAMPLE: dict[str, Any] = {
    "name": "hotline12345", "title": "12345 热线", "kind": "rest", "source": "hotline12345", "state": "ok", "active": True,
    "base_url": "https://12345.example.gov.cn/api", "every_seconds": 60,
    "last_started_at": "2026-03-15T09:00:00+08:00", "last_done_at": "2026-03-15T09:00:02+08:00", "lag_seconds": 41,
    "late": False,
    "newest_at": "2026-03-15T08:58:12+08:00", "skew_seconds": -3, "failures": 0, "open_until": None, "error": None,
    "created": 4120, "corrected": 2877, "unchanged": 91034, "rejected": 12, "open_rejects": 3, "can_reconcile": True,
    "pull_asked": False, "reconcile_asked": None,
    "position": {"since": "2026-03-15T01:00:00+00:00", "through": "2026-03-15T01:00:00+00:00"},
    "added_at": "2026-03-01T10:00:00+08:00", "added_by": "user:admin",
}  # fmt: skip
PULL_EXAMPLE: dict[str, Any] = {
    "id": 815, "kind": "reconcile", "state": "done", "started_at": "2026-03-15T00:31:00+08:00",
    "finished_at": "2026-03-15T00:31:04+08:00", "pages": 0, "retries": 1, "created": 1, "corrected": 0, "unchanged": 0,
    "rejected": 0, "error": None, "note": None, "actor": "system:duban",
    "detail": {"day": "2026-03-14", "upstream": 140, "here": 139, "missing": 1, "still_missing": [], "extra": [],
               "extra_count": 0},
}  # fmt: skip


def _example(value: Any, status: int = 200, description: str = "Well.") -> dict[int | str, dict[str, Any]]:
    return {status: {"description": description, "content": {"application/json": {"example": value}}}}


class NewFeed(JsonBody):
    """A feed: by a bundled template, or by its own definition as TOML or as an object."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"template": "hotline12345", "base_url": "https://12345.example.gov.cn/api"},
                {"template": "open311", "name": "boston", "source": "boston", "base_url": "https://311.example.org/v2"},
            ]
        },
    )
    template: str | None = Field(default=None, max_length=64)
    toml: str | None = Field(default=None, max_length=TOML_LENGTH)
    definition: dict[str, Any] | None = None
    name: str | None = Field(default=None, max_length=58, description="another name than the definition's")
    source: str | None = Field(default=None, max_length=64, description="another source than the definition's")
    base_url: str | None = Field(default=None, max_length=2000, description="where its upstream stands")

    @model_validator(mode="after")
    def _one_of_them(self) -> NewFeed:
        if sum(each is not None for each in (self.template, self.toml, self.definition)) != 1:
            raise objection("template、toml、definition 三者给出其一", "give one of template, toml, definition")
        return self

    def spec(self, run: Runtime) -> FeedSpec:
        """The definition, checked. Raises NotFound and Invalid."""
        changes = SpecOverrides(self.name, self.source, self.base_url)
        if self.definition is not None:
            said = {"name": self.name, "base_url": self.base_url}
            content = {**self.definition, **{key: value for key, value in said.items() if value is not None}}
            if self.source is not None and isinstance(content.get("source"), dict):
                content["source"] = {**content["source"], "code": self.source}
            return feed_book.check_remote(spec_of(content))
        text = self.toml if self.toml is not None else template_text(str(self.template), feed_book.own_templates(run))
        return feed_book.check_remote(parse_spec(text, changes))


class FeedChange(JsonBody):
    """What is changed of a feed; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"active": False}, {"base_url": "https://new.example.gov.cn/api"}]},
    )
    active: bool | None = Field(default=None, description="switched on, which closes its breaker, or off")
    base_url: str | None = Field(default=None, max_length=2000)
    toml: str | None = Field(default=None, max_length=TOML_LENGTH, description="a new definition; the cursor stays")
    definition: dict[str, Any] | None = Field(default=None, description="the same as an object")
    rewind: bool = Field(default=False, description="forget the cursor: the next pull begins as the first did")


class Day(JsonBody):
    """The day to compare; none: yesterday, where the feed is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"day": "2026-03-14"}]})
    day: date | None = None


@router.get("/feeds", responses=_example({"items": [FEED_EXAMPLE], "next": None}))
def list_feeds(request: Request, run: Run, who: Who) -> dict[str, Any]:
    """Every feed with its state, its lag in seconds, its counts and its last error."""
    require(who, "feeds.see")
    with run.database.read() as session:
        return {"items": feeds.listed(session, who, clock.now(), run.settings.zone, language(request)), "next": None}


@router.get("/feed-templates")
def list_templates(run: Run, who: Who) -> dict[str, Any]:
    """The templates that a feed can be made from, each as TOML."""
    require(who, "feeds.edit")
    folders = feed_book.own_templates(run)
    items = [{"name": name, "toml": template_text(name, folders)} for name in template_names(folders)]
    return {"items": items, "next": None}


@router.post("/feeds", status_code=201, responses=_example(FEED_EXAMPLE, 201, "Added."))
def add_feed(request: Request, run: Run, who: Who, response: Response, body: NewFeed) -> dict[str, Any]:
    """Add a feed, with its source where that is missing. Its secret never stands in the definition, which names an
    environment variable `DUBAN_FEED_…` of the worker. One that watches a folder is added on the command line. 409 where
    the name is taken."""
    require(who, "feeds.edit")
    spec = body.spec(run)
    with run.database.write() as session:
        feed_book.keep(session, spec, actor=who.actor, now=clock.now())
    response.headers["Location"] = f"/api/v1/feeds/{spec.name}"
    return _shown(request, run, who, spec.name)


@router.get("/feeds/{name}", responses=_example({**FEED_EXAMPLE, "definition": {}, "pulls": [PULL_EXAMPLE]}))
def read_feed(request: Request, run: Run, who: Who, name: FeedName) -> dict[str, Any]:
    """One feed with its definition, its latest pulls and its latest reconciliations."""
    require(who, "feeds.see")
    return _shown(request, run, who, name)


@router.patch("/feeds/{name}", responses=_example(FEED_EXAMPLE))
def change_feed(request: Request, run: Run, who: Who, name: FeedName, body: FeedChange) -> dict[str, Any]:
    """Switch a feed on or off, move it to another address, give it a new definition, or have it begin again."""
    require(who, "feeds.edit")
    now = clock.now()
    with run.database.write() as session:
        feed = feeds.need(session, name)
        if body.toml is not None or body.definition is not None or body.base_url is not None:
            spec = _changed(body, feed.spec)
            if spec.name != name:
                raise Invalid.at("/name", f"应为 {name}", f"must be {name}")
            was_active = feed.active
            feed_book.keep(session, spec, actor=who.actor, now=now, replace=True)
            feed.active = was_active
        if body.active is not None:
            feeds.switch(session, name, active=body.active, now=now)
        if body.rewind:
            feeds.rewind(session, name)
    return _shown(request, run, who, name)


def _changed(body: FeedChange, held: dict[str, Any]) -> FeedSpec:
    if body.toml is not None:
        return feed_book.check_remote(parse_spec(body.toml, SpecOverrides(base_url=body.base_url)))
    content = dict(body.definition if body.definition is not None else held)
    if body.base_url is not None:
        content["base_url"] = body.base_url
    return feed_book.check_remote(spec_of(content))


@router.get("/feeds/{name}/pulls", responses=_example({"items": [PULL_EXAMPLE], "next": None}))
def list_pulls(
    request: Request, run: Run, who: Who, name: FeedName, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, Any]:
    """The log of pulls and reconciliations, newest first. Pulls that brought nothing are kept for two days."""
    require(who, "feeds.see")
    lang, zone = language(request), run.settings.zone
    with run.database.read() as session:
        items, more = feeds.pulls_page(session, who, name, zone, lang, before=decode_cursor(cursor), limit=limit)
    return {"items": items, "next": encode_cursor(more) if more is not None else None}


@router.post("/feeds/{name}/pull", status_code=202, responses=_example(FEED_EXAMPLE, 202, "A worker will pull it."))
def pull_now(request: Request, run: Run, who: Who, name: FeedName) -> dict[str, Any]:
    """Have the feed pulled at once, also while its breaker is open; `pull_asked` says that it has not begun yet. 409 for
    one that is switched off."""
    require(who, "feeds.run")
    with run.database.write() as session:
        feeds.ask_pull(session, name, who.actor)
    return _shown(request, run, who, name)


@router.post(
    "/feeds/{name}/reconcile", status_code=202, responses=_example(FEED_EXAMPLE, 202, "A worker will compare the day.")
)
def reconcile_now(request: Request, run: Run, who: Who, name: FeedName, body: Day | None = None) -> dict[str, Any]:
    """Have a day held against the upstream's own list: what is missing here is pulled, what is extra is shown in the
    log. The day before is compared by itself, every day."""
    require(who, "feeds.run")
    with run.database.write() as session:
        feed = feeds.need(session, name)
        zone = ZoneInfo(feed.spec.get("mapping", {}).get("time_zone") or run.settings.time_zone)
        day = body.day if body is not None and body.day is not None else None
        day = day or clock.now().astimezone(zone).date() - timedelta(days=1)
        feeds.ask_reconcile(session, name, day, who.actor)
    return _shown(request, run, who, name)


def _shown(request: Request, run: Runtime, who: Principal, name: str) -> dict[str, Any]:
    """The feed; its definition to whoever may change it, since a header in it may be as good as a password."""
    with run.database.read() as session:
        found = feeds.shown(session, who, name, clock.now(), run.settings.zone, language(request))
    if not may(who, "feeds.edit"):
        del found["definition"]
    return found
