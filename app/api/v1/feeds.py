"""Feeds: list, add, switch and change pulled sources, and request a pull or a reconciliation.

Pulls are run by a worker, possibly on another machine, within seconds of the request.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Request, Response

from app import clock
from app.api.answers import CHANGES, as_json, shows
from app.api.deps import Cursor, Limit, Run, Who, decode_cursor, encode_cursor
from app.api.problems import language
from app.errors import Invalid
from app.runtime import Runtime
from app.schemas.common import Page
from app.schemas.feed import FeedChange, FeedDetailOut, FeedIn, FeedOut, FeedTemplateOut, PullOut, ReconcileIn
from app.security.permissions import may, require
from app.security.principal import Principal
from app.services.intake import feeds
from ingest.connectors.registry import SpecOverrides, parse_spec, spec_of, template_names, template_text
from ingest.connectors.spec import FeedSpec
from ingest.feeds import registry as feed_book

router = APIRouter(tags=["feeds"])
FeedName = Annotated[str, Path(max_length=64, description="name of the feed")]


def _definition(body: FeedIn, run: Runtime) -> FeedSpec:
    """Validate the definition of a new feed. Raises NotFound and Invalid."""
    changes = SpecOverrides(body.name, body.source, body.base_url)
    if body.definition is not None:
        given = {"name": body.name, "base_url": body.base_url}
        content = {**body.definition, **{key: value for key, value in given.items() if value is not None}}
        if body.source is not None and isinstance(content.get("source"), dict):
            content["source"] = {**content["source"], "code": body.source}
        return feed_book.check_remote(spec_of(content))
    text = body.toml if body.toml is not None else template_text(str(body.template), feed_book.own_templates(run))
    return feed_book.check_remote(parse_spec(text, changes))


@router.get("/feeds", responses=shows(Page[FeedOut]))
def list_feeds(request: Request, run: Run, who: Who) -> Response:
    """Every feed with its state, its lag in seconds, its counts and its last error."""
    require(who, "feeds.see")
    with run.database.read() as session:
        items = feeds.listed(session, who, clock.now(), run.settings.zone, language(request))
    return as_json({"items": items, "next": None})


@router.get("/feed-templates")
def list_feed_templates(run: Run, who: Who) -> Page[FeedTemplateOut]:
    """The templates for new feeds, each as TOML."""
    require(who, "feeds.edit")
    folders = feed_book.own_templates(run)
    items = [FeedTemplateOut(name=name, toml=template_text(name, folders)) for name in template_names(folders)]
    return Page(items=items, next=None)


@router.post("/feeds", status_code=201, responses={**shows(FeedDetailOut, 201, "Added."), **CHANGES})
def add_feed(request: Request, run: Run, who: Who, body: FeedIn) -> Response:
    """Add a feed, and its source if it does not exist. The definition never contains the secret; it names an environment
    variable `DUBAN_FEED_…` of the worker. A feed that watches a folder is added on the command line. 409 if the name is
    taken.
    """
    require(who, "feeds.edit")
    spec = _definition(body, run)
    with run.database.write() as session:
        feed_book.keep(session, spec, actor=who.actor, now=clock.now())
    return _shown(request, run, who, spec.name, 201, {"Location": f"/api/v1/feeds/{spec.name}"})


@router.get("/feeds/{name}", responses=shows(FeedDetailOut))
def get_feed(request: Request, run: Run, who: Who, name: FeedName) -> Response:
    """One feed with its definition, its latest pulls and its latest reconciliations."""
    require(who, "feeds.see")
    return _shown(request, run, who, name)


@router.patch("/feeds/{name}", responses={**shows(FeedDetailOut), **CHANGES})
def change_feed(request: Request, run: Run, who: Who, name: FeedName, body: FeedChange) -> Response:
    """Switch a feed on or off, change its address, replace its definition, or reset its cursor."""
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


@router.get("/feeds/{name}/pulls", responses=shows(Page[PullOut]))
def list_pulls(
    request: Request, run: Run, who: Who, name: FeedName, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The log of pulls and reconciliations, newest first. Pulls without changes are kept for two days."""
    require(who, "feeds.see")
    lang, zone = language(request), run.settings.zone
    with run.database.read() as session:
        items, more = feeds.pulls_page(session, who, name, zone, lang, before=decode_cursor(cursor), limit=limit)
    return as_json({"items": items, "next": encode_cursor(more) if more is not None else None})


@router.post(
    "/feeds/{name}/pull",
    status_code=202,
    responses={**shows(FeedDetailOut, 202, "A worker will pull it."), **CHANGES},
)
def pull_feed(request: Request, run: Run, who: Who, name: FeedName) -> Response:
    """Request an immediate pull, even if the circuit breaker is open; `pull_asked` is true until it begins. 409 for a feed
    that is switched off.
    """
    require(who, "feeds.run")
    with run.database.write() as session:
        feeds.request_pull(session, name, who.actor)
    return _shown(request, run, who, name, 202)


@router.post(
    "/feeds/{name}/reconcile",
    status_code=202,
    responses={**shows(FeedDetailOut, 202, "A worker will compare the day."), **CHANGES},
)
def reconcile_feed(request: Request, run: Run, who: Who, name: FeedName, body: ReconcileIn | None = None) -> Response:
    """Compare a day with the upstream's own list: missing records are pulled, extra ones are listed in the log. The previous
    day is reconciled automatically every day.
    """
    require(who, "feeds.run")
    with run.database.write() as session:
        feed = feeds.need(session, name)
        zone = ZoneInfo(feed.spec.get("mapping", {}).get("time_zone") or run.settings.time_zone)
        day = body.day if body is not None and body.day is not None else None
        day = day or clock.now().astimezone(zone).date() - timedelta(days=1)
        feeds.request_reconcile(session, name, day, who.actor)
    return _shown(request, run, who, name, 202)


def _shown(
    request: Request,
    run: Runtime,
    who: Principal,
    name: str,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the feed; its definition only to callers who may change it, since a header in it may be a credential."""
    with run.database.read() as session:
        found = feeds.shown(session, who, name, clock.now(), run.settings.zone, language(request))
    if not may(who, "feeds.edit"):
        del found["definition"]
    return as_json(found, status, headers)
