"""Rejects: listed by reason; one opened, corrected and retried; many retried or discarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app import clock
from app.console.base.choices import source_choices
from app.console.base.i18n import texts
from app.console.base.web import Checked, Looking, PageRoute, Run, Visitor, go, language, link, page
from app.console.base.wording import actor_name
from app.console.rejects.view import RejectForm, corrected, reject_form
from app.errors import DubanError, Invalid, NotFound
from app.models import Reject
from app.runtime import Runtime
from app.security.permissions import require
from app.services.access import accounts
from app.services.intake import import_runs, rejects
from ingest.rejects import raw_rows, retry
from ingest.rejects.retry import profile_of_reject
from ingest.rows.profile import Profile

router = APIRouter(route_class=PageRoute)
RejectId = Annotated[int, Path(ge=1, le=2**62)]
PAGE = 50
AT_ONCE = 2_000
"""Rejects that one press of a button tries again; the rest is another press."""
MOST_DISCARDED = 50_000
RAW = 160
DOORS = ("import", "batch", "feed")
FILTERS = ("state", "door", "source", "reason", "run")


def settler(looking: Looking) -> Visitor:
    """Return a person who may settle rejects; raises Forbidden. Correcting a row requires the right to see it."""
    require(looking.who, "rejects.settle")
    require(looking.who, "reporter.reveal")
    return looking


Settler = Annotated[Visitor, Depends(settler)]


def filter_of(run: Runtime, fields: Mapping[str, str]) -> rejects.RejectFilter:
    """Parse the filter of an address or a form. Raises Invalid for an unknown source."""
    source_id: int | None = None
    if fields.get("source"):
        with run.reading() as (_, ref):
            found = ref.source_by_code(fields["source"])
        if found is None:
            raise Invalid.at("/source", f"没有编码为 {fields['source']!r} 的来源", f"no source {fields['source']!r}")
        source_id = found.id
    run_text = fields.get("run") or ""
    run_id = int(run_text) if run_text.isdecimal() and len(run_text) < 19 else None
    state = fields.get("state") or "open"
    door = fields.get("door") or ""
    return rejects.RejectFilter(
        None if state == "all" else state if state in rejects.STATES else "open",
        door if door in DOORS else None, source_id, (fields.get("reason") or "")[:64] or None, run_id,
    )  # fmt: skip


def list_filters(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the list's filters from an address or a form."""
    return {name: fields.get(name, "") for name in FILTERS}


@router.get("/rejects")
def list_rejects(
    request: Request, run: Run, looking: Settler, before: Annotated[int | None, Query(ge=1, le=2**62)] = None
) -> Response:
    """Show the open rejects, by reason and one by one."""
    lang = language(request)
    filters = list_filters(request.query_params)
    chosen = filter_of(run, filters)
    with run.reading() as (session, ref):
        rows = rejects.list_rejects(session, looking.who, chosen, before=before, limit=PAGE + 1)
        groups = rejects.groups(session, looking.who, chosen, lang)
        runs = import_runs.by_ids(
            session, looking.who, list({row.run_id for row in rows if row.run_id} | {chosen.run_id or 0})
        )
        lately = import_runs.recent(session, looking.who, PAGE)
        sources = source_choices(ref, lang)
        session.expunge_all()
        called = {key: (s.name_en or s.name) if lang == "en" else s.name for key, s in ref.sources.items()}
    masked = raw_rows.masked_rows(run, rows[:PAGE])
    excerpts = {row.id: _excerpt(raw) for row, raw in zip(rows, masked, strict=False)}
    numbers = {n: request.query_params.get(n, "") for n in ("taken", "refused", "discarded", "after")}
    return page(
        request, "rejects/list.html", rows=rows[:PAGE], more=rows[PAGE - 1].id if len(rows) > PAGE else None, groups=groups,
        total=sum(group["count"] for group in groups), asked=filters, runs=runs, lately=[t.run for t in lately],
        sources=sources, called=called, doors=DOORS, states=("open", *rejects.STATES[1:], "all"), before=before,
        narrowed=any(filters.values()), told={n: v if v.isdecimal() else "" for n, v in numbers.items()}, excerpts=excerpts,
        at_once=AT_ONCE, reasons=lambda row: rejects.errors_view(row.errors, lang),
    )  # fmt: skip


def _excerpt(raw: str | None) -> str:
    """Return the beginning of a masked row, on one line; empty if the whole row is hidden."""
    text = " ".join((raw or "")[: 2 * RAW].split())
    return text if len(text) <= RAW else text[: RAW - 1] + "…"


@router.post("/rejects/retry")
def retry_many(request: Request, run: Run, looking: Settler, fields: Checked) -> Response:
    """Retry the open rejects of a filter with their original rows."""
    after = fields.get("after", "")
    done = retry.retry_all(
        run, looking.who, filter_of(run, {**fields, "state": "open"}), clock.now(),
        after=int(after) if after.isdecimal() and len(after) < 19 else 0, most=AT_ONCE,
    )  # fmt: skip
    return go(
        link(
            "/rejects",
            {**_back(fields), "taken": str(done.accepted), "refused": str(done.refused), "after": done.after},
        )
    )


