"""The alert board: live alerts by card, and acknowledging one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from sqlmodel import Session

from app import clock
from app.console.base.choices import unit_choices
from app.console.base.i18n import texts
from app.console.base.web import Checked, Looking, PageRoute, Run, go, language, local_path, page, wants_fragment
from app.console.base.wording import actor_name
from app.domain.words import TARGET
from app.models import Alert, Ticket
from app.security.permissions import may
from app.security.principal import Principal
from app.services.access import accounts
from app.services.alerts import board
from app.services.alerts import book as alerts
from app.services.alerts.board import COLUMNS, BoardFilter
from app.services.core.reference import Reference
from app.services.intake import feeds
from app.services.rules import calendars

router = APIRouter(route_class=PageRoute)
SHOWN = 30
"""Alerts that a column of the board shows; its counter opens them all."""
SILENT_NAMED = 3
"""Feeds that the board names when they bring nothing."""
SHOWN_ALONE = 100
"""Of one that stands alone, and on the wall, which turns through them."""


@dataclass(frozen=True, slots=True)
class BoardRow:
    """An alert as the board shows it."""

    alert: Alert
    ticket: Ticket
    unit: str | None
    rung: str
    acked_by: str | None


def _rows(
    session: Session, ref: Reference, found: list[tuple[Alert, Ticket]], lang: str, say: dict[str, str]
) -> list[BoardRow]:
    t = texts("en" if lang == "en" else "zh")
    rows = []
    for alert, ticket in found:
        unit = ref.units.get(alert.unit_id) if alert.unit_id is not None else None
        rung = ref.ladder.rung(alert.rung)
        acked = actor_name(alert.acked_by, say, t) if alert.acked_by else None
        rows.append(
            BoardRow(alert, ticket, unit.called(lang) if unit else None, rung.name(lang) if rung else alert.rung, acked)
        )
    return rows


def _content(
    session: Session,
    ref: Reference,
    who: Principal,
    f: BoardFilter,
    card: str | None,
    before: int | None,
    lang: str,
    *,
    wall: bool = False,
) -> dict[str, Any]:
    counted = board.tallies(session, who, f)
    shown = (card,) if card else COLUMNS
    limit = SHOWN_ALONE if card or wall else SHOWN
    found = {c: board.column(session, who, f, c, before=before, limit=limit + 1) for c in shown}
    say = accounts.display_names(session, {a.acked_by for rows in found.values() for a, _ in rows if a.acked_by})
    return {
        "tallies": counted,
        "columns": {c: _rows(session, ref, rows[:limit], lang, say) for c, rows in found.items()},
        "more": {c: rows[limit - 1][0].id if len(rows) > limit else None for c, rows in found.items()},
    }


@router.get("/")
def show_board(
    request: Request,
    run: Run,
    looking: Looking,
    unit: str | None = None,
    target: str | None = None,
    state: str | None = None,
    card: str | None = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    wall: bool = False,
) -> Response:
    """Show the board, or one complete column (``card``); ``wall=1`` for a wall-mounted screen."""
    lang = language(request)
    card = card if card in COLUMNS else None
    target = target if target in TARGET else None
    if not may(looking.who, "alerts.see"):
        return go("/tickets")
    with run.reading() as (session, ref):
        node = ref.unit_by_code(unit) if unit else None
        f = BoardFilter(node.id if node else None, target, state if state in ("open", "acked") else None)
        values = _content(session, ref, looking.who, f, card, before, lang, wall=wall)
        units = unit_choices(ref, looking.who, lang)
        unpublished = calendars.unpublished_warning(ref, clock.now())
        silent = feeds.silent(session, looking.who, clock.now(), lang) if may(looking.who, "feeds.see") else []
    template = "board/columns.html" if wants_fragment(request) else "board/board.html"
    return page(
        request, template, units=units, asked={"unit": node.code if node else None, "target": target, "state": f.state},
        card=card, wall=wall, targets=list(TARGET), refusal=None, unpublished=unpublished,
        silent=silent, silent_named=SILENT_NAMED,
        can_acknowledge=may(looking.who, "alerts.acknowledge"), **values,
    )  # fmt: skip


@router.post("/alerts/{alert_id}/ack")
def acknowledge(
    request: Request, run: Run, looking: Looking, fields: Checked, alert_id: Annotated[int, Path(ge=1, le=2**62)]
) -> Response:
    """Acknowledge an alert and return to the previous page."""
    with run.writing() as uow:
        alerts.acknowledge(uow, looking.who, alert_id)
    return Response(status_code=204) if wants_fragment(request) else go(local_path(fields.get("next")))
