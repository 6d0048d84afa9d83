"""The list of tickets, filtered by the contract's filters."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app import clock
from app.console.base.choices import source_choices, tree_choices, unit_choices
from app.console.base.web import Looking, PageRoute, Run, language, page
from app.domain.words import CARD, KIND, PRIORITY, STAGE, STATUS
from app.errors import Invalid
from app.services.core.reference import Reference
from app.services.tickets import query as tickets
from app.store.tickets import OPEN_STATUSES

router = APIRouter(route_class=PageRoute)
PAGE = 50
FILTERS = ("q", "status", "unit", "source", "kind", "category", "grid", "priority", "stage", "card", "overdue", "repeated",
           "received_from", "received_to", "due_before", "external_id")  # fmt: skip
QUICK = frozenset({"q", "status", "card", "overdue", "repeated"})
"""Filters that a click or the search line sets; the others open the panel that they stand in."""
ALL_OPEN = ",".join(OPEN_STATUSES)


def _day(text: str | None, name: str, zone: tzinfo) -> datetime | None:
    """Parse a date of a form as midnight, or a complete moment as the API's addresses use it."""
    if not text:
        return None
    try:
        if len(text) <= 10:
            days = timedelta(days=1) if name == "received_to" else timedelta()
            return datetime.combine(date.fromisoformat(text) + days, time(), zone)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise Invalid.at(
            f"/{name}", f"日期 {text!r} 无法识别，应为 2026-03-15", f"{text!r} is no date such as 2026-03-15"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _yes_no(text: str | None) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(text or "")


def filters_of(request: Request, zone: tzinfo) -> dict[str, Any]:
    """Return the filters of the address, as ``tickets.build_filter`` takes them."""
    query = request.query_params
    found: dict[str, Any] = {name: (query.get(name) or "").strip() or None for name in FILTERS}
    for name in ("overdue", "repeated"):
        found[name] = _yes_no(query.get(name))
    for name in ("received_from", "received_to", "due_before"):
        found[name] = _day(query.get(name), name, zone)
    return found


def _choices(ref: Reference, who: Any, lang: str) -> dict[str, Any]:
    return {
        "units": unit_choices(ref, who, lang),
        "categories": tree_choices(ref.categories, lang),
        "sources": source_choices(ref, lang),
        "codes": {"status": list(STATUS), "kind": list(KIND), "priority": list(PRIORITY), "stage": list(STAGE),
                  "card": list(CARD)},
    }  # fmt: skip


@router.get("/tickets")
def list_tickets(
    request: Request, run: Run, looking: Looking, before: Annotated[int | None, Query(ge=1, le=2**62)] = None
) -> Response:
    """Show one page of the tickets the person may see, newest first."""
    now, lang, zone = clock.now(), language(request), run.settings.zone
    refusal: str | None = None
    with run.reading() as (session, ref):
        try:
            wanted = tickets.build_filter(ref, filters_of(request, zone), now)
            found, more = tickets.page(session, ref, looking.who, wanted, before_id=before, limit=PAGE)
        except Invalid as error:
            refusal, found, more = error.problems[0].text(lang), [], None
        units = {key: node.called(lang) for key, node in ref.units.items()}
        values = _choices(ref, looking.who, lang)
    given = {name: request.query_params.get(name, "") for name in FILTERS}
    return page(
        request, "tickets/list.html", status=422 if refusal else 200, now=now, rows=[ticket for ticket, _ in found],
        more=more, before=before, asked=given, narrowed=any(given.values()),
        detailed=any(value for name, value in given.items() if name not in QUICK), unit_names=units, refusal=refusal,
        all_open=ALL_OPEN, open_statuses=OPEN_STATUSES, **values,
    )  # fmt: skip
