"""Feeds: an overview of all, and one with its lag, counts, errors, pulls, and comparisons with its upstream."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query, Request, Response

from app import clock
from app.console.base.i18n import texts
from app.console.base.web import Checked, Looking, PageRoute, Run, go, language, page
from app.console.base.wording import actor_name
from app.console.feeds import view as feed_view
from app.errors import Invalid
from app.security.permissions import may, require
from app.services.access import accounts
from app.services.intake import feeds

router = APIRouter(route_class=PageRoute)
FeedName = Annotated[str, Path(max_length=64)]
PULLS = 25
DAYS = 14


@router.get("/feeds")
def list_feeds(request: Request, run: Run, looking: Looking) -> Response:
    """Show every feed: its state, lag, counts, open rejects and last error."""
    require(looking.who, "feeds.see")
    now, lang = clock.now(), language(request)
    with run.database.read() as session:
        rows = feeds.listed(session, looking.who, now, run.settings.zone, lang)
    return page(request, "feeds/list.html", now=now, rows=rows, **_helpers(request))


@router.get("/feeds/{name}")
def show_feed(
    request: Request, run: Run, looking: Looking, name: FeedName, before: Annotated[int | None, Query(ge=1)] = None
) -> Response:
    """Show one feed; ``before``: older entries of its log."""
    require(looking.who, "feeds.see")
    now, lang, zone = clock.now(), language(request), run.settings.zone
    with run.database.read() as session:
        view = feeds.shown(session, looking.who, name, now, zone, lang)
        rows, more = feeds.pulls_page(session, looking.who, name, zone, lang, before=before, limit=PULLS)
        days = feeds.intake_by_day(session, view["id"], now, zone, days=DAYS)
        worker = feeds.has_live_worker(session, now)
        names = accounts.display_names(session, {row["actor"] for row in [*rows, *view["reconciliations"]]})
    t = texts(lang)
    bars, most = feed_view.bars(days, t)
    zone_there = ZoneInfo(view["definition"].get("mapping", {}).get("time_zone") or run.settings.time_zone)
    today = now.astimezone(zone_there).date()
    return page(
        request, "feeds/feed.html", now=now, feed=view, rows=rows, more=more, before=before, bars=bars, worker=worker, most=most,
        any_day=any(bar.parts for bar in bars), width=feed_view.WIDTH, height=feed_view.HEIGHT, parts=feed_view.PARTS,
        actor=lambda actor: actor_name(actor, names, t), today=today, yesterday=today - timedelta(days=1),
        definition=feed_view.definition_text(view["definition"]) if may(looking.who, "feeds.edit") else None,
        **_helpers(request),
    )  # fmt: skip


def _helpers(request: Request) -> dict[str, Any]:
    t = texts(language(request))
    return {
        "at": datetime.fromisoformat,
        "seconds": lambda n: feed_view.seconds_text(n, t),
        "skew": lambda n: feed_view.skew_text(n, t),
        "skew_shown": feed_view.SKEW_SHOWN,
    }


@router.post("/feeds/{name}/pull")
def pull_now(run: Run, looking: Looking, fields: Checked, name: FeedName) -> Response:
    """Request an immediate pull by a worker."""
    require(looking.who, "feeds.run")
    with run.database.write() as session:
        feeds.request_pull(session, name, looking.who.actor)
    return go(f"/feeds/{name}")


@router.post("/feeds/{name}/reconcile")
def reconcile_now(run: Run, looking: Looking, fields: Checked, name: FeedName) -> Response:
    """Request a comparison of a day with the upstream's own list, by a worker."""
    require(looking.who, "feeds.run")
    try:
        day = date.fromisoformat(fields.get("day", ""))
    except ValueError as error:
        raise Invalid.at("/day", "请选择日期", "choose a day") from error
    with run.database.write() as session:
        feeds.request_reconcile(session, name, day, looking.who.actor)
    return go(f"/feeds/{name}#compare")


@router.post("/feeds/{name}/switch")
def switch(run: Run, looking: Looking, fields: Checked, name: FeedName) -> Response:
    """Switch the feed on or off."""
    require(looking.who, "feeds.edit")
    with run.database.write() as session:
        feeds.switch(session, name, active=fields.get("active") == "1", now=clock.now())
    return go(f"/feeds/{name}")
