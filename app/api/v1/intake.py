"""Pushing tickets: one at a time."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app import clock
from app.api.deps import need_role, principal, runtime
from app.domain.errors import Conflict, Forbidden
from app.runtime import Runtime
from app.security.principal import Principal
from ingest.commit import Intake, Push, read_ticket
from ingest.schema import TicketIn, validate_ticket

router = APIRouter(tags=["intake"])
MANUAL = "manual"
"""The source of tickets that the office's own people enter."""


def source_of(run: Runtime, who: Principal) -> str:
    """The source a caller's tickets come from: its key's, or ``manual`` for the office's own people."""
    if who.source_id is not None:
        with run.reading() as (_, ref):
            return ref.sources[who.source_id].code
    need_role(who, "dispatcher")
    raise Forbidden(
        "推送工单需要绑定来源的接入密钥（duban key create --role integrator --source …）",
        "pushing needs a key of a source (duban key create --role integrator --source …)",
    )


@router.post(
    "/tickets",
    status_code=201,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": TicketIn.model_json_schema()}}}
    },
)
async def push_ticket(request: Request, response: Response) -> dict[str, Any]:
    """Take one ticket in. 201 with the ticket; the same `external_id` again with the same content: 200 and the stored
    ticket; with other content: 409 naming the fields that differ."""
    run = runtime(request)
    who = await run_in_threadpool(principal, request)
    source = await run_in_threadpool(source_of, run, who)
    incoming = validate_ticket(await request.body(), now=clock.now())
    queue: Intake = request.app.state.intake
    answer = await queue.push(Push(incoming, source, who.actor))
    if answer.status == "differs":
        raise Conflict(
            f"来源 {source} 的工单 {incoming.external_id} 已存在，且内容不同；更正请用 PATCH",
            f"ticket {incoming.external_id} of {source} is there already with other content; PATCH corrects it",
        )
    view = await run_in_threadpool(read_ticket, run, answer.ticket_id, clock.now())
    response.status_code = 201 if answer.status == "created" else 200
    response.headers["ETag"] = f'"{view["version"]}"'
    return view
