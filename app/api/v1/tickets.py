"""Tickets: lists, one ticket with its log and deadlines, the actions, callbacks, rulings on extensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field
from sqlmodel import Session

from app import clock
from app.api.body import JsonBody
from app.api.deps import Cursor, Id, IfMatch, Limit, QueryMoment, Run, TicketQuery, Who, decode_cursor, encode_cursor
from app.models import Ticket
from app.runtime import Runtime
from app.schemas.moment import Moment
from app.security.permissions import record_disclosure, sees_reporter
from app.security.principal import Principal
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.core.views import callback_view, deadline_view, event_view, extension_view, ticket_view
from app.services.tickets import actions as lifecycle
from app.services.tickets import callbacks, extensions
from app.services.tickets import query as tickets
from app.store import tickets as store

router = APIRouter(tags=["tickets"])
Action = Literal["dispatch", "accept", "return", "reassign", "contact", "suspend", "resume", "extend", "complete",
                 "urge", "reopen", "void"]  # fmt: skip


ACTION_EXAMPLES: list[dict[str, Any]] = [
    {"unit": "GA-01"},
    {"reason": "材料不全，需补正"},
    {"days": 3, "reason": "需现场勘验"},
]


class ActionBody(JsonBody):
    """What an action may be given; each takes what the contract names for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [*ACTION_EXAMPLES]})
    unit: str | None = Field(default=None, max_length=64)
    reason: str | None = None
    note: str | None = None
    result: str | None = None
    days: int | None = Field(default=None, strict=True)
    until: Moment | None = None
    at: Moment | None = Field(default=None, description="when it happened, for roles that may tell of the past")


class CallbackBody(JsonBody):
    """One attempt to ask the citizen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"outcome": "reached", "satisfaction": "dissatisfied", "resolved": False, "speed": 2, "attitude": 4,
                          "result_score": 1, "remark": "夜间仍有噪声"}]
        },
    )  # fmt: skip
    outcome: Literal["reached", "no_answer", "refused"]
    satisfaction: (
        Literal["very_satisfied", "satisfied", "basically_satisfied", "dissatisfied", "very_dissatisfied"] | None
    ) = None
    resolved: bool | None = Field(default=None, strict=True)
    speed: int | None = Field(default=None, ge=1, le=5, strict=True)
    attitude: int | None = Field(default=None, ge=1, le=5, strict=True)
    result_score: int | None = Field(default=None, ge=1, le=5, strict=True)
    remark: str | None = Field(default=None, max_length=2000)
    at: Moment | None = None


class RulingBody(JsonBody):
    """A remark of the one who rules."""

    note: str | None = Field(default=None, max_length=2000)


def present(run: Runtime, session: Session, ref: Reference, who: Principal, ticket: Ticket) -> dict[str, Any]:
    """The ticket as ``who`` may read it."""
    rows = store.deadlines_of(session, [ticket.id])[ticket.id]
    return ticket_view(ticket, rows, ref, clock.now(), run.settings.zone, full=False)


def etag(response: Response, ticket: Ticket) -> None:
    """Say the ticket's version, for a later ``If-Match``."""
    response.headers["ETag"] = f'"{ticket.version}"'


