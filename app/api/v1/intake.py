"""Pushing one ticket, and an upstream's correction of it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from app import clock
from app.api.answers import JSON, Responses, as_json, refuses, shows
from app.api.body import check_content_type, read_body
from app.api.deps import IfMatch, Run, Who, bearer_token, runtime
from app.errors import BadRequest, Conflict, Forbidden, Invalid
from app.logging import bind
from app.runtime import Runtime
from app.schemas.ticket import TicketOut
from app.security.permissions import may_write_source, require
from app.security.principal import Principal
from app.services.core.catalogue import ensure_source
from app.services.core.views import ticket_view
from app.store import tickets as store
from ingest.push.queue import PushQueue
from ingest.push.transaction import Push
from ingest.rows import compare
from ingest.rows.ticket_in import TICKET_BYTES, parse_json, validate_ticket

router = APIRouter(tags=["intake"])
MANUAL = "manual"
"""The source of tickets that the office's own people enter."""
MANUAL_NAMES = ("人工录入", "Entered by hand")
_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,128})"?', re.ASCII)
MERGE = "application/merge-patch+json"


EXAMPLE: dict[str, Any] = {
    "external_id": "12345-20260213-0042",
    "title": "小区夜间施工噪声扰民",
    "content": "连续三晚施工到凌晨两点。",
    "kind": "complaint",
    "priority": "normal",
    "received_at": "2026-02-13T16:30:00+08:00",
    "reporter": {"name": "张三", "phone": "13800000000"},
    "address": "人民路 1 号",
    "attributes": {"channel": "phone"},
}
RESPONSES: Responses = {
    **shows(TicketOut, 201, "Created."),
    **shows(TicketOut, 200, "There already, with the same content: the stored ticket."),
    **refuses(
        s409="There already, with other content; `fields` names what differs.",
        s413=f"The body has more than {TICKET_BYTES // 1024} KiB.",
        s415="The body is not JSON by its content type.",
        s422="Refused; `errors` names each place. Or the `Idempotency-Key` was used for another body.",
        s503="The queue is full or the database is away: push again after `Retry-After` seconds.",
    ),
}
TICKET_REF: Final = {"$ref": "#/components/schemas/TicketIn"}
PARAMETERS = [
    {"name": "source", "in": "query", "required": False, "schema": {"type": "string"},
     "description": "code of the source, for an administrator or dispatcher; `manual`, where none is given. "
                    "A key of role `integrator` has its own."},
    {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 128},
     "description": "The same key with the same body within 24 hours: the same answer again, with the header "
                    "`Idempotency-Replayed: true`. With another body: 422."},
]  # fmt: skip


def idempotency_key(request: Request) -> str | None:
    """Return the ``Idempotency-Key``, bare or as the draft's quoted string; raises BadRequest otherwise."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    match = _KEY.fullmatch(given.strip())
    if match is None:
        raise BadRequest(
            "Idempotency-Key 应为 1 至 128 个可见 ASCII 字符",
            "the Idempotency-Key must be 1 to 128 visible ASCII characters",
        )
    return match[1]


def source_of(run: Runtime, who: Principal, asked: str | None) -> str:
    """Return the source of a caller's tickets: its key's; for the office's own people the one they name, or ``manual``,
    which is created on first use. Blocks. Raises Forbidden, Invalid.
    """
    with run.reading() as (_, ref):
        own = ref.sources.get(who.source_id or 0)
        known = ref.source_by_code(asked or MANUAL)
    if own is not None and asked in (None, own.code):
        return own.code
    if not may_write_source(who, known.id if known else None):
        raise Forbidden("此密钥只能推送其自身来源的工单", "this key may push tickets of its own source only")
    require(who, "tickets.enter")
    if asked is not None and known is None:
        raise Invalid.at("/source", f"没有编码为 {asked!r} 的来源", f"no source has the code {asked!r}")
    if known is None:
        with run.database.write() as session:
            ensure_source(session, MANUAL, *MANUAL_NAMES[:1]).name_en = MANUAL_NAMES[1]
    return asked or MANUAL


@router.post(
    "/tickets",
    status_code=201,
    responses=RESPONSES,
    openapi_extra={
        "parameters": PARAMETERS,
        "requestBody": {"required": True, "content": {JSON: {"schema": TICKET_REF, "example": EXAMPLE}}},
    },
)
async def push_ticket(request: Request) -> Response:
    """Push one ticket. 201 with the ticket; the same `external_id` from the same source again with the same content: 200 and
    the stored ticket; with other content: 409 naming the fields that differ. The response follows the commit; without a
    response, or after 503, the push can safely be repeated. A revoked key is refused within two seconds.
    """
    run = runtime(request)
    queue: PushQueue = request.app.state.intake
    who = await queue.keys.get(bearer_token(request))
    bind(actor=who.actor)
    check_content_type(request, JSON)
    key = idempotency_key(request)
    asked = request.query_params.get("source")
    source = queue.source_of_key(who) if asked is None else None
    if source is None:
        source = await run_in_threadpool(source_of, run, who, asked)
    body = await read_body(request, TICKET_BYTES)
    incoming = validate_ticket(body, now=clock.now())
    answer = await queue.push(Push(incoming, source, who.actor, key, body))
    if answer.status == "differs":
        raise Conflict(
            f"来源 {source} 的工单 {incoming.external_id} 已存在，以下内容不同：{'、'.join(answer.fields)}；更正请用 PATCH",
            f"ticket {incoming.external_id} of {source} is there already with other content: "
            f"{', '.join(answer.fields)}; PATCH corrects it",
            fields=answer.fields,
        )
    headers = {"ETag": f'"{answer.version}"'}
    if answer.status == "created":
        headers["Location"] = f"/api/v1/tickets/{answer.ticket_id}"
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(answer.body, 201 if answer.status == "created" else 200, headers, JSON)


@router.patch(
    "/tickets/by-external/{source}/{external_id:path}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"$ref": "#/components/schemas/TicketPatch"}} for kind in (MERGE, JSON)},
        }
    },
    responses={
        **shows(TicketOut, description="Corrected."),
        **refuses(412, 413, 415, s409="The ticket is closed or void, or its unit can only be changed by the office."),
    },
)
async def correct_ticket(
    request: Request,
    run: Run,
    who: Who,
    version: IfMatch,
    source: Annotated[str, Path(max_length=64, description="code of the source")],
    external_id: Annotated[str, Path(max_length=64, description="id of the ticket at its source")],
) -> Response:
    """An upstream's correction: the changed fields, merged as in RFC 7396 (null removes a value). Dependent data, above all
    deadlines, is recomputed; the event `corrected` records the change. The corrected content then counts as the pushed
    one. 409 once the ticket is closed.
    """
    check_content_type(request, MERGE, JSON)
    patch = parse_json(await read_body(request, TICKET_BYTES))
    if not isinstance(patch, dict):
        raise Invalid.at("", "应为 JSON 对象，只含要更正的字段", "must be a JSON object of the fields to be corrected")
    return await run_in_threadpool(_correct, run, who, source, external_id, patch, version)


def _correct(
    run: Runtime, who: Principal, source: str, external_id: str, patch: dict[str, Any], version: int | None
) -> Response:
    with run.writing() as uow:
        ticket = compare.correct(uow, who, source, external_id, patch, if_match=version)
        rows = store.deadlines_of(uow.session, [ticket.id])[ticket.id]
        view = ticket_view(ticket, rows, uow.ref, uow.now, run.settings.zone)
    return as_json(view, 200, {"ETag": f'"{view["version"]}"'})
