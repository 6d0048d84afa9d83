"""Deadline policies and supervision ladders: readable by every signed-in role, edited by administrators and dispatchers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from app import clock
from app.api.answers import CHANGES, as_json, file_of, shows
from app.api.body import check_content_type, read_body
from app.api.deps import Run, Who
from app.domain.time.receipt import limit_words
from app.errors import Invalid
from app.schemas.codes import Recompute
from app.schemas.common import Document, Page
from app.schemas.rules import (
    LADDER_EXAMPLE,
    POLICY_CHANGE_EXAMPLE,
    POLICY_EXAMPLES,
    POLICY_TOML_EXAMPLE,
    DescribedIn,
    LadderOut,
    PolicyImportOut,
    PolicyOut,
    PolicyPreviewOut,
    SavedPolicyOut,
)
from app.security.permissions import require
from app.services.recompute import run as recompute
from app.services.recompute.run import RecomputeResult
from app.services.rules import calendars, ladders, policies

router = APIRouter(tags=["deadlines"])
Code = Annotated[str, Path(min_length=1, max_length=64, description="code of the policy or ladder")]
Apply = Annotated[
    Recompute, Query(description="`new`: for new tickets only; `open`: open tickets move to the new version too")
]


@router.get("/policies", responses=shows(Page[PolicyOut]))
def list_policies(
    run: Run, who: Who, history: Annotated[bool, Query(description="every version that there was")] = False
) -> Response:
    """The policies that are not retired; ``history=true``: every version."""
    with run.reading() as (session, _):
        items = policies.listed(session, run.settings.zone, clock.now(), history=history)
    return as_json({"items": items, "next": None})


@router.get("/policies/export", response_class=Response, responses=file_of("application/toml"))
def export_policies(run: Run, who: Who) -> Response:
    """The policies as TOML."""
    with run.reading() as (_, ref):
        text = policies.export_toml(ref, clock.now())
    return Response(text, media_type="application/toml; charset=utf-8",
                    headers={"Content-Disposition": 'attachment; filename="policies.toml"'})  # fmt: skip


async def read_toml(request: Request) -> str:
    """Return the body as text."""
    check_content_type(request, "application/toml", "text/plain", "application/octet-stream")
    content = await read_body(request, policies.LONGEST_FILE)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid.at("", "文件编码应为 UTF-8", "the file is not UTF-8") from None


@router.post("/policies/preview", responses=shows(PolicyPreviewOut))
def preview_policy(run: Run, who: Who, body: DescribedIn) -> Response:
    """The policy that applies to a described ticket, why, and why the others do not."""
    with run.reading() as (_, ref):
        choice = policies.preview(ref, body.model_dump(exclude={"at"}), body.at or clock.now())
    words = {target: limit_words(limit) for target, limit in choice.policy.limits.items()}
    limits = {target: {"zh": zh, "en": en} for target, (zh, en) in words.items()}
    return as_json({**policies.choice_view(choice), "limits_in_words": limits})


@router.post("/policies", status_code=201, responses={**shows(SavedPolicyOut, 201, "Created."), **CHANGES})
def create_policy(
    run: Run, who: Who, body: Annotated[Document, Body(examples=POLICY_EXAMPLES)], apply: Apply = "new"
) -> Response:
    """Create a policy."""
    now = clock.now()
    with run.database.write() as session:
        row = policies.create(session, who, body, now)
    return _answer(run, who, row, 201, apply=apply, changed=True)


@router.patch("/policies/{code}", responses={**shows(SavedPolicyOut), **CHANGES})
def change_policy(
    run: Run,
    who: Who,
    code: Code,
    body: Annotated[Document, Body(examples=[POLICY_CHANGE_EXAMPLE])],
    apply: Apply = "new",
) -> Response:
    """Create the next version of a policy: given fields replace the previous ones; ``{"retired": true}`` retires it."""
    now = clock.now()
    with run.database.write() as session:
        row, changed = policies.change(session, who, code, body, now)
    return _answer(run, who, row, 200, apply=apply, changed=changed)


def _answer(run: Any, who: Any, row: Any, status: int, *, apply: str, changed: bool) -> Response:
    now, zone = clock.now(), run.settings.zone
    tally = RecomputeResult()
    if apply == "open":
        tally = recompute.after_policy(run.database, run.reference, row.code, who.actor, now)
    with run.reading() as (session, _):
        items = policies.listed(session, zone, now, history=True)
    shown = next(item for item in items if item["id"] == row.id)
    return as_json({**shown, "changed": changed, **calendars.moves_view(tally, zone)}, status)


@router.get("/ladders", responses=shows(Page[LadderOut]))
def list_ladders(run: Run, who: Who) -> Response:
    """The supervision ladders in force."""
    with run.reading() as (session, _):
        items = ladders.listed(session, run.settings.zone)
    return as_json({"items": items, "next": None})


@router.post("/ladders", status_code=201, responses={**shows(LadderOut, 201, "Created."), **CHANGES})
def create_ladder(run: Run, who: Who, body: Annotated[Document, Body(examples=[LADDER_EXAMPLE])]) -> Response:
    """Create a ladder."""
    require(who, "deadlines.edit")
    with run.database.write() as session:
        row = ladders.write(session, who, body, now=clock.now(), new=True)
        return as_json(ladders.view(row, run.settings.zone), 201)


@router.patch("/ladders/{code}", responses={**shows(LadderOut), **CHANGES})
def change_ladder(
    run: Run, who: Who, code: Code, body: Annotated[Document, Body(examples=[{"rungs": LADDER_EXAMPLE["rungs"]}])]
) -> Response:
    """Create the next version of a ladder. It applies to tickets from their next check on."""
    require(who, "deadlines.edit")
    with run.database.write() as session:
        row = ladders.write(session, who, {**body, "code": code}, now=clock.now(), new=False)
        return as_json(ladders.view(row, run.settings.zone))


@router.post(
    "/policies/import",
    responses={**shows(PolicyImportOut), **CHANGES},
    openapi_extra={
        "requestBody": {
            "content": {"application/toml": {"schema": {"type": "string"}, "example": POLICY_TOML_EXAMPLE}},
            "required": True,
        }
    },
)
def import_policies(run: Run, who: Who, text: Annotated[str, Depends(read_toml)], apply: Apply = "new") -> Response:
    """Import policies from TOML, all or nothing. Equal policies are unchanged."""
    now, zone = clock.now(), run.settings.zone
    with run.database.write() as session:
        done = policies.import_toml(session, who, text, now)
    tally = RecomputeResult()
    for code in [*done.created, *done.changed] if apply == "open" else []:
        tally.add(recompute.after_policy(run.database, run.reference, code, who.actor, now))
    return as_json({**done.to_json(), **calendars.moves_view(tally, zone)})
