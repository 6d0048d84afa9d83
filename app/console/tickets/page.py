"""The page of one ticket: facts, reporter, deadlines, order, timeline, and the actions available to the visitor.

``show`` is also called by ``app.console.tickets.actions``, to show the page again with a refusal at its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from sqlmodel import Session

from app import clock
from app.console.base.choices import tree_choices, unit_choices
from app.console.base.i18n import texts
from app.console.base.web import Checked, Looking, PageRoute, Run, Visitor, language, page
from app.console.base.wording import actor_name
from app.console.tickets.form import forms_for
from app.console.tickets.timeline import in_words
from app.domain.tickets.deadline_state import state_of
from app.domain.tickets.lifecycle import OPEN
from app.errors import DubanError, Forbidden, Invalid
from app.models import Ticket
from app.runtime import Runtime
from app.security.permissions import may, record_disclosure, sees_reporter
from app.services.access import accounts
from app.services.alerts import book as alerts
from app.services.core.reference import Reference
from app.services.core.views import current, reporter_view
from app.services.orders import actions as orders
from app.services.orders import book as order_book
from app.services.tickets import query as tickets
from app.services.tickets.clocks import clocks_of
from app.store import tickets as store
from app.store.scope import find

router = APIRouter(route_class=PageRoute)
TicketId = Annotated[int, Path(ge=1, le=2**62)]


@dataclass(frozen=True, slots=True)
class RefusedForm:
    """A refused form: which one, why, at which fields, and its input."""

    form: str
    status: int
    reason: str
    fields: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)


def refused_by(form: str, error: DubanError, typed: Mapping[str, str], lang: str) -> RefusedForm:
    """Build the refusal of ``form``, each problem at its field."""
    if isinstance(error, Invalid):
        beside = {p.pointer.removeprefix("/"): p.text(lang) for p in error.problems}
        return RefusedForm(form, error.status, error.title.to(lang), beside, typed)
    return RefusedForm(form, error.status, error.text(lang), {}, typed)


def _oversight(session: Session, looking: Visitor, ticket: Ticket) -> dict[str, Any]:
    if not may(looking.who, "alerts.see"):
        return {"alerts": [], "orders": []}
    return {
        "alerts": [a for a, _ in alerts.list_alerts(session, looking.who, state="live", ticket_id=ticket.id, limit=20)],
        "orders": [o for o, _ in orders.list_orders(session, looking.who, ticket_id=ticket.id, limit=20)],
    }


def _names_of(ref: Reference, ticket: Ticket, lang: str) -> dict[str, str | None]:
    def called(nodes: Any, key: int | None) -> str | None:
        return nodes[key].called(lang) if key is not None and key in nodes else None

    source = ref.sources[ticket.source_id]
    return {
        "unit": called(ref.units, ticket.unit_id),
        "first_unit": called(ref.units, ticket.first_unit_id),
        "category": called(ref.categories, ticket.category_id),
        "grid": called(ref.grids, ticket.grid_id),
        "source": (source.name_en or source.name) if lang == "en" else source.name,
    }


def show(
    request: Request,
    run: Runtime,
    looking: Visitor,
    ticket_id: int,
    *,
    refused: RefusedForm | None = None,
    full: bool = False,
) -> Response:
    """Show the page of a ticket; ``full``: with the reporter unmasked, which the caller has audited. Raises NotFound."""
    now, lang, zone = clock.now(), language(request), run.settings.zone
    t = texts(lang)
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, looking.who, ticket_id)
        events = store.events_of(session, ticket_id)
        extensions = store.extensions_of(session, ticket_id)
        seen = _oversight(session, looking, ticket)
        actors = (
            {e.actor for e in events}
            | {e.asked_by for e in extensions}
            | {e.ruled_by for e in extensions if e.ruled_by}
        )
        actors |= {o.replied_by for o in seen["orders"] if o.replied_by} | {
            a.acked_by for a in seen["alerts"] if a.acked_by
        }
        names = accounts.display_names(session, actors)
        rows = current(store.deadlines_of(session, [ticket_id])[ticket_id])
        suspended = ticket.status == "suspended"
        parent = find(session, looking.who, Ticket, ticket.parent_id) if ticket.parent_id else None
        values: dict[str, Any] = {
            "ticket": ticket,
            "parent": parent,
            "names": _names_of(ref, ticket, lang),
            "reporter": reporter_view(ticket, full=full),
            "revealed": full,
            "can_reveal": sees_reporter(looking.who, ticket, ref),
            "deadlines": [(row, state_of(row, now, suspended=suspended)) for row in rows],
            "moments": in_words(events, ref, names, t, zone),
            "extensions": extensions,
            "callbacks": store.callbacks_of(session, ticket_id),
            "rung_names": {rung.code: rung.name(lang) for rung in ref.ladder.rungs},
            "forms": forms_for(looking.who, ticket, seen["orders"], extensions),
            "units": unit_choices(ref, looking.who, lang),
            "categories": tree_choices(ref.categories, lang),
            "actor": lambda actor: actor_name(actor, names, t),
            "order_number": order_book.number_of,
            "is_open": ticket.status in OPEN,
            "clocks": clocks_of(ref, events, now),
            "unit_named": {node.code: node.called(lang) for node in ref.units.values()},
            **seen,
        }
    return page(
        request, "tickets/ticket.html", status=refused.status if refused else 200, now=now, refused=refused, **values
    )


@router.get("/tickets/{ticket_id}")
def show_ticket(request: Request, run: Run, looking: Looking, ticket_id: TicketId) -> Response:
    """Show the page of a ticket."""
    return show(request, run, looking, ticket_id)


@router.post("/tickets/{ticket_id}/reveal")
def reveal_reporter(request: Request, run: Run, looking: Looking, fields: Checked, ticket_id: TicketId) -> Response:
    """Show the page with the reporter in full; the disclosure is audited."""
    with run.writing() as uow:
        ticket = tickets.get(uow.session, uow.ref, looking.who, ticket_id)
        if not sees_reporter(looking.who, ticket, uow.ref):
            raise Forbidden("当前角色不能查看诉求人的完整信息", "this role may not see the reporter in full")
        record_disclosure(uow.session, looking.who, ticket_id, uow.now)
    return show(request, run, looking, ticket_id, full=True)
