"""Reports: made, listed, read, opened to the tickets behind a figure, downloaded; and what each figure means.

Every endpoint runs in a worker thread: a month of many tickets takes seconds to count and to write as a workbook.
"""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import ConfigDict, Field, field_validator
from starlette.background import BackgroundTask

from app import clock
from app.api.body import JsonBody
from app.api.deps import Cursor, Limit, Run, Who, decode_cursor, encode_cursor
from app.schemas.moment import Moment
from reports import metrics, service
from reports.render import FORMATS

router = APIRouter(tags=["reports"])
ReportId = Annotated[int, Path(ge=1, le=2**62)]
Kind = Literal["daily", "weekly", "monthly", "clear-out", "range"]


class ScopeIn(JsonBody):
    """What a report covers."""

    unit: str | None = Field(default=None, max_length=64, description="code of a unit, with all below it")


class ReportIn(JsonBody):
    """A report to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "monthly", "period": "2024-03"},
                {"kind": "weekly", "period": "2024-W11", "scope": {"unit": "GA-01"}},
            ]
        },
    )
    kind: Kind
    period: str = Field(max_length=32, description="`2024-03-15`, `2024-W11`, `2024-03`, `2024-03-01..2024-03-15`")
    scope: ScopeIn | None = Field(default=None, description='`{"unit": code}`, or the code alone; the whole')
    as_of: Moment | None = Field(default=None, description="what was known then; the moment of the call")

    @field_validator("scope", mode="before")
    @classmethod
    def _code_alone(cls, value: Any) -> Any:
        return {"unit": value} if isinstance(value, str) else value

    def unit(self) -> str | None:
        """The code of the unit it is about."""
        return self.scope.unit if self.scope else None


@router.get("/metrics/definitions")
def get_definitions(who: Who) -> dict[str, Any]:
    """The registry of figures: what each is called, counts and means, and the version that reports carry."""
    return metrics.definitions()


@router.get("/reports")
def list_reports(
    run: Run,
    who: Who,
    kind: Kind | None = None,
    period: Annotated[str | None, Query(max_length=32)] = None,
    scope: Annotated[str | None, Query(max_length=64, description="code of a unit; empty: the whole")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Reports, newest first, without their figures."""
    with run.reading() as (session, ref):
        rows = service.list_reports(
            session, ref, who, kind=kind, period=period, scope=scope, before=decode_cursor(cursor), limit=limit + 1,
            zone=run.settings.zone,
        )  # fmt: skip
    more = len(rows) > limit
    return {"items": rows[:limit], "next": encode_cursor(rows[limit - 1]["id"]) if more else None}


@router.post("/reports", status_code=201)
def make_report(run: Run, who: Who, body: ReportIn, response: Response) -> dict[str, Any]:
    """Make a report and keep it: 201, or 200 and the edition that is there where facts and figures are the same.

    Later data makes a numbered correction (更正) with its `difference`. A period that has not ended gives a running
    report, number 0, that the next one replaces. A report whose balance does not close is not made.
    """
    now = clock.now()
    made = service.produce(run, who, body.kind, body.period, now=now, unit=body.unit(), as_of=body.as_of)
    response.status_code = 201 if made.created else 200
    response.headers["Location"] = f"/api/v1/reports/{made.id}"
    with run.reading() as (session, ref):
        report = service.get(session, ref, who, made.id)
        return {**service.view(session, who, report, now, run.settings.zone), "created": made.created}


@router.get("/reports/{report_id}")
def get_report(run: Run, who: Who, report_id: ReportId) -> dict[str, Any]:
    """One report, with its figures, breakdowns, series, comparison and balance."""
    with run.reading() as (session, ref):
        report = service.get(session, ref, who, report_id)
        return service.view(session, who, report, clock.now(), run.settings.zone)


@router.get("/reports/{report_id}/figures")
def get_figures(
    run: Run,
    who: Who,
    report_id: ReportId,
    group: Annotated[str | None, Query(max_length=100, description="`unit:CODE`, `category:CODE`, …")] = None,
) -> dict[str, Any]:
    """The figures of the whole, or of one group, with those of earlier periods beside them."""
    with run.reading() as (session, ref):
        return service.figures(service.get(session, ref, who, report_id), group)


@router.get("/reports/{report_id}/tickets")
def list_tickets_behind(
    run: Run,
    who: Who,
    report_id: ReportId,
    figure: Annotated[str, Query(max_length=64, description="key of a figure; `listed` for a clear-out list")],
    group: Annotated[str | None, Query(max_length=100, description="`unit:CODE`, …; left out: the whole")] = None,
    part: Literal["numerator", "denominator"] = "numerator",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """The tickets that a figure counts: as many, over all pages, as the figure says (`total`)."""
    with run.reading() as (session, ref):
        report = service.get(session, ref, who, report_id)
        page = service.tickets(
            session, ref, who, report, figure, group=group, part=part, after=decode_cursor(cursor), limit=limit,
            now=clock.now(), zone=run.settings.zone,
        )  # fmt: skip
    return {
        "items": page.items,
        "next": encode_cursor(page.next) if page.next is not None else None,
        "total": page.total,
    }


@router.get(
    "/reports/{report_id}/download",
    response_class=FileResponse,
    responses={200: {"content": {media: {} for media in FORMATS.values()}, "description": "the file"}},
)
def download_report(
    run: Run,
    who: Who,
    report_id: ReportId,
    format_: Annotated[str, Query(alias="format", max_length=16, description="json, csv or xlsx")] = "xlsx",
    lang: Literal["zh", "en"] = "zh",
) -> FileResponse:
    """The report as a file."""
    return file_of(run, who, report_id, format_, lang)


def file_of(run: Run, who: Who, report_id: int, format_: str, lang: str) -> FileResponse:
    """The report as a download, written to a file of its own that goes once it has been sent. Pages call this too."""
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
