"""Rejects: incoming rows that failed validation, with their errors and raw content; corrected, retried, deleted."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request

from app import clock
from app.api.answers import CHANGES
from app.api.deps import Cursor, Id, Limit, Run, Who, decode_cursor, encode_cursor
from app.api.problems import language
from app.errors import Invalid
from app.runtime import Runtime
from app.schemas.codes import IngestChannel, RejectFilterState
from app.schemas.common import Page
from app.schemas.reject import CorrectionIn, RejectGroupOut, RejectOut, RetriedManyOut, RetriedOut, RetryManyIn
from app.security.permissions import require
from app.security.principal import Principal
from app.services.intake import rejects
from ingest.rejects import raw_rows, retry

router = APIRouter(tags=["intake"])
Reason = Annotated[str | None, Query(description="code of the first reason, as the groups have it", max_length=64)]


def _chosen(
    run: Runtime, state: str | None, door: str | None, source: str | None, reason: str | None, run_id: int | None
) -> rejects.RejectFilter:
    source_id: int | None = None
    if source is not None:
        with run.reading() as (_, ref):
            found = ref.source_by_code(source)
        if found is None:
            raise Invalid.at("/source", f"没有编码为 {source!r} 的来源", f"no source has the code {source!r}")
        source_id = found.id
    return rejects.RejectFilter(None if state == "all" else state, door, source_id, reason, run_id)


def _allowed(who: Principal) -> Principal:
    require(who, "rejects.settle")
    return who


@router.get("/rejects")
def list_rejects(
    request: Request,
    run: Run,
    who: Who,
    state: Annotated[RejectFilterState, Query(description="`open` unless given")] = "open",
    door: Annotated[IngestChannel | None, Query(description="how the row arrived")] = None,
    source: Annotated[str | None, Query(description="code of a source")] = None,
    reason: Reason = None,
    run_id: Annotated[int | None, Query(alias="run", ge=1, le=2**62, description="id of an import's run")] = None,
    group: Annotated[Literal["reason"] | None, Query(description="`reason`: counts instead of rejects")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RejectOut] | Page[RejectGroupOut]:
    """Rejects, newest first; with `group=reason` the number of each reason. An integrator sees those of its own source, with
    the reporter masked. For others, viewing a row that contains a reporter is audited (`GET /disclosures`).
    """
    _allowed(who)
    chosen = _chosen(run, state, door, source, reason, run_id)
    lang = language(request)
    with run.reading() as (session, ref):
        if group is not None:
            groups = rejects.groups(session, who, chosen, lang)
            return Page[RejectGroupOut](items=groups, next=None)
        rows = rejects.list_rejects(session, who, chosen, before=decode_cursor(cursor), limit=limit + 1)
        session.expunge_all()
    raws = raw_rows.visible_rows(run, who, rows[:limit], clock.now())
    zone = run.settings.zone
    items = [rejects.reject_view(row, raw, ref, lang, zone) for row, raw in zip(rows, raws, strict=False)]
    return Page[RejectOut](items=items, next=encode_cursor(items[-1].id) if len(rows) > limit else None)


@router.get("/rejects/{reject_id}")
def get_reject(request: Request, run: Run, who: Who, reject_id: Id) -> RejectOut:
    """One reject. Viewing it is audited if its row contains a reporter."""
    _allowed(who)
    with run.reading() as (session, ref):
        found = rejects.get(session, who, reject_id)
        session.expunge_all()
    (raw,) = raw_rows.visible_rows(run, who, [found], clock.now())
    return rejects.reject_view(found, raw, ref, language(request), run.settings.zone)


@router.post("/rejects/retry", responses=CHANGES)
def retry_rejects(run: Run, who: Who, which: RetryManyIn) -> RetriedManyOut:
    """Retry every open reject of a reason with its original row, for instance after a code was created or a profile
    corrected. Those that fail again are unchanged.
    """
    _allowed(who)
    chosen = _chosen(run, "open", which.door, which.source, which.reason, which.run)
    done = retry.retry_all(run, who, chosen, clock.now())
    return RetriedManyOut(taken=done.accepted, refused=done.refused)


@router.post("/rejects/{reject_id}/retry", responses=CHANGES)
def retry_reject(run: Run, who: Who, reject_id: Id, correction: CorrectionIn | None = None) -> RetriedOut:
    """Retry a reject, with its original or a corrected row. 200 with the id of its ticket; 422 with the errors if it fails
    again: it then stays open. A row of a file is read by its profile, any other as a pushed ticket.
    """
    _allowed(who)
    given = None if correction is None else correction.raw if correction.raw is not None else correction.row
    ticket_id = retry.retry(run, who, reject_id, given, clock.now())
    return RetriedOut(id=reject_id, state="retried", ticket_id=ticket_id)


@router.delete("/rejects/{reject_id}")
def delete_reject(request: Request, run: Run, who: Who, reject_id: Id) -> RejectOut:
    """Mark a reject as deleted, with actor and time. It is kept; repeating the request gives the same response."""
    _allowed(who)
    now = clock.now()
    with run.writing(now) as uow:
        found = rejects.get(uow.session, who, reject_id, lock=True)
        if found.state == "open":
            rejects.settle(uow.session, found, "deleted", who, now)
        uow.session.expunge_all()
    (raw,) = raw_rows.masked_rows(run, [found])
    return rejects.reject_view(found, raw, uow.ref, language(request), run.settings.zone)
