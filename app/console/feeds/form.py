"""Form to add or change a feed: its TOML from a template, checked line by line, tried on its upstream, saved."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app import clock
from app.console.base.web import Checked, Looking, PageRoute, Run, Visitor, go, language, page
from app.console.feeds import view as feed_view
from app.errors import DubanError, Invalid
from app.runtime import Runtime
from app.security.permissions import require
from app.services.intake import feeds
from ingest.connectors.registry import parse_spec, template_text
from ingest.connectors.spec import FeedSpec
from ingest.feeds import registry as feed_book
from ingest.feeds.trial import FeedTrial, line_of, try_feed

router = APIRouter(route_class=PageRoute)
FeedName = Annotated[str, Path(max_length=64)]
NEW = "/feeds/+new"
FIRST = "hotline12345"


@router.get(NEW)
def new_feed(request: Request, run: Run, looking: Looking, template: str = FIRST) -> Response:
    """Show the form of a new feed, filled from a template."""
    require(looking.who, "feeds.edit")
    text = template_text(template, feed_book.own_templates(run))
    return _show(request, run, None, text, template=template)


@router.get("/feeds/{name}/edit")
def edit_feed(request: Request, run: Run, looking: Looking, name: FeedName) -> Response:
    """Show the form of an existing feed."""
    require(looking.who, "feeds.edit")
    with run.database.read() as session:
        spec = dict(feeds.need(session, name).spec)
    return _show(request, run, name, feed_view.definition_text(spec))


@router.post(NEW)
def add_feed(request: Request, run: Run, looking: Looking, fields: Checked) -> Response:
    """Check, try or save a new feed."""
    return _work(request, run, looking, fields, None)


@router.post("/feeds/{name}/edit")
def change_feed(request: Request, run: Run, looking: Looking, fields: Checked, name: FeedName) -> Response:
    """Check, try or save the changed definition of a feed; its cursor and its on/off state are unchanged."""
    return _work(request, run, looking, fields, name)


def _work(request: Request, run: Runtime, looking: Visitor, fields: Any, name: str | None) -> Response:
    require(looking.who, "feeds.edit")
    text, do = fields.get("toml", "").replace("\r\n", "\n"), fields.get("do", "check")
    results: dict[str, Any] = {}
    try:
        spec = _checked(text, name)
        if do == "try":
            results["tried"] = try_feed(spec, clock.now())
        elif do == "save":
            return _keep(run, looking, spec, name)
        results["checked"] = spec.name
    except DubanError as error:
        results["wrong"] = error
    return _show(request, run, name, text, **results)


def _checked(text: str, name: str | None) -> FeedSpec:
    spec = feed_book.check_remote(parse_spec(text))
    if name is not None and spec.name != name:
        raise Invalid.at("/name", f"名称不能更改，应为 {name}", f"the name cannot be changed; it must be {name}")
    return spec


def _keep(run: Runtime, looking: Visitor, spec: FeedSpec, name: str | None) -> Response:
    with run.database.write() as session:
        was_active = name is None or feeds.need(session, name).active
        kept = feed_book.keep(session, spec, actor=looking.who.actor, now=clock.now(), replace=name is not None)
        kept.active = was_active
    return go(f"/feeds/{spec.name}")


def _show(
    request: Request, run: Runtime, name: str | None, text: str, *, template: str = "", wrong: DubanError | None = None,
    tried: FeedTrial | None = None, checked: str | None = None,
) -> Response:  # fmt: skip
    lang = language(request)
    wrongs: list[tuple[int | None, str, str]] = []
    if isinstance(wrong, Invalid):
        wrongs = [(line_of(text, one), one.pointer, one.text(lang)) for one in wrong.problems]
    elif wrong is not None:
        wrongs = [(None, "", wrong.text(lang))]
    templates = feed_book.remote_templates(run)
    return page(
        request, "feeds/form.html", status=wrong.status if wrong and wrong.status < 500 else 200, name=name, text=text,
        templates=templates, begun_with=template, wrongs=wrongs, tried=tried, checked=checked,
    )  # fmt: skip
