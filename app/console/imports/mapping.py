"""One uploaded file: its mapping chosen, previewed and saved as a profile, and the file imported with visible progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app import clock
from app.console.base.choices import source_choices
from app.console.base.web import Checked, PageRoute, Run, Visitor, go, language, link, page, wants_fragment
from app.console.imports import mapping_view as view
from app.console.imports.mapping_form import MappingForm, asked_of, missing_text, with_new_words
from app.console.imports.routes import Clerk
from app.errors import BadRequest, Busy, DubanError, Invalid, NotFound
from app.runtime import Runtime
from app.services.intake import import_runs
from ingest.files.jobs import ImportJobs, uploads_of
from ingest.files.uploads import LIMITS, Upload
from ingest.profile_wizard.draft import Identity, ProfileDraft, draft_of, profile_of
from ingest.profile_wizard.preview import ImportPreview, preview
from ingest.profile_wizard.proposal import MappingProposal
from ingest.profile_wizard.sampling import Sample
from ingest.profile_wizard.saved import is_bundled, named_profile, save_profile, saved_profiles
from ingest.profile_wizard.views import slug
from ingest.rows.profile import Profile

router = APIRouter(route_class=PageRoute)
Token = Annotated[str, Path(min_length=16, max_length=16)]
_TRIED = Identity("preview", "preview", "preview", "preview", "preview", "preview")
_CHOOSE = Invalid.at(
    "/fields", "请先选择“来源编号”和“标题”取自哪一列", "choose the columns of the number and of the title first"
)
_looked = view.SampleCache()


@dataclass(frozen=True, slots=True)
class DraftTrial:
    """A draft tried on the file: a preview of the import, or why the draft is not a valid profile; and the words of its
    coded columns.
    """

    seen: ImportPreview | None
    wrong: DubanError | None
    words: Mapping[str, Counter[str]]


@router.get("/imports/{token}")
def show_file(request: Request, run: Run, looking: Clerk, token: Token) -> Response:
    """Show the mapping of a file, or the progress of its import."""
    upload = uploads_of(run).get(token)
    if upload.state != "ready":
        return _show_progress(request, run, looking, upload)
    sheet, encoding = request.query_params.get("sheet") or None, request.query_params.get("encoding") or None
    wish = request.query_params.get("profile")
    try:
        sample, proposal = _looked_at(run, upload, sheet, encoding)
        base = _base(run, wish, sample)
    except (NotFound, Busy):
        raise
    except DubanError as error:  # no such sheet, or another encoding: show the file with its defaults and the reason
        sample, proposal = _looked_at(run, upload, None, None)
        return _show_mapping(
            request,
            run,
            upload,
            sample,
            proposal,
            _asked_at_first(run, upload, proposal.draft, None),
            None,
            wrong=error,
        )
    draft = draft_of(base, sample.columns) if base else proposal.draft
    draft = replace(draft, sheet=sheet, encoding=encoding)
    return _show_mapping(
        request,
        run,
        upload,
        sample,
        proposal,
        _asked_at_first(run, upload, draft, base),
        base,
        proposed=base is None,
    )


def _looked_at(run: Runtime, upload: Upload, sheet: str | None, encoding: str | None) -> tuple[Sample, MappingProposal]:
    path = uploads_of(run).file_of(upload)
    if encoding is not None and encoding not in view.ENCODINGS:
        raise BadRequest(f"不支持编码 {encoding[:20]}", f"the encoding {encoding[:20]} is not offered")
    return _looked.at(path, sheet, encoding, run.settings.time_zone)


def _base(run: Runtime, wish: str | None, sample: Sample) -> Profile | None:
    """Return the profile that the mapping starts from: the chosen one, none (``new``), or the one that fits the file."""
    folder = run.settings.data_dir / "profiles"
    if wish == "new":
        return None
    if wish:
        return named_profile(wish, folder)
    return view.fitting(saved_profiles(folder), sample)


def _asked_at_first(run: Runtime, upload: Upload, draft: ProfileDraft, base: Profile | None) -> MappingForm:
    """Return the initial form: names derived from the file's name, in Latin letters, else from the date."""
    own = base is not None and not is_bundled(base.name)
    title = upload.name.split(".")[0][:100]
    name = slug(upload.name) or f"file-{upload.at.astimezone(run.settings.zone):%Y%m%d-%H%M}"
    return MappingForm(
        draft, title=base.title.zh if base else title, name=base.name if base else name, source="",
        auto_times=base is None, live=False, replace=own,
    )  # fmt: skip


def _tried(run: Runtime, upload: Upload, sample: Sample, draft: ProfileDraft, base: Profile | None) -> DraftTrial:
    path, now = uploads_of(run).file_of(upload), clock.now()
    wrong: DubanError | None = None
    try:
        profile = profile_of(draft, _TRIED, base)
    except Invalid as error:
        lacking = [name for name in ("external_id", "title") if name not in draft.columns]
        wrong = _CHOOSE if lacking else error
        stand_in = {name: draft.columns.get(name, sample.columns[:1]) for name in ("external_id", "title")}
        try:
            profile = profile_of(replace(draft, columns={**draft.columns, **stand_in}), _TRIED, base)
        except Invalid:
            return DraftTrial(None, wrong, {})
    try:
        seen = preview(path, profile, now, limits=LIMITS)
    except NotFound:
        raise
    except DubanError as error:
        return DraftTrial(None, wrong or error, {})
    return DraftTrial(None if wrong else seen, wrong, seen.words)


