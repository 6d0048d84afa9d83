"""Reports: the list, producing one, one with its figures, the tickets behind a figure, downloads."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from app import clock
from app.console.base.choices import unit_choices
from app.console.base.i18n import texts
from app.console.base.web import HEADERS, Checked, Looking, PageRoute, Run, Visitor, go, language, link, page
from app.console.base.wording import actor_name
from app.console.reports import view as report_view
from app.errors import DubanError, Forbidden, Invalid
from app.runtime import Runtime
from app.security.permissions import require
from app.services.access import accounts
from app.services.core.reference import Reference
from app.store.tickets import OPEN_STATUSES
from reports import service
from reports.metrics import BY_KEY
from reports.period import last_ended
from reports.render import FORMATS
from reports.render.words import name_of, scope_of

router = APIRouter(route_class=PageRoute)
ReportId = Annotated[int, Path(ge=1, le=2**62)]
KINDS = ("monthly", "weekly", "daily", "clear-out")
OFFERED = ("xlsx", "csv", "json")
PAGE = 50


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report in the list."""

    address: str
    kind: str
    period: str
    scope: str
    edition: int
    correction: bool
    as_of: datetime
    made_by: str


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A ticket behind a figure, as a row of the ticket table; no title if the visitor may not read it."""

    id: int
    number: str
    title: str | None
    unit_id: int | None
    status: str
    stage: str
    card: str | None
    priority: str
    repeats: int
    parent_id: int | None
    received_at: datetime
    due_at: datetime | None
    completed_at: datetime | None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _behind(item: Mapping[str, Any], ref: Reference) -> TicketRow:
    unit = ref.unit_by_code(item["unit"]) if item["unit"] else None
    return TicketRow(
        unit_id=unit.id if unit else None,
        received_at=datetime.fromisoformat(item["received_at"]),
        due_at=_moment(item["due_at"]),
        completed_at=_moment(item["completed_at"]),
        **{
            name: item[name]
            for name in ("id", "number", "title", "status", "stage", "card", "priority", "repeats", "parent_id")
        },
    )


def address_of(kind: str, report_id: int, period: str, unit: str | None) -> str:
    """Return the address of a report's page; a clear-out list has its own."""
    return link(f"/clear-out/{period}", {"unit": unit}) if kind == "clear-out" else f"/reports/{report_id}"


