"""Mapping profiles: list and read; propose one for a file, try one on a file, save one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app import clock
from app.api.answers import JSON, as_json, refuses, shows
from app.api.body import check_content_type, read_body
from app.api.deps import Run, Who
from app.api.problems import language
from app.errors import BadRequest, Invalid
from app.runtime import Runtime
from app.schemas.common import Page, TwoLanguages
from app.schemas.profile import PROFILE, ImportPreviewOut, ListedProfileOut, ProfileDocument, ProposalOut
from app.security.permissions import require
from app.security.principal import Principal
from ingest.files.jobs import uploads_of
from ingest.files.multipart import MultipartForm, receive
from ingest.files.uploads import LIMITS
from ingest.profile_wizard import saved
from ingest.profile_wizard.draft import document_of
from ingest.profile_wizard.preview import ROWS, preview
from ingest.profile_wizard.proposal import propose
from ingest.profile_wizard.sampling import read_sample
from ingest.profile_wizard.saved import is_bundled, named_profile, saved_profiles, toml_of
from ingest.profile_wizard.views import identity, preview_view, proposal_view, sample_view, slug
from ingest.rows.profile import LONGEST, Profile, check_profile, parse_profile

router = APIRouter(tags=["intake"])
TOML = "application/toml"
_FILE = {"type": "string", "format": "binary", "description": "CSV, XLSX, XLS, ODS, NDJSON or JSON, plain, gz or zip"}
_SHEET = {"type": "string", "description": "sheet of a spreadsheet; the first that holds rows unless said"}
Name = Annotated[str, Path(max_length=64, description="name of the profile")]
FILE_REFUSALS: Final = refuses(409, 413, 415)


def _form(**parts: Any) -> dict[str, Any]:
    schema = {"type": "object", "required": ["file"], "properties": {"file": _FILE, **parts}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _importer(who: Who) -> Principal:
    require(who, "files.import")
    return who


Importer = Annotated[Principal, Depends(_importer)]


@router.get("/profiles")
def list_profiles(run: Run, who: Importer) -> Page[ListedProfileOut]:
    """The mapping profiles: the bundled ones, and those saved here."""
    found = saved_profiles(run.settings.data_dir / "profiles")
    items = [
        ListedProfileOut(
            name=p.name, title=TwoLanguages(zh=p.title.zh, en=p.title.en), source=p.source.code, time_zone=p.time_zone,
            bundled=is_bundled(p.name),
        )
        for p in found
    ]  # fmt: skip
    return Page(items=items, next=None)


@router.get(
    "/profiles/{name}",
    responses={
        200: {
            "model": ProfileDocument,
            "description": "The profile.",
            "content": {TOML: {"schema": {"type": "string"}, "example": 'name = "mycity"\n'}},
        }
    },
)
def get_profile(request: Request, run: Run, who: Importer, name: Name) -> Response:
    """One profile; as TOML if `Accept` is `application/toml`."""
    profile = named_profile(name, run.settings.data_dir / "profiles")
    if TOML in request.headers.get("accept", ""):
        return Response(toml_of(profile), media_type=f"{TOML}; charset=utf-8")
    return as_json(document_of(profile))


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
    responses={**shows(ProfileDocument, 201, "Saved."), **FILE_REFUSALS},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"type": "object"}, "example": PROFILE},
                TOML: {"schema": {"type": "string", "description": "a profile as docs/intake.md describes it"}},
            },
        }
    },
)
async def save_profile(
    run: Run,
    who: Importer,
    profile: Annotated[Profile, Depends(_profile_sent)],
    replace: Annotated[bool, Query(description="replace the saved profile of this name")] = False,
) -> Response:
    """Save a profile for `duban import --profile NAME` and the imports page. 409 if the name is taken, and always for the
    name of a bundled one; 422 with a pointer for each mistake.
    """
    folder = run.settings.data_dir / "profiles"
    await run_in_threadpool(lambda: saved.save_profile(folder, profile, replace=replace))
    return as_json(document_of(profile), 201)


async def _with_file(request: Request, run: Runtime, work: Callable[[MultipartForm], dict[str, Any]]) -> Response:
    """Run ``work`` on a form with a file, which is removed afterwards."""
    uploads = uploads_of(run)
    form = await receive(request.headers.get("content-type", ""), request.stream(), lambda: uploads.begin(clock.now()))
    if form.file is None:
        raise Invalid.at("/file", "缺少文件，请放在 file 一项", "the file is missing; send it as `file`")
    try:
        form.file.close()
        return as_json(await run_in_threadpool(work, form))
    finally:
        await run_in_threadpool(form.file.drop)


@router.post("/profiles/propose", responses={**shows(ProposalOut), **FILE_REFUSALS}, openapi_extra=_form(
    sheet=_SHEET, time_zone={"type": "string", "example": "Asia/Shanghai", "description": "of times without an offset"}
))  # fmt: skip
async def propose_profile(request: Request, run: Run, who: Importer) -> Response:
    """Propose a mapping for an unknown file: `multipart/form-data` with `file`. Each guess has its reasons and its confidence;
    the proposed profile may lack fields that were not found. Nothing is stored.
    """
    lang = language(request)

    def work(form: MultipartForm) -> dict[str, Any]:
        assert form.file is not None, "it has been looked for"
        sheet = form.fields.get("sheet") or None
        sample = read_sample(form.file.path, sheet=sheet, limits=LIMITS)
        found = propose(sample, form.fields.get("time_zone") or run.settings.time_zone)
        found.draft.sheet = sheet
        called = identity(slug(form.file_name) or "profile")
        return {"file": sample_view(sample), **proposal_view(found, called, lang)}

    return await _with_file(request, run, work)


@router.post("/profiles/preview", responses={**shows(ImportPreviewOut), **FILE_REFUSALS}, openapi_extra=_form(
    profile={"type": "string", "description": "name of a profile, or a profile as TOML or JSON", "example": "mycity"},
    sheet=_SHEET,
))  # fmt: skip
async def preview_import(
    request: Request,
    run: Run,
    who: Importer,
    rows: Annotated[int, Query(ge=1, le=100_000, description="rows that are read at most")] = ROWS,
) -> Response:
    """The tickets and rejects that an import of a file would produce: `multipart/form-data` with `file` and `profile`. Nothing
    is stored.
    """
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
