"""Mapping profiles by REST: listed and read; one proposed for a file, tried on a file, saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app import clock
from app.api.body import check_content_type, read_body
from app.api.deps import Run, Who
from app.api.problems import language
from app.errors import BadRequest, Invalid
from app.runtime import Runtime
from app.security.permissions import require
from app.security.principal import Principal
from ingest.files.jobs import uploads_of
from ingest.files.multipart import MultipartForm, receive
from ingest.files.uploads import LIMITS
from ingest.profile_wizard.draft import document_of
from ingest.profile_wizard.preview import ROWS, preview
from ingest.profile_wizard.proposal import propose
from ingest.profile_wizard.sampling import look
from ingest.profile_wizard.saved import is_bundled, named_profile, save_profile, saved_profiles, toml_of
from ingest.profile_wizard.views import identity, preview_view, proposal_view, sample_view, slug
from ingest.rows.profile import LONGEST, Profile, check_profile, parse_profile

router = APIRouter(tags=["intake"])
JSON, TOML = "application/json", "application/toml"
PROFILE_EXAMPLE: dict[str, Any] = {
    "name": "mycity",
    "title": {"zh": "某市网上信访", "en": "Some city's letters"},
    "source": {"code": "mycity", "zh": "某市网上信访", "en": "Some city's letters"},
    "time_zone": "Asia/Shanghai",
    "times": ["iso", "%Y年%m月%d日 %H时%M分", "excel"],
    "missing": ["-"],
    "fields": {"external_id": "信件编号", "title": "信件标题", "received_at": "来信时间", "kind": "信件类型"},
    "values": {"kind": {"投诉": "complaint", "咨询": "consult"}},
    "keep_rest": True,
}
_LISTED = {"name": "mycity", "title": PROFILE_EXAMPLE["title"], "source": "mycity", "time_zone": "Asia/Shanghai",
           "bundled": False}  # fmt: skip
_PROPOSED = {
    "file": {"format": "xlsx", "encoding": None, "delimiter": None, "sheet": "一月", "sheets": ["说明", "一月"],
             "columns": ["信件编号", "信件标题", "来信时间"], "rows_looked_at": 120, "whole": True,
             "first_rows": [["24", "路灯不亮", "2026/1/6 12:09:38"]]},
    "profile": PROFILE_EXAMPLE,
    "guesses": [{"target": "received_at", "columns": ["来信时间"], "confidence": 1.0, "level": "sure",
                 "reasons": ["headed '来信时间'", "100% can be read as times"]}],
    "unknown_words": {"kind": ["其他"]},
    "notes": ["no column of states: each ticket stands where its times say"],
}  # fmt: skip
_PREVIEWED = {
    "rows": 120, "whole": True, "tickets": 118, "repeated": 1, "rejected": 1,
    "first_tickets": [{"row": 1, "external_id": "24", "title": "路灯不亮", "status": "received", "priority": "normal",
                       "received_at": "2026-01-06T12:09:38+08:00"}],
    "rejects": [{"reason": "moment_written", "count": 1, "examples": [
        {"row": 7, "errors": [{"pointer": "/received_at", "detail": "'昨天' is written in none of the profile's time formats"}]}
    ]}],
    "broken": None,
}  # fmt: skip
_FILE = {"type": "string", "format": "binary", "description": "CSV, XLSX, XLS, ODS, NDJSON or JSON, plain, gz or zip"}
_SHEET = {"type": "string", "description": "sheet of a spreadsheet; the first that holds rows unless said"}
Name = Annotated[str, Path(max_length=64)]


def _form(**parts: Any) -> dict[str, Any]:
    schema = {"type": "object", "required": ["file"], "properties": {"file": _FILE, **parts}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _answers(example: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {JSON: {"example": example}}}}


def _importer(who: Who) -> Principal:
    require(who, "files.import")
    return who


Importer = Annotated[Principal, Depends(_importer)]


@router.get("/profiles", responses=_answers({"items": [_LISTED], "next": None}))
def list_profiles(run: Run, who: Importer) -> dict[str, Any]:
    """The mapping profiles there are: the bundled ones, and those saved here."""
    found = saved_profiles(run.settings.data_dir / "profiles")
    items = [
        {"name": p.name, "title": {"zh": p.title.zh, "en": p.title.en}, "source": p.source.code,
         "time_zone": p.time_zone, "bundled": is_bundled(p.name)}
        for p in found
    ]  # fmt: skip
    return {"items": items, "next": None}


@router.get("/profiles/{name}", responses=_answers(PROFILE_EXAMPLE))
def read_profile(request: Request, run: Run, who: Importer, name: Name) -> Any:
    """One profile; as TOML where `Accept` is `application/toml`."""
    profile = named_profile(name, run.settings.data_dir / "profiles")
    if TOML in request.headers.get("accept", ""):
        return Response(toml_of(profile), media_type=f"{TOML}; charset=utf-8")
    return document_of(profile)


async def _profile_sent(request: Request) -> Profile:
    kind = check_content_type(request, JSON, TOML)
    body = await read_body(request, LONGEST)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid.at("", "映射配置应为 UTF-8 编码", "a profile must be UTF-8") from error
    return parse_profile(text) if kind == TOML else _from_json(text)


def _from_json(text: str) -> Profile:
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest("请求体不是合法的 JSON", "the body is not valid JSON") from error
    return check_profile(content)


@router.post(
    "/profiles",
    status_code=201,
    responses={201: {"content": {JSON: {"example": PROFILE_EXAMPLE}}}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"type": "object"}, "example": PROFILE_EXAMPLE},
                TOML: {"schema": {"type": "string", "description": "a profile as docs/intake.md has it"}},
            },
        }
    },
)
async def save(
    run: Run,
    who: Importer,
    profile: Annotated[Profile, Depends(_profile_sent)],
    replace: Annotated[bool, Query(description="take the place of the saved profile of this name")] = False,
) -> dict[str, Any]:
    """Save a profile, so that `duban import --profile NAME` and the page find it. 409 where the name is taken, and
    always for that of a bundled one; 422 with a pointer for each mistake."""
    folder = run.settings.data_dir / "profiles"
    await run_in_threadpool(lambda: save_profile(folder, profile, replace=replace))
    return document_of(profile)


async def _with_file(request: Request, run: Runtime, work: Callable[[MultipartForm], dict[str, Any]]) -> dict[str, Any]:
    """What ``work`` makes of a form with a file, which is gone afterwards."""
    uploads = uploads_of(run)
    form = await receive(request.headers.get("content-type", ""), request.stream(), lambda: uploads.begin(clock.now()))
    if form.file is None:
        raise Invalid.at("/file", "缺少文件，请放在 file 一项", "the file is missing; send it as `file`")
    try:
        form.file.close()
        return await run_in_threadpool(work, form)
    finally:
        await run_in_threadpool(form.file.drop)


@router.post("/profiles/propose", responses=_answers(_PROPOSED), openapi_extra=_form(
    sheet=_SHEET, time_zone={"type": "string", "example": "Asia/Shanghai", "description": "of times without an offset"}
))  # fmt: skip
async def propose_profile(request: Request, run: Run, who: Importer) -> dict[str, Any]:
    """Propose a mapping for a file that nobody has described: `multipart/form-data` with `file`. Each guess has its
    reasons and how sure it is; the profile proposed may lack what nobody could tell. Nothing is stored."""
    lang = language(request)

    def work(form: MultipartForm) -> dict[str, Any]:
        assert form.file is not None, "it has been looked for"
        sheet = form.fields.get("sheet") or None
        sample = look(form.file.path, sheet=sheet, limits=LIMITS)
        found = propose(sample, form.fields.get("time_zone") or run.settings.time_zone)
        found.draft.sheet = sheet
        called = identity(slug(form.file_name) or "profile")
        return {"file": sample_view(sample), **proposal_view(found, called, lang)}

    return await _with_file(request, run, work)


@router.post("/profiles/preview", responses=_answers(_PREVIEWED), openapi_extra=_form(
    profile={"type": "string", "description": "name of a profile, or a profile as TOML or JSON", "example": "mycity"},
    sheet=_SHEET,
))  # fmt: skip
async def preview_import(
    request: Request,
    run: Run,
    who: Importer,
    rows: Annotated[int, Query(ge=1, le=100_000, description="rows that are gone through")] = ROWS,
) -> dict[str, Any]:
    """The tickets and rejects that an import of a file would bring: `multipart/form-data` with `file` and `profile`.
    Nothing is stored."""
    lang = language(request)

    def work(form: MultipartForm) -> dict[str, Any]:
        assert form.file is not None, "it has been looked for"
        profile = _profile_in(form.fields.get("profile", ""), run)
        if form.fields.get("sheet"):
            hints = profile.file.model_copy(update={"sheet": form.fields["sheet"]})
            profile = profile.model_copy(update={"file": hints})
        seen = preview(form.file.path, profile, clock.now(), limits=LIMITS, most=rows)
        return preview_view(seen, lang, run.settings.zone)

    return await _with_file(request, run, work)


def _profile_in(text: str, run: Runtime) -> Profile:
    if not text.strip():
        raise Invalid.at(
            "/profile", "缺少 profile：配置名称，或 TOML、JSON 内容", "profile is missing: a name, TOML or JSON"
        )
    try:
        if text.lstrip().startswith("{"):
            return _from_json(text)
        return parse_profile(text) if "=" in text else named_profile(text.strip(), run.settings.data_dir / "profiles")
    except Invalid as error:
        raise error.under("/profile") from error