def _list_page(
    request: Request,
    run: Runtime,
    looking: Visitor,
    *,
    before: int | None = None,
    refusal: DubanError | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    now, lang, zone = clock.now(), language(request), run.settings.zone
    t = texts(lang)
    with run.reading() as (session, ref):
        rows = service.list_reports(session, ref, looking.who, before=before, limit=PAGE + 1, zone=zone)
        names = accounts.display_names(session, {row["created_by"] for row in rows})
        units = unit_choices(ref, looking.who, lang)
        called = {node.code: node.called(lang) for node in ref.units.values()}
    listed = [
        ReportRow(
            address=address_of(row["kind"], row["id"], row["period"], row["scope"]["unit"]),
            kind=row["kind"],
            period=row["period"],
            scope=called.get(row["scope"]["unit"], row["scope"]["unit"]) if row["scope"]["unit"] else t("report.whole"),
            edition=row["edition"],
            correction=row["correction"],
            as_of=datetime.fromisoformat(row["as_of"]),
            made_by=actor_name(row["created_by"], names, t),
        )
        for row in rows[:PAGE]
    ]
    periods = {kind: last_ended(kind, now, run.settings.time_zone).key for kind in KINDS}
    return page(
        request, "reports/list.html", status=refusal.status if refusal else 200, now=now, rows=listed,
        more=rows[PAGE - 1]["id"] if len(rows) > PAGE else None, refusal=_said(refusal, lang), kinds=KINDS, units=units,
        periods=periods, typed={"kind": KINDS[0], "period": periods[KINDS[0]], "unit": "", **(typed or {})},
    )  # fmt: skip


def _said(refusal: DubanError | None, lang: str) -> str | None:
    if isinstance(refusal, Invalid):
        return " ".join(problem.text(lang) for problem in refusal.problems)
    return refusal.text(lang) if refusal else None


@router.get("/reports")
def list_reports(
    request: Request, run: Run, looking: Looking, before: Annotated[int | None, Query(ge=1, le=2**62)] = None
) -> Response:
    """Show the reports that the person may see, and the form for a new one."""
    return _list_page(request, run, looking, before=before)


@router.post("/reports")
def make_report(request: Request, run: Run, looking: Looking, fields: Checked) -> Response:
    """Produce a report and show it; if nothing has changed since the last edition, show that one."""
    typed = {name: fields.get(name, "").strip() for name in ("kind", "period", "unit")}
    try:
        require(looking.who, "reports.make")
        made = service.produce(
            run, looking.who, typed["kind"], typed["period"], now=clock.now(), unit=typed["unit"] or None
        )
    except Forbidden:
        raise
    except DubanError as error:
        return _list_page(request, run, looking, refusal=error, typed=typed)
    return go(address_of(made.document["kind"], made.id, made.document["period"], typed["unit"] or None))


@router.get("/reports/{report_id}")
def show_report(request: Request, run: Run, looking: Looking, report_id: ReportId) -> Response:
    """Show a report with its figures, each linked to its tickets."""
    now, lang = clock.now(), language(request)
    t = texts(lang)
    with run.reading() as (session, ref):
        report = service.get(session, ref, looking.who, report_id)
        document = service.document(session, looking.who, report, now, run.settings.zone)
        difference = report.difference
    if document["kind"] == "clear-out":
        return go(address_of("clear-out", report_id, document["period"], (document.get("scope") or {}).get("unit")))
    bars, most = report_view.series_bars(document["series"], t)
    return page(
        request, "reports/report.html", now=now, id=report_id, document=document, scope=scope_of(document, lang),
        as_of=datetime.fromisoformat(document["as_of"]), formats=OFFERED, groups=report_view.figure_groups(document, t),
        bars=bars, most=most, width=report_view.SERIES_WIDTH, height=report_view.SERIES_HEIGHT,
        breakdowns={d: report_view.breakdown(document[f"by_{d}"], t) for d in report_view.DIMENSIONS},
        changes=report_view.corrections(difference, t) if difference else [], difference=difference,
    )  # fmt: skip


@router.get("/reports/{report_id}/tickets")
def tickets_behind(
    request: Request,
    run: Run,
    looking: Looking,
    report_id: ReportId,
    figure: str,
    group: str | None = None,
    after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> Response:
    """Show the tickets that a figure counts, each in its current state."""
    now, lang, zone = clock.now(), language(request), run.settings.zone
    with run.reading() as (session, ref):
        report = service.get(session, ref, looking.who, report_id)
        document = service.document(session, looking.who, report, now, zone)
        found = service.tickets(
            session, ref, looking.who, report, figure, group=group, after=after, limit=PAGE, now=now, zone=zone
        )
        rows = [_behind(item, ref) for item in found.items]
        units = {key: node.called(lang) for key, node in ref.units.items()}
    definition = BY_KEY.get(figure)
    return page(
        request, "reports/tickets.html", now=now, id=report_id, document=document, rows=rows, unit_names=units,
        total=found.total, more=found.next, after=after, open_statuses=OPEN_STATUSES,
        label=definition.label(lang) if definition else figure, about=definition.about(lang) if definition else "",
        group_name=_group_name(document, group, lang), back=address_of(document["kind"], report_id, document["period"], None),
    )  # fmt: skip


def _group_name(document: Mapping[str, Any], group: str | None, lang: str) -> str | None:
    if not group:
        return None
    dimension, _, code = group.partition(":")
    rows = document.get(f"by_{dimension}") or []
    return next((name_of(row, lang) for row in rows if row["code"] == code), code)


@router.get("/reports/{report_id}/download")
def download_report(
    request: Request,
    run: Run,
    looking: Looking,
    report_id: ReportId,
    format: str = "xlsx",  # noqa: A002 - as in the API
) -> Response:
    """Return the report as a file."""
    return send_file(request, run, looking, report_id, format)


def send_file(request: Request, run: Runtime, looking: Visitor, report_id: int, format_: str) -> Response:
    """Return a report as a file rendered for this response. Raises NotFound, Forbidden, Invalid at ``/format``."""
    folder = tempfile.TemporaryDirectory(prefix="duban-")
    path = FilePath(folder.name) / "report"
    try:
        with run.reading() as (session, ref):
            report = service.get(session, ref, looking.who, report_id)
            name = service.download(
                session,
                looking.who,
                report,
                format_,
                path,
                lang=language(request),
                now=clock.now(),
                zone=run.settings.zone,
            )
    except DubanError:
        folder.cleanup()
        raise
    saved_as = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name)}"}
    return FileResponse(
        path, media_type=FORMATS[format_], headers={**HEADERS, **saved_as}, background=BackgroundTask(folder.cleanup)
    )