@router.get("/tickets")
def list_tickets(
    run: Run,
    who: Who,
    status: str | None = None,
    unit: str | None = None,
    source: str | None = None,
    kind: str | None = None,
    category: str | None = None,
    grid: str | None = None,
    priority: str | None = None,
    stage: str | None = None,
    card: str | None = None,
    overdue: bool | None = None,
    repeated: bool | None = None,
    received_from: QueryMoment | None = None,
    received_to: QueryMoment | None = None,
    due_before: Annotated[
        QueryMoment | None, Query(description="of the open tickets; with `status`, of those in these states")
    ] = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
    external_id: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Tickets, newest first, narrowed by any of the filters. Lists of words are separated by commas."""
    now = clock.now()
    asked = {k: v for k, v in locals().items() if k not in ("run", "who", "limit", "cursor", "now")}
    with run.reading() as (session, ref):
        wanted = tickets.build_filter(ref, asked, now)
        rows, more = tickets.page(session, ref, who, wanted, before_id=decode_cursor(cursor), limit=limit)
        items = [ticket_view(row, deadlines, ref, now, run.settings.zone) for row, deadlines in rows]
    return {"items": items, "next": encode_cursor(more) if more is not None else None}


@router.get("/tickets/{ticket_id}")
def get_ticket(
    run: Run,
    who: Who,
    response: Response,
    ticket_id: Id,
    reveal: Annotated[
        bool, Query(description="the reporter in full, where you may see it; the look is recorded")
    ] = False,
) -> dict[str, Any]:
    """One ticket. Its version is in ``ETag``."""
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, who, ticket_id)
        rows = store.deadlines_of(session, [ticket.id])[ticket.id]
        full = reveal and sees_reporter(who, ticket, ref)
        etag(response, ticket)
        view = ticket_view(ticket, rows, ref, clock.now(), run.settings.zone, full=full)
    if full:
        with run.database.write() as session:
            record_disclosure(session, who, ticket_id, clock.now())
    return view


@router.get("/tickets/{ticket_id}/events")
def list_events(run: Run, who: Who, ticket_id: Id) -> dict[str, Any]:
    """The ticket's log, in order."""
    with run.reading() as (session, ref):
        tickets.get(session, ref, who, ticket_id)
        items = [event_view(row, run.settings.zone) for row in store.events_of(session, ticket_id)]
    return {"items": items, "next": None}


@router.get("/tickets/{ticket_id}/deadlines")
def list_deadlines(run: Run, who: Who, ticket_id: Id) -> dict[str, Any]:
    """Every deadline the ticket has had, the superseded ones too."""
    now = clock.now()
    with run.reading() as (session, ref):
        ticket = tickets.get(session, ref, who, ticket_id)
        suspended = ticket.status == "suspended"
        rows = store.deadlines_of(session, [ticket_id])[ticket_id]
        items = [deadline_view(row, now, run.settings.zone, suspended=suspended) for row in rows]
    return {"items": items, "next": None}


@router.get("/tickets/{ticket_id}/callbacks")
def list_callbacks(run: Run, who: Who, ticket_id: Id) -> dict[str, Any]:
    """The ticket's callbacks, in order."""
    with run.reading() as (session, ref):
        tickets.get(session, ref, who, ticket_id)
        items = [callback_view(row, run.settings.zone) for row in store.callbacks_of(session, ticket_id)]
    return {"items": items, "next": None}


def _change(run: Runtime, who: Principal, response: Response, work: Callable[[UnitOfWork], Ticket]) -> dict[str, Any]:
    with run.writing() as uow:
        ticket = work(uow)
        view = present(run, uow.session, uow.ref, who, ticket)
        etag(response, ticket)
    return view


@router.post("/tickets/{ticket_id}/callbacks", status_code=201)
def post_callback(
    run: Run, who: Who, response: Response, version: IfMatch, ticket_id: Id, body: CallbackBody
) -> dict[str, Any]:
    """Keep one callback; it closes the ticket, reopens it, or waits for the next attempt."""
    params = body.model_dump(exclude={"at"})
    return _change(
        run,
        who,
        response,
        lambda uow: callbacks.record(uow, who, ticket_id, params, at=body.at, if_match=version),
    )


@router.post("/tickets/{ticket_id}/{action}")
def post_action(
    run: Run,
    who: Who,
    response: Response,
    version: IfMatch,
    ticket_id: Id,
    action: Action,
    body: ActionBody | None = None,
) -> dict[str, Any]:
    """Take one action on a ticket. 409 names the state it is in and what is allowed."""
    given = body or ActionBody()
    params = given.model_dump(exclude={"at"})
    return _change(
        run,
        who,
        response,
        lambda uow: lifecycle.act(uow, who, ticket_id, action, params, at=given.at, if_match=version),
    )


@router.get("/extensions")
def list_extensions(
    run: Run,
    who: Who,
    state: Literal["pending", "approved", "refused", "withdrawn"] | None = None,
    ticket: TicketQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Requests for extension, newest first."""
    with run.reading() as (session, ref):
        rows = extensions.list_extensions(
            session, ref, who, state=state, ticket_id=ticket, before_id=decode_cursor(cursor), limit=limit + 1
        )
        items = [extension_view(row, run.settings.zone) for row in rows[:limit]]
    more = items[-1]["id"] if len(rows) > limit else None
    return {"items": items, "next": encode_cursor(more) if more is not None else None}


@router.post("/extensions/{extension_id}/{ruling}")
def rule_on_extension(
    run: Run,
    who: Who,
    extension_id: Id,
    ruling: Literal["approve", "refuse"],
    body: RulingBody | None = None,
) -> dict[str, Any]:
    """Approve or refuse a request; another person than the one who asked."""
    params = (body or RulingBody()).model_dump()
    with run.writing() as uow:
        row, ticket = extensions.rule(uow, who, extension_id, approve=ruling == "approve", params=params)
        return {**extension_view(row, run.settings.zone), "ticket": present(run, uow.session, uow.ref, who, ticket)}
