"""Deadline policies and supervision ladders: read by everybody signed in, edited by administrators and dispatchers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from app import clock
from app.api.body import Document, JsonBody, check_content_type, read_body
from app.api.deps import Run, Who
from app.domain.time.receipt import limit_words
from app.errors import Invalid
from app.schemas.moment import Moment
from app.security.permissions import require
from app.services.recompute import run as recompute
from app.services.recompute.run import RecomputeResult
from app.services.rules import calendars, ladders, policies

router = APIRouter(tags=["deadlines"])
Code = Annotated[str, Path(min_length=1, max_length=64)]
Apply = Annotated[
    Literal["new", "open"],
    Query(description="`new`: for new tickets alone; `open`: open tickets are brought under the new version too"),
]
POLICY_EXAMPLES: list[dict[str, Any]] = [
    {
        "code": "noise", "name_zh": "噪声投诉", "name_en": "Noise", "match": {"kind": ["complaint"]},
        "limits": {"accept": {"unit": "working_hours", "amount": 4}, "complete": {"unit": "working_days", "amount": 3}},
    }
]  # fmt: skip


class Described(JsonBody):
    """A ticket, described by codes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "consult", "priority": "normal", "unit": "GA"}]})
    source: str | None = Field(default=None, max_length=64)
    kind: str | None = Field(default=None, max_length=64)
    category: str | None = Field(default=None, max_length=64)
    priority: str | None = Field(default=None, max_length=64)
    severity: str | None = Field(default=None, max_length=64)
    unit: str | None = Field(default=None, max_length=64)
    at: Moment | None = Field(default=None, description="received at; default: now")


@router.get("/policies")
def list_policies(run: Run, who: Who, history: bool = False) -> dict[str, Any]:
    """The policies that are not retired; ``history=true``: every version that there was."""
    with run.reading() as (session, _):
        items = policies.listed(session, run.settings.zone, clock.now(), history=history)
    return {"items": items, "next": None}


@router.get("/policies/export", response_class=Response)
def export(run: Run, who: Who) -> Response:
    """The policies as TOML."""
    with run.reading() as (_, ref):
        text = policies.export_toml(ref, clock.now())
    return Response(text, media_type="application/toml; charset=utf-8",
                    headers={"Content-Disposition": 'attachment; filename="policies.toml"'})  # fmt: skip


async def read_toml(request: Request) -> str:
    """The body as text."""
    check_content_type(request, "application/toml", "text/plain", "application/octet-stream")
    content = await read_body(request, policies.LONGEST_FILE)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid.at("", "文件编码应为 UTF-8", "the file is not UTF-8") from None


@router.post("/policies/preview")
def preview(run: Run, who: Who, body: Described) -> dict[str, Any]:
    """Which policy a ticket like this would be judged by, why, and what is in the way of the others."""
    with run.reading() as (_, ref):
        choice = policies.preview(ref, body.model_dump(exclude={"at"}), body.at or clock.now())
    words = {target: limit_words(limit) for target, limit in choice.policy.limits.items()}
    limits = {target: {"zh": zh, "en": en} for target, (zh, en) in words.items()}
    return {**policies.choice_view(choice), "limits_in_words": limits}


@router.post("/policies", status_code=201)
def create_policy(
    run: Run, who: Who, body: Annotated[Document, Body(examples=POLICY_EXAMPLES)], apply: Apply = "new"
) -> dict[str, Any]:
    """Make a policy."""
    now = clock.now()
    with run.database.write() as session:
        row = policies.create(session, who, body, now)
    return _answer(run, who, row, apply=apply, changed=True)


@router.patch("/policies/{code}")
def change_policy(
    run: Run,
    who: Who,
    code: Code,
    body: Annotated[Document, Body(examples=[{"limits": {"complete": {"unit": "working_days", "amount": 7}}}])],
    apply: Apply = "new",
) -> dict[str, Any]:
    """The next version of a policy: what is given takes the place of what it said; ``{"retired": true}`` ends it."""
    now = clock.now()
    with run.database.write() as session:
        row, changed = policies.change(session, who, code, body, now)
    return _answer(run, who, row, apply=apply, changed=changed)


def _answer(run: Any, who: Any, row: Any, *, apply: str, changed: bool) -> dict[str, Any]:
    now, zone = clock.now(), run.settings.zone
    tally = RecomputeResult()
    if apply == "open":
        tally = recompute.after_policy(run.database, run.reference, row.code, who.actor, now)
    with run.reading() as (session, _):
        items = policies.listed(session, zone, now, history=True)
    shown = next(item for item in items if item["id"] == row.id)
    return {**shown, "changed": changed, **calendars.moves_view(tally, zone)}


@router.get("/ladders")
def list_ladders(run: Run, who: Who) -> dict[str, Any]:
    """The supervision ladders in force."""
    with run.reading() as (session, _):
        items = ladders.listed(session, run.settings.zone)
    return {"items": items, "next": None}


@router.post("/ladders", status_code=201)
def create_ladder(run: Run, who: Who, body: Annotated[Document, Body()]) -> dict[str, Any]:
    """Make a ladder."""
    require(who, "deadlines.edit")
    with run.database.write() as session:
        row = ladders.write(session, who, body, now=clock.now(), new=True)
        return ladders.view(row, run.settings.zone)


@router.patch("/ladders/{code}")
def change_ladder(run: Run, who: Who, code: Code, body: Annotated[Document, Body()]) -> dict[str, Any]:
    """The next version of a ladder. Tickets are looked at by it from their next check on."""
    require(who, "deadlines.edit")
    with run.database.write() as session:
        row = ladders.write(session, who, {**body, "code": code}, now=clock.now(), new=False)
        return ladders.view(row, run.settings.zone)


@router.post("/policies/import", openapi_extra={"requestBody": {"content": {"application/toml": {}}, "required": True}})
def import_policies(
    run: Run, who: Who, text: Annotated[str, Depends(read_toml)], apply: Apply = "new"
) -> dict[str, Any]:
    """Policies from TOML: all of the file, or none of it. What is the same is left alone."""
    now, zone = clock.now(), run.settings.zone
    with run.database.write() as session:
        done = policies.import_toml(session, who, text, now)
    tally = RecomputeResult()
    for code in [*done.created, *done.changed] if apply == "open" else []:
        tally.add(recompute.after_policy(run.database, run.reference, code, who.actor, now))
    return {**done.to_json(), **calendars.moves_view(tally, zone)}
