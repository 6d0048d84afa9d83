"""Files: upload, recent imports, and the mapping profiles."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from app import clock
from app.console.base.i18n import texts
from app.console.base.web import (
    HEADERS,
    Looking,
    PageRoute,
    Run,
    Visitor,
    checked,
    go,
    language,
    page,
    require_same_site,
)
from app.console.base.wording import actor_name
from app.errors import BadRequest, Busy, DubanError, Forbidden, TooLarge
from app.runtime import Runtime
from app.security.permissions import require
from app.services.access import accounts
from app.services.intake import import_runs
from ingest.files.jobs import uploads_of
from ingest.files.multipart import MOST_TEXT, MultipartForm, receive
from ingest.files.uploads import LIMITS
from ingest.formats.base import MIB
from ingest.profile_wizard.sampling import read_sample
from ingest.profile_wizard.saved import is_bundled, named_profile, saved_profiles, toml_of

router = APIRouter(route_class=PageRoute)
SHOWN = 20


def clerk(looking: Looking) -> Visitor:
    """Return a person who may import files; raises Forbidden."""
    require(looking.who, "files.import")
    return looking


Clerk = Annotated[Visitor, Depends(clerk)]


@router.get("/imports")
def show_imports(request: Request, run: Run, looking: Clerk) -> Response:
    """Show the upload form, the last runs and the profiles."""
    return _show(request, run, looking)


def _show(request: Request, run: Runtime, looking: Visitor, refusal: DubanError | None = None) -> Response:
    lang = language(request)
    t = texts(lang)
    with run.reading() as (session, ref):
        taken = import_runs.recent(session, looking.who, SHOWN)
        names = accounts.display_names(session, {each.run.actor for each in taken})
        sources = {key: (s.name_en or s.name) if lang == "en" else s.name for key, s in ref.sources.items()}
    return page(
        request, "imports/imports.html", status=refusal.status if refusal else 200, taken=taken, sources=sources,
        refusal=refusal.text(lang) if refusal else None, most=uploads_of(run).limit // MIB, own=lambda n: not is_bundled(n),
        profiles=saved_profiles(run.settings.data_dir / "profiles"), actor=lambda actor: actor_name(actor, names, t),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The result of the upload: the form, or why it was refused."""

    form: MultipartForm | None
    refusal: DubanError | None = None


async def upload_form(request: Request, run: Run, looking: Clerk) -> UploadForm:
    """Stream the uploaded file to the data directory. A cross-site form is not read."""
    require_same_site(request)
    uploads = uploads_of(run)
    length = request.headers.get("content-length", "")
    try:
        if length.isdecimal() and int(length) > uploads.limit + MOST_TEXT + 64 * 1024:
            raise TooLarge(
                f"文件超过 {uploads.limit // MIB} MiB；请压缩成 gz 或 zip，或用命令 duban import 导入",
                f"the file is over {uploads.limit // MIB} MiB; pack it as gz or zip, or take it in with duban import",
            )
        form = await receive(
            request.headers.get("content-type", ""), request.stream(), lambda: uploads.begin(clock.now())
        )
    except DubanError as error:
        return UploadForm(None, error)
    try:
        checked(looking, form.fields)
    except Forbidden:
        if form.file is not None:
            await run_in_threadpool(form.file.drop)
        raise
    return UploadForm(form)


@router.post("/imports")
def bring(request: Request, run: Run, looking: Clerk, came: Annotated[UploadForm, Depends(upload_form)]) -> Response:
    """Store the file and redirect to its mapping; a file that is no table is refused at once."""
    if came.refusal is not None or came.form is None:
        return _show(request, run, looking, came.refusal)
    incoming = came.form.file
    if incoming is None or not came.form.file_name:
        if incoming is not None:
            incoming.drop()
        return _show(request, run, looking, BadRequest("请选择文件", "choose a file"))
    undo: Callable[[], None] = incoming.drop
    try:
        upload = incoming.keep(came.form.file_name, looking.who.actor, clock.now())
        with suppress(Busy):  # the file is stored; its own page reads it again
            read_sample(incoming.path, limits=LIMITS, most=1)
    except DubanError as error:
        undo()
        return _show(request, run, looking, error)
    return go(f"/imports/{upload.token}")


@router.get("/imports/profiles/{name}")
def download_profile(run: Run, looking: Clerk, name: Annotated[str, Path(max_length=64)]) -> Response:
    """Return a profile as TOML: to keep, to edit, or for ``duban import --profile``."""
    profile = named_profile(name, run.settings.data_dir / "profiles")
    disposition = {"Content-Disposition": f'attachment; filename="{profile.name}.toml"'}
    return Response(toml_of(profile), media_type="application/toml; charset=utf-8", headers={**HEADERS, **disposition})
