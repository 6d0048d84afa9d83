"""Reports: produce, list, read, open the tickets behind a figure, download; and the definitions of figures.

Every endpoint runs in a worker thread: a month of many tickets takes seconds to count and to write as a workbook.
"""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from app import clock
from app.api.answers import CHANGES, as_json, file_of, shows
from app.api.deps import Cursor, Id, Limit, Run, Who, decode_cursor, encode_cursor
from app.schemas.clear_out import ClearOutOut
from app.schemas.codes import Lang, ReportKind
from app.schemas.common import Page
from app.schemas.report import (
    DefinitionsOut,
    FigureTicketsOut,
    ListedReportOut,
    ReportFiguresOut,
    ReportIn,
    ReportOut,
)
from reports import metrics, service
from reports.render import FORMATS

router = APIRouter(tags=["reports"])
Edition = ReportOut | ClearOutOut
Format = Annotated[str, Query(alias="format", max_length=16, description="`json`, `csv` or `xlsx`")]


@router.get("/metrics/definitions", responses=shows(DefinitionsOut))
def get_definitions(who: Who) -> Response:
    """The registry of figures: name, definition and meaning of each, and the version that reports carry."""
    return as_json(metrics.definitions())


@router.get("/reports")
def list_reports(
    run: Run,
    who: Who,
    kind: Annotated[ReportKind | None, Query(description="kind of report")] = None,
    period: Annotated[str | None, Query(max_length=32, description="such as `2024-03`")] = None,
    scope: Annotated[str | None, Query(max_length=64, description="code of a unit; empty: the whole")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ListedReportOut]:
    """Reports, newest first, without their figures."""
    with run.reading() as (session, ref):
        rows = service.list_reports(
            session, ref, who, kind=kind, period=period, scope=scope, before=decode_cursor(cursor), limit=limit + 1,
            zone=run.settings.zone,
        )  # fmt: skip
    more = len(rows) > limit
    items = [ListedReportOut(**row) for row in rows[:limit]]
    return Page(items=items, next=encode_cursor(items[-1].id) if more else None)


@router.post(
    "/reports",
    status_code=201,
    responses={
        **shows(Edition, 201, "Made."),
        **shows(Edition, 200, "There already, with the same facts and figures."),
        **CHANGES,
    },
)
def make_report(run: Run, who: Who, body: ReportIn) -> Response:
    """Produce and store a report: 201, or 200 and the existing edition if facts and figures are equal.

    Later data makes a numbered correction (更正) with its `difference`. A period that has not ended gives a running report,
    number 0, which the next one replaces. A report whose balance does not close is refused.
    """
    now = clock.now()
    made = service.produce(run, who, body.kind, body.period, now=now, unit=body.unit(), as_of=body.as_of)
    with run.reading() as (session, ref):
        report = service.get(session, ref, who, made.id)
        view = {**service.view(session, who, report, now, run.settings.zone), "created": made.created}
    return as_json(view, 201 if made.created else 200, {"Location": f"/api/v1/reports/{made.id}"})


@router.get("/reports/{report_id}", responses=shows(Edition))
def get_report(run: Run, who: Who, report_id: Id) -> Response:
    """One report, with its figures, breakdowns, series, comparison and balance."""
    with run.reading() as (session, ref):
        report = service.get(session, ref, who, report_id)
        return as_json(service.view(session, who, report, clock.now(), run.settings.zone))


@router.get("/reports/{report_id}/figures", responses=shows(ReportFiguresOut))
def get_figures(
    run: Run,
    who: Who,
    report_id: Id,
    group: Annotated[str | None, Query(max_length=100, description="`unit:CODE`, `category:CODE`, …")] = None,
) -> Response:
    """The figures of the whole, or of one group, with those of earlier periods."""
    with run.reading() as (session, ref):
        return as_json(service.figures(service.get(session, ref, who, report_id), group))


@router.get("/reports/{report_id}/tickets", responses=shows(FigureTicketsOut))
def list_figure_tickets(
    run: Run,
    who: Who,
    report_id: Id,
    figure: Annotated[str, Query(max_length=64, description="key of a figure; `listed` for a clear-out list")],
    group: Annotated[str | None, Query(max_length=100, description="`unit:CODE`, …; left out: the whole")] = None,
    part: Annotated[Literal["numerator", "denominator"], Query(description="of a ratio")] = "numerator",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The tickets that a figure counts; over all pages, as many as the figure (`total`)."""
    with run.reading() as (session, ref):
        report = service.get(session, ref, who, report_id)
        page = service.tickets(
            session, ref, who, report, figure, group=group, part=part, after=decode_cursor(cursor), limit=limit,
            now=clock.now(), zone=run.settings.zone,
        )  # fmt: skip
    more = encode_cursor(page.next) if page.next is not None else None
    return as_json({"items": page.items, "next": more, "total": page.total})


@router.get(
    "/reports/{report_id}/download",
    response_class=FileResponse,
    responses=file_of(*reversed(FORMATS.values())),
)
def download_report(
    run: Run,
    who: Who,
    report_id: Id,
    format_: Format = "xlsx",
    lang: Annotated[Lang, Query(description="language of the headings")] = "zh",
) -> FileResponse:
    """The report as a file."""
    return report_file(run, who, report_id, format_, lang)


def report_file(run: Run, who: Who, report_id: int, format_: str, lang: str) -> FileResponse:
    """Return the report as a download, from a temporary file removed after sending. Pages call this too."""
    folder = tempfile.TemporaryDirectory(prefix="duban-report-")
    try:
        path = FilePath(folder.name) / "report"
        with run.reading() as (session, ref):
            report = service.get(session, ref, who, report_id)
            name = service.download(
                session, who, report, format_, path, lang=lang, now=clock.now(), zone=run.settings.zone
            )  # fmt: skip
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        path,
        media_type=FORMATS[format_],
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "Cache-Control": "private"},
        background=BackgroundTask(folder.cleanup),
    )
