"""Pushing tickets by batch."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError

from app import clock
from app.api.answers import refuses, shows
from app.api.body import body_on_disk, check_content_type
from app.api.deps import principal, runtime
from app.api.problems import language
from app.api.v1.intake import EXAMPLE, PARAMETERS, TICKET_REF, source_of
from app.errors import Busy
from app.runtime import Runtime
from app.schemas.batch import BatchOut
from app.security.principal import Principal
from app.store import db_errors
from ingest.batch.service import JSON, MAX_BYTES, NDJSON, Batches, import_batch
from ingest.formats.split import Body

router = APIRouter(tags=["intake"])


@router.post(
    "/tickets/batch",
    openapi_extra={
        "parameters": PARAMETERS[:1],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"type": "array", "maxItems": 10_000, "items": TICKET_REF}, "example": [EXAMPLE]},
                NDJSON: {"schema": {"type": "string", "description": "one ticket a line"}},
            },
        },
    },
    responses={**shows(BatchOut, description="What became of each row."), **refuses(413, 415)},
)
async def push_batch(request: Request) -> Response:
    """Push many tickets: a JSON array or NDJSON, up to 10,000 rows and 32 MiB. Each row has its own result: `created`,
    `unchanged` (already stored with the same content) or `rejected` with its `errors`, also if it is already stored with
    other content. An invalid row does not affect the others; it is stored as a reject.
    """
    kind = check_content_type(request, JSON, NDJSON)
    who = await run_in_threadpool(principal, request)
    asked = request.query_params.get("source")
    batches: Batches = request.app.state.batches
    async with batches.admit() as turn, body_on_disk(request, MAX_BYTES) as body, turn:
        content = await run_in_threadpool(_take, runtime(request), who, asked, body, kind, language(request))
    return Response(content, media_type=JSON)


def _take(run: Runtime, who: Principal, asked: str | None, body: Body, kind: str, lang: str) -> bytes:
    code = source_of(run, who, asked)
    with run.reading() as (_, ref):
        source = ref.source_by_code(code)
    assert source is not None, "source_of has found or made it"
    try:
        batch = import_batch(run, body, kind, code, source.id, who.actor, clock.now())
    except DBAPIError as error:
        if db_errors.is_away(error):
            raise Busy(
                "数据库暂不可用，请稍后重试；已接收的行重推时会答为 unchanged",
                "the database is away, try again; rows that were taken in will be answered unchanged",
                retry_after=2,
            ) from error
        raise
    return orjson.dumps(batch.view(lang))