@router.post("/rejects/discard")
def discard_many(request: Request, run: Run, looking: Settler, fields: Checked) -> Response:
    """Discard the open rejects of a filter; they are kept with state ``deleted``."""
    chosen = filter_of(run, {**fields, "state": "open"})
    with run.database.write() as session:
        count = rejects.discard(session, looking.who, chosen, clock.now(), most=MOST_DISCARDED)
    return go(link("/rejects", {**_back(fields), "discarded": str(count)}))


def _back(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the filter of the list that a form came from, without the group that was settled."""
    filters = list_filters(fields)
    if fields.get("group"):
        filters["reason"] = ""
    return filters


@router.get("/rejects/{reject_id}")
def show_reject(request: Request, run: Run, looking: Settler, reject_id: RejectId) -> Response:
    """Show one reject as a form."""
    return _show(request, run, looking, reject_id)


def _show(
    request: Request, run: Runtime, looking: Visitor, reject_id: int, *,
    refusal: DubanError | None = None, typed: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    lang = language(request)
    t = texts(lang)
    filters = list_filters(typed if typed is not None else request.query_params)
    reject, profile, columns, name = _read(run, looking, reject_id)
    raw_rows.visible_rows(run, looking.who, [reject], clock.now())
    found = reject_form(reject.raw, _errors(reject, refusal), lang, profile, columns)
    with run.reading() as (session, ref):
        names = accounts.display_names(session, {reject.settled_by} if reject.settled_by else set())
        source = ref.sources.get(reject.source_id) if reject.source_id is not None else None
        following = rejects.next_open(
            session, looking.who, filter_of(run, {**filters, "state": "open"}), before=reject_id
        )
    taken = request.query_params.get("taken", "")
    return page(
        request, "rejects/reject.html", status=refusal.status if refusal else 200, reject=reject, torn=found, asked=filters,
        file=name, profile=profile, source=(source.name_en or source.name) if source and lang == "en" else source and source.name,
        typed=typed or {}, refusal=refusal.text(lang) if refusal and not isinstance(refusal, Invalid) else None,
        again=refusal is not None, following=following, actor=lambda actor: actor_name(actor, names, t),
        taken=int(taken) if taken.isdecimal() and len(taken) < 19 else None,
        discarded=request.query_params.get("discarded") == "1",
    )  # fmt: skip


def _errors(reject: Reject, refusal: DubanError | None) -> list[dict[str, Any]]:
    """Return the errors to show: those of the last attempt."""
    return rejects.errors_json(refusal.problems) if isinstance(refusal, Invalid) else list(reject.errors)


def _read(
    run: Runtime, looking: Visitor, reject_id: int
) -> tuple[Reject, Profile | None, list[str] | None, str | None]:
    """Return a reject, its profile, the columns of its file, and the file's name."""
    with run.reading() as (session, _):
        reject = rejects.get(session, looking.who, reject_id)
        taken = import_runs.by_ids(session, looking.who, [reject.run_id]) if reject.run_id else {}
        session.expunge_all()
    of = taken.get(reject.run_id or 0)
    profile: Profile | None = None
    if reject.profile is not None:
        try:
            profile = profile_of_reject(run, reject.profile)
        except (Invalid, NotFound):
            profile = None  # its profile was removed: a retry reports that
    columns = of.columns if of is not None else None
    if columns is None and profile is not None:
        columns = profile.column_names()
    return reject, profile, columns, of.file_name if of else None


@router.post("/rejects/{reject_id}")
def settle_one(request: Request, run: Run, looking: Settler, fields: Checked, reject_id: RejectId) -> Response:
    """Retry a reject as edited in the form, or discard it; then redirect to the next."""
    now = clock.now()
    filters = list_filters(fields)
    if fields.get("do") == "discard":
        with run.database.write() as session:
            found = rejects.get(session, looking.who, reject_id, lock=True)
            if found.state == "open":
                rejects.settle(session, found, "deleted", looking.who, now)
        return _onward(run, looking, filters, reject_id, discarded="1")
    reject, profile, columns, _ = _read(run, looking, reject_id)
    apart: RejectForm = reject_form(reject.raw, reject.errors, language(request), profile, columns)
    # without its profile the row must not be read as a pushed ticket
    row = corrected(apart, fields, profile) if profile is not None or reject.profile is None else None
    try:
        ticket = retry.retry(run, looking.who, reject_id, row, now)
    except NotFound:
        raise
    except DubanError as error:
        return _show(request, run, looking, reject_id, refusal=error, typed=fields)
    return _onward(run, looking, filters, reject_id, taken=str(ticket))


def _onward(run: Runtime, looking: Visitor, filters: Mapping[str, str], reject_id: int, **results: str) -> Response:
    with run.database.read() as session:
        following = rejects.next_open(
            session, looking.who, filter_of(run, {**filters, "state": "open"}), before=reject_id
        )
    target = f"/rejects/{following}" if following else "/rejects"
    if following is None and "taken" in results:
        results = {"taken": "1", "refused": "0"}
    return go(link(target, {**filters, **results}))
