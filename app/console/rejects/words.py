"""Words without a code in a profile: given one here, and their rejected rows retried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from app import clock
from app.console.base.web import Checked, PageRoute, Run, go, link, page
from app.console.imports.mapping_form import REJECT
from app.console.rejects.routes import AT_ONCE, Settler, filter_of, list_filters
from app.errors import Invalid, NotFound
from app.runtime import Runtime
from app.security.permissions import require
from app.security.principal import Principal
from app.services.intake import rejects
from ingest.profile_wizard.saved import named_profile, save_profile
from ingest.profile_wizard.vocabulary import CODES, code_of
from ingest.profile_wizard.word_codes import uncoded_words, with_codes
from ingest.rejects import retry
from ingest.rows.profile import Profile

router = APIRouter(route_class=PageRoute)
LOOKED_AT = 2_000
REASON = "value_unknown"


@dataclass(frozen=True, slots=True)
class UnknownWords:
    """A profile with its words without a code: (field, column, word, rows, most likely code)."""

    profile: Profile
    words: list[tuple[str, str, str, int, str | None]]


def _unplaced(run: Runtime, who: Principal, filters: Mapping[str, str]) -> list[UnknownWords]:
    chosen = filter_of(run, {**filters, "reason": REASON, "state": "open"})
    with run.reading() as (session, _):
        by_profile = rejects.raws_by_profile(session, who, chosen, limit=LOOKED_AT)
    found: list[UnknownWords] = []
    for name, raws in by_profile.items():
        try:
            profile = named_profile(name, run.settings.data_dir / "profiles")
        except (NotFound, Invalid):
            continue  # its file was removed or is broken: a retry reports that
        words = [
            (field, profile.fields[field].columns[0], word, count, code_of(field, word))
            for field, table in uncoded_words(profile, raws).items()
            for word, count in table.most_common()
        ]
        if words:
            found.append(UnknownWords(profile, words))
    return found


@router.get("/rejects/words")
def show_words(request: Request, run: Run, looking: Settler) -> Response:
    """Show the words, each with a choice of codes."""
    require(looking.who, "files.import")
    filters = list_filters(request.query_params)
    return page(
        request, "rejects/words.html", asked=filters, unplaced=_unplaced(run, looking.who, filters),
        codes={name: list(codes) for name, codes in CODES.items()},
    )  # fmt: skip


@router.post("/rejects/words")
def place_words(request: Request, run: Run, looking: Settler, fields: Checked) -> Response:
    """Save the profile with the codes chosen, and retry the rows."""
    require(looking.who, "files.import")
    folder = run.settings.data_dir / "profiles"
    profile = named_profile(fields.get("profile", ""), folder)
    chosen: dict[str, dict[str, str]] = {}
    for name, word in fields.items():
        field = name.split(".")[1] if name.startswith("word.") else ""
        code = fields.get(name.replace("word.", "code.", 1), REJECT)
        if field in CODES and word and (code == "" or code in CODES[field]):
            chosen.setdefault(field, {})[word] = code
    filters = list_filters(fields)
    if not chosen:
        return go(link("/rejects/words", filters))
    save_profile(folder, with_codes(profile, chosen), replace=True, override_bundled=True)
    done = retry.retry_all(
        run, looking.who, filter_of(run, {**filters, "reason": REASON, "state": "open"}), clock.now(), most=AT_ONCE
    )
    results = {"taken": str(done.accepted), "refused": str(done.refused), "after": done.after}
    return go(link("/rejects", {**filters, "reason": "", **results}))