def _tried_with_words(
    run: Runtime, upload: Upload, sample: Sample, draft: ProfileDraft, base: Profile | None, fields: Mapping[str, str]
) -> DraftTrial:
    """Try the draft; if a column has words that the form does not list yet, place them and try again."""
    tried = _tried(run, upload, sample, draft, base)
    if with_new_words(draft, tried.words, fields):
        tried = _tried(run, upload, sample, draft, base)
    given = draft_of(base, ()).words if base else {}
    for field, table in draft.words.items():
        keep = {"*", *tried.words.get(field, ()), *given.get(field, ())}
        draft.words[field] = {word: code for word, code in table.items() if word in keep}
    return tried


def _show_mapping(
    request: Request, run: Runtime, upload: Upload, sample: Sample, proposal: MappingProposal, asked: MappingForm,
    base: Profile | None, *, proposed: bool = False, wrong: DubanError | None = None,
    fields: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    lang = language(request)
    draft = asked.draft
    if asked.auto_times:
        draft.times = view.formats_for(draft, sample)
    tried = _tried_with_words(run, upload, sample, draft, base, fields or {})
    values: dict[str, Any] = {
        "upload": upload, "seen": tried.seen, "wrong": _lines(tried.wrong, lang), "words": view.words_of(draft, tried.words),
        "problem": lambda one: one.text(lang), "draft": draft,
        "unused": view.unused_columns(sample, draft, base), "times": view.times_of(draft), "asked": asked,
    }  # fmt: skip
    if wants_fragment(request):
        return page(request, "imports/live.html", **values)
    with run.reading() as (_, ref):
        sources = source_choices(ref, lang)
    return page(
        request, "imports/mapping.html", status=wrong.status if wrong else 200, sample=sample, sources=sources, base=base,
        refusal=_lines(wrong, lang), groups=view.lines_of(draft, proposal, proposed=proposed), proposed=proposed,
        columns=view.columns_of(sample, draft), rows=view.first_rows(sample, draft), encodings=view.ENCODINGS,
        notes=[note.to(lang) for note in proposal.notes] if proposed else [],
        profiles=saved_profiles(run.settings.data_dir / "profiles"), missing=missing_text(draft.missing), **values,
    )  # fmt: skip


def _lines(error: DubanError | None, lang: str) -> list[str]:
    if isinstance(error, Invalid):
        return [problem.text(lang) for problem in error.problems]
    return [error.text(lang)] if error else []


@router.post("/imports/{token}")
def work_on(request: Request, run: Run, looking: Clerk, fields: Checked, token: Token) -> Response:
    """Preview the mapping, save it, import the file, or discard it, as ``do`` states."""
    uploads = uploads_of(run)
    upload = uploads.get(token)
    do = fields.get("do", "preview")
    if do == "remove":
        uploads.remove(upload)
        return go("/imports")
    if upload.state == "failed" and do == "again":
        _jobs(request).start(upload, upload.profile or "", source=upload.source, live=upload.live)
        return go(f"/imports/{token}")
    if upload.state != "ready":
        return go(f"/imports/{token}")
    sample, proposal = _looked_at(run, upload, fields.get("sheet") or None, fields.get("encoding") or None)
    base = _base(run, fields.get("base") or "new", sample)
    asked = asked_of(fields, sample.columns, base)
    wrong: DubanError | None = None
    if do in ("save", "import"):
        try:
            profile = _save(run, upload, sample, asked, base, fields)
            if do == "save":
                return go(link(f"/imports/{token}", {"profile": profile.name, "saved": "1"}))
            _jobs(request).start(upload, profile.name, source=asked.source or None, live=asked.live)
            return go(f"/imports/{token}")
        except DubanError as error:
            wrong = error
    return _show_mapping(
        request, run, upload, sample, proposal, asked, base, wrong=wrong, fields=fields, proposed="proposed" in fields
    )


def _save(
    run: Runtime, upload: Upload, sample: Sample, asked: MappingForm, base: Profile | None, fields: Mapping[str, str]
) -> Profile:
    """Return the profile that the form describes, saved; or the one it started from, if nothing was changed."""
    draft = asked.draft
    if asked.auto_times:
        draft.times = view.formats_for(draft, sample)
    identity = asked.identity(base)
    tried = _tried_with_words(run, upload, sample, draft, base, fields)
    if tried.wrong is not None:
        raise tried.wrong
    profile = profile_of(draft, identity, base)
    if profile != base:
        save_profile(run.settings.data_dir / "profiles", profile, replace=asked.replace)
    return profile


def _jobs(request: Request) -> ImportJobs:
    found: ImportJobs = request.app.state.imports
    return found


def _show_progress(request: Request, run: Runtime, looking: Visitor, upload: Upload) -> Response:
    lang = language(request)
    with run.reading() as (session, ref):
        taken = import_runs.one(session, looking.who, upload.run_id) if upload.run_id else None
        source = ref.sources.get(taken.run.source_id) if taken else None
    template = "imports/state.html" if wants_fragment(request) else "imports/run.html"
    error = upload.error[1 if lang == "en" else 0] if upload.error else None
    return page(
        request, template, upload=upload, taken=taken, source=source.code if source else None, error=error,
        share=min(100, round(100 * upload.consumed / upload.total)) if upload.total else 0,
        under_way=upload.state in ("queued", "importing"),
    )  # fmt: skip
