"""The clear-out list of a month: its rows with their reasons, and the plan for each row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app import clock
from app.console.base.choices import unit_choices
from app.console.base.web import Checked, Form, Looking, PageRoute, Run, Visitor, go, language, link, page
from app.console.reports.routes import OFFERED, send_file
from app.console.reports.view import shown
from app.console.tickets.form import version_of
from app.errors import DubanError, Forbidden, Invalid, NotFound
from app.runtime import Runtime
from reports import service
from reports.clear_out import ledger
from reports.metrics import BY_KEY
from reports.period import last_ended, parse_period
from reports.render.words import name_of

router = APIRouter(route_class=PageRoute)
Month = Annotated[str, Path(max_length=7)]
FIELDS = ("leader", "measures", "condition")


@dataclass(frozen=True, slots=True)
class RefusedLedgerRow:
    """A row's form that was refused, with its input."""

    ticket: int
    status: int
    reason: str
    typed: Form


@router.get("/clear-out")
def latest_list(run: Run, looking: Looking, month: str | None = None) -> Response:
    """Redirect to the requested list, else to the latest one."""
    if month:
        parse_period("clear-out", month, "UTC")
        return go(f"/clear-out/{month}")
    with run.reading() as (session, _):
        months = service.clear_out_months(session)
    return go(f"/clear-out/{months[0] if months else last_ended('clear-out', clock.now(), run.settings.time_zone).key}")


@router.get("/clear-out/{month}")
def show_list(request: Request, run: Run, looking: Looking, month: Month, unit: str | None = None) -> Response:
    """Show the list of a month."""
    return _show(request, run, looking, month, unit=unit)


def _show(
    request: Request,
    run: Runtime,
    looking: Visitor,
    month: str,
    *,
    unit: str | None = None,
    refused: RefusedLedgerRow | None = None,
) -> Response:
    now, lang, zone = clock.now(), language(request), run.settings.zone
    period = parse_period("clear-out", month, run.settings.time_zone)
    with run.reading() as (session, ref):
        months = service.clear_out_months(session)
        document = _document(session, ref, looking, month, unit, now, zone) if month in months else None
        units = unit_choices(ref, looking.who, lang)
    rate = (document["summary"].get("last") or {}).get("rate") if document else None
    return page(
        request, "reports/clear_out.html", status=refused.status if refused else 200, now=now, month=month, months=months,
        document=document, as_of=datetime.fromisoformat(document["as_of"]) if document else None, formats=OFFERED,
        rate=shown(rate, BY_KEY["completion_rate"]), units=units, unit=unit, refused=refused,
        named=lambda row: name_of(row, lang), ended=now >= period.end,
    )  # fmt: skip


def _document(
    session: Any, ref: Any, looking: Visitor, month: str, unit: str | None, now: datetime, zone: Any
) -> dict[str, Any]:
    return service.clear_out(session, ref, looking.who, month, unit=unit or None, now=now, zone=zone)


@router.post("/clear-out/{month}/{ticket_id}")
def plan_row(
    request: Request,
    run: Run,
    looking: Looking,
    fields: Checked,
    month: Month,
    ticket_id: Annotated[int, Path(ge=1, le=2**62)],
) -> Response:
    """Set the responsible leader, the measures and the clearing condition of a row."""
    given = {name: fields.get(name, "").strip() or None for name in FIELDS}
    unit = fields.get("unit") or None
    try:
        with run.writing() as uow:
            ledger.amend(uow.session, uow.ref, looking.who, month, ticket_id, given, if_match=version_of(fields))
    except (Forbidden, NotFound):
        raise
    except DubanError as error:
        lang = language(request)
        problems = error.problems if isinstance(error, Invalid) else ()
        reason = " ".join(p.text(lang) for p in problems) or error.text(lang)
        refused = RefusedLedgerRow(ticket_id, error.status, reason, fields)
        return _show(request, run, looking, month, unit=unit, refused=refused)
    return go(link(f"/clear-out/{month}", {"unit": unit}) + f"#t{ticket_id}")


@router.get("/clear-out/{month}/download")
def download_list(
    request: Request,
    run: Run,
    looking: Looking,
    month: Month,
    format: str = "xlsx",  # noqa: A002 - as in the API
) -> Response:
    """Return the list as a file."""
    with run.reading() as (session, ref):
        document = service.clear_out(session, ref, looking.who, month, now=clock.now(), zone=run.settings.zone)
    return send_file(request, run, looking, document["id"], format)
