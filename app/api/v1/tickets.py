"""Tickets: lists, one ticket with its log and deadlines, actions, callbacks, rulings on extensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Query, Response
from sqlmodel import Session
from typing_extensions import TypeAliasType

from app import clock
from app.api.answers import CHANGES, VERSIONED, as_json, shows
from app.api.deps import (
    Cursor,
    Id,
    IfMatch,
    Limit,
    QueryMoment,
    Run,
    TicketQuery,
    UnitQuery,
    Who,
    decode_cursor,
    encode_cursor,
)
from app.models import Ticket
from app.runtime import Runtime
from app.schemas.action import ACTIONS, ActionIn
from app.schemas.callback import CallbackIn, CallbackOut
from app.schemas.codes import Card, ExtensionState, Kind, Priority, Ruling, Stage, TicketStatus
from app.schemas.common import Page
from app.schemas.deadline import DeadlineOut
from app.schemas.event import TicketEventOut
from app.schemas.extension import ExtensionOut, RuledExtensionOut, RulingIn
from app.schemas.ticket import TicketOut
from app.security.permissions import record_disclosure, sees_reporter
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.core.views import deadline_view, ticket_view
from app.services.tickets import actions as lifecycle
from app.services.tickets import callbacks, extensions
from app.services.tickets import query as tickets
from app.store import tickets as store

router = APIRouter(tags=["tickets"])


def present(run: Runtime, session: Session, ref: Reference, ticket: Ticket, *, full: bool = False) -> dict[str, Any]:
    """Return the ticket view, with the reporter unmasked if ``full``."""
    rows = store.deadlines_of(session, [ticket.id])[ticket.id]
    return ticket_view(ticket, rows, ref, clock.now(), run.settings.zone, full=full)


def ticket_answer(view: dict[str, Any], status: int = 200) -> Response:
    """Return a ticket response, with its version for a later ``If-Match``."""
    return as_json(view, status, {"ETag": f'"{view["version"]}"'})


def code_list(codes: TypeAliasType, what: str) -> Any:
    """Declare a query parameter that takes codes of ``codes``, separated by commas."""
    words = get_args(codes.__value__)
    pattern = f"^({'|'.join(words)})(,({'|'.join(words)}))*$"
    about = f"{what}: one or more of {', '.join(f'`{word}`' for word in words)}, separated by commas"
    return Query(description=about, examples=[words[0]], json_schema_extra={"pattern": pattern})


@router.get("/tickets", responses=shows(Page[TicketOut]))
def list_tickets(
    run: Run,
    who: Who,
    status: Annotated[str | None, code_list(TicketStatus, "status")] = None,
    unit: UnitQuery = None,
    source: Annotated[str | None, Query(description="code of a source")] = None,
    kind: Annotated[str | None, code_list(Kind, "kind")] = None,
    category: Annotated[str | None, Query(description="code of a category; its whole subtree counts")] = None,
    grid: Annotated[str | None, Query(description="code of a grid; its whole subtree counts")] = None,
    priority: Annotated[str | None, code_list(Priority, "priority")] = None,
    stage: Annotated[str | None, code_list(Stage, "stage of supervision")] = None,
    card: Annotated[str | None, code_list(Card, "card")] = None,
    overdue: Annotated[bool | None, Query(description="past the deadline for completion")] = None,
    repeated: Annotated[bool | None, Query(description="reported again, or itself a repeated report")] = None,
    received_from: Annotated[QueryMoment | None, Query(description="received at this moment or later")] = None,
    received_to: Annotated[QueryMoment | None, Query(description="received before this moment")] = None,
    due_before: Annotated[
        QueryMoment | None, Query(description="of the open tickets; with `status`, of those in these states")
    ] = None,
    q: Annotated[str | None, Query(max_length=200, description="text to search for")] = None,
    external_id: Annotated[str | None, Query(description="id of the ticket at its source")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Tickets, newest first, narrowed by any of the filters."""
    now = clock.now()
    asked = {k: v for k, v in locals().items() if k not in ("run", "who", "limit", "cursor", "now")}
    with run.reading() as (session, ref):
        wanted = tickets.build_filter(ref, asked, now)
        rows, more = tickets.page(session, ref, who, wanted, before_id=decode_cursor(cursor), limit=limit)
        items = [ticket_view(row, deadlines, ref, now, run.settings.zone) for row, deadlines in rows]
    return as_json({"items": items, "next": encode_cursor(more) if more is not None else None})


@router.get("/tickets/{ticket_id}", responses=shows(TicketOut, description="The ticket; `ETag` has its version."))
def get_ticket(
    run: Run,
    who: Who,
    ticket_id: Id,
    reveal: Annotated[
        bool, Query(description="the reporter in full, for callers who may see it; each such view is recorded")
    ] = False,
) -> Response:
    """One ticket. Its version is in ``ETag``."""
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, who, ticket_id)
        full = reveal and sees_reporter(who, ticket, ref)
        view = present(run, session, ref, ticket, full=full)
    if full:
        with run.database.write() as session:
            record_disclosure(session, who, ticket_id, clock.now())
    return ticket_answer(view)


