"""Actions on a ticket through the forms of its page. A refusal shows the page again with the reason at the form and the
input kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response

from app.console.base.web import Checked, Looking, PageRoute, Run, go, language
from app.console.tickets.form import ACTION_FIELDS, TOLD_LATER, version_of
from app.console.tickets.page import TicketId, refused_by, show
from app.errors import DubanError, Invalid, NotFound, Stale, Unauthorized
from app.models import Extension
from app.services.core.unit_of_work import UnitOfWork
from app.services.orders import actions as orders
from app.services.tickets import actions as lifecycle
from app.services.tickets import callbacks, extensions
from app.services.tickets import query as tickets
from ingest.rows.compare import correct

router = APIRouter(route_class=PageRoute)
RowId = Annotated[int, Path(ge=1, le=2**62)]


def _attempt(
    request: Request,
    run: Run,
    looking: Looking,
    ticket_id: int,
    form: str,
    fields: Mapping[str, str],
    work: Callable[[UnitOfWork], object],
) -> Response:
    """Run ``work`` in one transaction and redirect to the ticket; show the page with the refusal if it is refused."""
    try:
        with run.writing() as uow:
            tickets.get(uow.session, uow.ref, looking.who, ticket_id)
            work(uow)
    except (NotFound, Unauthorized):
        raise
    except DubanError as error:
        return show(request, run, looking, ticket_id, refused=refused_by(form, error, fields, language(request)))
    return go(f"/tickets/{ticket_id}")


def params_of(action: str, fields: Mapping[str, str], zone: Any) -> dict[str, Any]:
    """Convert the fields of an action's form to its service's parameters; empty ones are omitted. Raises Invalid."""
    found: dict[str, Any] = {}
    for field in ACTION_FIELDS[action]:
        text = fields.get(field.name, "").strip()
        if not text:
            continue
        if field.kind in ("days", "score"):
            found[field.name] = int(text) if text.isdecimal() and len(text) < 10 else text
        elif field.kind == "moment":
            found[field.name] = _moment(text, field.name, zone)
        elif field.name == "resolved":
            found[field.name] = {"true": True, "false": False}.get(text, text)
        else:
            found[field.name] = text
    return found


def _moment(text: str, name: str, zone: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid.at(f"/{name}", "时间无法识别", "this is not a time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


@router.post("/tickets/{ticket_id}/act/{action}")
def act(request: Request, run: Run, looking: Looking, fields: Checked, ticket_id: TicketId, action: str) -> Response:
    """Take one life-cycle action, record a callback, or correct a field that deadlines depend on."""
    if action not in ACTION_FIELDS:
        raise NotFound(f"没有操作 {action!r}", f"there is no action {action!r}")

    def work(uow: UnitOfWork) -> object:
        version = version_of(fields)
        params = params_of(action, fields, run.settings.zone)
        if action == "correct":
            ticket = tickets.get(uow.session, uow.ref, looking.who, ticket_id)
            source = uow.ref.sources[ticket.source_id].code
            return correct(uow, looking.who, source, ticket.external_id, params, if_match=version)
        if action == "callback":
            return callbacks.record(uow, looking.who, ticket_id, params, at=None, if_match=version)
        at_text = fields.get("at", "").strip() if action in TOLD_LATER else ""
        at = _moment(at_text, "at", run.settings.zone) if at_text else None
        return lifecycle.act(uow, looking.who, ticket_id, action, params, at=at, if_match=version)

    return _attempt(request, run, looking, ticket_id, action, fields, work)


@router.post("/tickets/{ticket_id}/extensions/{extension_id}/{ruling}")
def rule_on_extension(
    request: Request,
    run: Run,
    looking: Looking,
    fields: Checked,
    ticket_id: TicketId,
    extension_id: RowId,
    ruling: Literal["approve", "refuse"],
) -> Response:
    """Approve or refuse a request for extension."""

    def work(uow: UnitOfWork) -> object:
        request_row = uow.session.get(Extension, extension_id)
        if request_row is None or request_row.ticket_id != ticket_id:
            raise NotFound(f"没有编号为 {extension_id} 的延期申请", f"no extension has the id {extension_id}")
        params = {"note": fields.get("note", "").strip() or None}
        return extensions.rule(uow, looking.who, extension_id, approve=ruling == "approve", params=params)

    return _attempt(request, run, looking, ticket_id, f"extension-{ruling}", fields, work)


@router.post("/tickets/{ticket_id}/orders")
def issue_order(request: Request, run: Run, looking: Looking, fields: Checked, ticket_id: TicketId) -> Response:
    """Issue a supervision order, or escalate the live one."""

    def work(uow: UnitOfWork) -> object:
        _same_version(uow, looking, ticket_id, version_of(fields))
        demand = _needed(fields, "demand")
        return orders.issue(
            uow, looking.who, ticket_id, trigger_code=fields.get("trigger", ""), demand=demand,
            signatory=fields.get("signatory", "").strip()[:100] or None,
        )  # fmt: skip

    return _attempt(request, run, looking, ticket_id, "order-issue", fields, work)


@router.post("/tickets/{ticket_id}/orders/{order_id}/{step}")
def answer_order(
    request: Request,
    run: Run,
    looking: Looking,
    fields: Checked,
    ticket_id: TicketId,
    order_id: RowId,
    step: Literal["reply", "accept-reply", "refuse-reply"],
) -> Response:
    """Submit the unit's reply to a supervision order, or rule on it."""
    form = {"reply": "order-reply", "accept-reply": "order-accept", "refuse-reply": "order-refuse"}[step]

    def work(uow: UnitOfWork) -> object:
        _same_version(uow, looking, ticket_id, version_of(fields))
        if step == "reply":
            return orders.reply(uow, looking.who, order_id, _needed(fields, "reply", 10_000))
        if step == "refuse-reply":
            return orders.refuse_reply(uow, looking.who, order_id, _needed(fields, "ruling"))
        ruling = fields.get("ruling", "").strip()[:2000] or None
        return orders.accept_reply(uow, looking.who, order_id, ruling)

    return _attempt(request, run, looking, ticket_id, form, fields, work)


def _needed(fields: Mapping[str, str], name: str, longest: int = 2000) -> str:
    text = fields.get(name, "").strip()
    if not text:
        raise Invalid.at(f"/{name}", "必填", "required")
    if len(text) > longest:
        raise Invalid.at(f"/{name}", f"最多 {longest} 字", f"at most {longest} characters")
    return text


def _same_version(uow: UnitOfWork, looking: Looking, ticket_id: int, version: int) -> None:
    """Refuse if the ticket has changed since the form was made; the order services do not check the version."""
    ticket = tickets.get(uow.session, uow.ref, looking.who, ticket_id)
    if ticket.version != version:
        raise Stale(
            f"工单已更新到版本 {ticket.version}，本页依据的是版本 {version}；以下已是最新内容，请核对后重新提交",
            f"the ticket is at version {ticket.version}, this page was made from version {version}; it now shows the latest",
        )