@router.get("/tickets/{ticket_id}/events")
def list_events(run: Run, who: Who, ticket_id: Id) -> Page[TicketEventOut]:
    """The ticket's log, in order."""
    with run.reading() as (session, ref):
        tickets.get(session, ref, who, ticket_id)
        rows = store.events_of(session, ticket_id)
        return Page(items=[TicketEventOut.from_row(row, run.settings.zone) for row in rows], next=None)


@router.get("/tickets/{ticket_id}/deadlines", responses=shows(Page[DeadlineOut]))
def list_deadlines(run: Run, who: Who, ticket_id: Id) -> Response:
    """Every deadline the ticket has had, superseded ones included."""
    now = clock.now()
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, who, ticket_id)
        suspended = ticket.status == "suspended"
        rows = store.deadlines_of(session, [ticket_id])[ticket_id]
        items = [deadline_view(row, now, run.settings.zone, suspended=suspended) for row in rows]
    return as_json({"items": items, "next": None})


@router.get("/tickets/{ticket_id}/callbacks")
def list_callbacks(run: Run, who: Who, ticket_id: Id) -> Page[CallbackOut]:
    """The ticket's callbacks, in order."""
    with run.reading() as (session, ref):
        tickets.get(session, ref, who, ticket_id)
        rows = store.callbacks_of(session, ticket_id)
        return Page(items=[CallbackOut.from_row(row, run.settings.zone) for row in rows], next=None)


def _change(run: Runtime, work: Callable[[UnitOfWork], Ticket], status: int = 200) -> Response:
    with run.writing() as uow:
        view = present(run, uow.session, uow.ref, work(uow))
    return ticket_answer(view, status)


@router.post(
    "/tickets/{ticket_id}/callbacks", status_code=201, responses={**shows(TicketOut, 201, "Recorded."), **VERSIONED}
)
def post_callback(run: Run, who: Who, version: IfMatch, ticket_id: Id, body: CallbackIn) -> Response:
    """Record one callback; it closes the ticket, reopens it, or waits for the next attempt."""
    params = body.model_dump(exclude={"at"})
    return _change(
        run,
        lambda uow: callbacks.record(uow, who, ticket_id, params, at=body.at, if_match=version),
        201,
    )


def _action_route(action: str, request: type[ActionIn]) -> None:
    """Add the route of one action; its body is optional if none of its fields is required."""
    needs_body = any(field.is_required() for field in request.model_fields.values())

    def post_action(run: Run, who: Who, version: IfMatch, ticket_id: Id, body: Any = None) -> Response:
        given = body or ActionIn()
        return _change(
            run,
            lambda uow: lifecycle.act(uow, who, ticket_id, action, given.params(), at=given.at, if_match=version),
        )

    post_action.__annotations__["body"] = request if needs_body else request | None
    if needs_body:
        post_action.__defaults__ = None
    router.add_api_route(
        f"/tickets/{{ticket_id}}/{action}",
        post_action,
        methods=["POST"],
        name=f"{action}_ticket",
        description=f"{request.__doc__} 409 names the present state and the actions allowed in it.",
        responses={**shows(TicketOut), **VERSIONED},
    )


for _action, _request in ACTIONS.items():
    _action_route(_action, _request)


@router.get("/extensions")
def list_extensions(
    run: Run,
    who: Who,
    state: Annotated[ExtensionState | None, Query(description="state of the request")] = None,
    ticket: TicketQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ExtensionOut]:
    """Requests for extension, newest first."""
    with run.reading() as (session, ref):
        rows = extensions.list_extensions(
            session, ref, who, state=state, ticket_id=ticket, before_id=decode_cursor(cursor), limit=limit + 1
        )
        items = [ExtensionOut.from_row(row, run.settings.zone) for row in rows[:limit]]
    return Page(items=items, next=encode_cursor(items[-1].id) if len(rows) > limit else None)


@router.post("/extensions/{extension_id}/{ruling}", responses=CHANGES)
def rule_extension(
    run: Run,
    who: Who,
    extension_id: Id,
    ruling: Annotated[Ruling, Path(description="the ruling")],
    body: RulingIn | None = None,
) -> RuledExtensionOut:
    """Approve or refuse a request; only by another person than the requester."""
    params = (body or RulingIn()).model_dump()
    with run.writing() as uow:
        row, ticket = extensions.rule(uow, who, extension_id, approve=ruling == "approve", params=params)
        view = present(run, uow.session, uow.ref, ticket)
        return RuledExtensionOut.from_row(row, run.settings.zone, ticket=view)
