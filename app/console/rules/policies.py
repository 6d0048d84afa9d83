"""Deadline policies: the list, which one matches a described ticket and why, new versions, import and export."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlmodel import Session

from app import clock
from app.console.base.i18n import texts
from app.console.base.web import Checked, Form, Looking, PageRoute, Run, Visitor, language, page
from app.console.base.wording import actor_name
from app.console.rules.calendar import uploaded
from app.console.rules.policy_form import COUNTS, choices, fields_of, spec_of, summary_of
from app.domain.tickets.policies import CRITERIA, DEFAULT_POLICIES, TARGETS, PolicyChoice
from app.domain.time.limit import ENDS, UNITS
from app.errors import DubanError, Invalid, NotFound
from app.models import PolicyVersion
from app.runtime import Runtime
from app.security.permissions import require
from app.services.access import accounts
from app.services.recompute import run as recompute
from app.services.rules import policies
from app.store import reference as store

router = APIRouter(route_class=PageRoute)
Code = Annotated[str, Path(max_length=64)]
SHOWN_MOVES = 200
NEW = "+new"
"""In place of a code: a policy that is not there yet."""


@dataclass(frozen=True, slots=True)
class PolicyFormResult:
    """The result of a form: the deadlines moved, the outcome of an imported file, or why it was refused; ``wrong`` names the
    fields.
    """

    tally: recompute.RecomputeResult | None = None
    changed: bool = False
    imported: policies.PolicyImport | None = None
    refused: tuple[str, ...] = ()
    wrong: frozenset[str] = field(default_factory=frozenset)
    status: int = 200


def refusal(error: DubanError, lang: str) -> PolicyFormResult:
    """Return a refusal with the form fields it concerns."""
    if not isinstance(error, Invalid):
        return PolicyFormResult(refused=(error.text(lang),), status=error.status)
    problems = tuple(
        f"{p.pointer.removeprefix('/').replace('/', ' › ')} {p.text(lang)}".strip() for p in error.problems[:10]
    )
    wrong = frozenset(".".join(p.pointer.split("/")[1:]) for p in error.problems)
    return PolicyFormResult(refused=problems, wrong=wrong, status=error.status)


@router.get("/policies")
def show_policies(request: Request, run: Run, looking: Looking) -> Response:
    """Show the policies; with a described ticket in the address, also the one that matches and why."""
    return _list(request, run, looking)


def _list(request: Request, run: Runtime, looking: Visitor, outcome: PolicyFormResult | None = None) -> Response:
    now, lang = clock.now(), language(request)
    t = texts(lang)
    criteria = {key: value for key in CRITERIA if (value := request.query_params.get(key))}
    choice: PolicyChoice | None = None
    with run.reading() as (session, ref):
        rows = policies.shown(session, run.settings.zone, now)
        in_words = {row["id"]: summary_of(_of(session, row), ref, t) for row in rows}
        offered = choices(ref, {}, t)
        if "ask" in request.query_params and outcome is None:
            try:
                choice = policies.preview(ref, criteria, _moment(request, run) or now)
            except DubanError as wrong:
                outcome = refusal(wrong, lang)
        chosen = summary_of(choice.policy, ref, t) if choice is not None else None
    return page(
        request, "rules/policies.html", status=outcome.status if outcome else 200, now=now, rows=rows, in_words=in_words,
        targets=TARGETS, criteria=CRITERIA, offered=offered, asked=criteria, choice=choice, chosen=chosen, outcome=outcome,
        at=request.query_params.get("at", ""), most=SHOWN_MOVES,
    )  # fmt: skip


def _of(session: Session, row: dict[str, Any]) -> Any:
    found = session.get(PolicyVersion, row["id"])
    assert found is not None, "listed a moment ago"
    return policies.as_policy(found)


def _moment(request: Request, run: Runtime) -> datetime | None:
    """Return when the described ticket was received, in the office's zone. Raises Invalid."""
    text = request.query_params.get("at")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid.at("/at", f"无法识别的时间 {text[:40]!r}", f"{text[:40]!r} is not a time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=run.settings.zone)


@router.get("/policies/+export")
def export(run: Run, looking: Looking) -> Response:
    """Return the policies as a TOML file."""
    with run.reading() as (_, ref):
        text = policies.export_toml(ref, clock.now())
    return Response(
        text, media_type="application/toml; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="policies.toml"'},
    )  # fmt: skip


@router.post("/policies/+import")
def import_file(
    request: Request, run: Run, looking: Looking, fields: Checked,
    file: Annotated[tuple[str, bytes], Depends(uploaded)],
) -> Response:  # fmt: skip
    """Import policies from a TOML file, all or nothing."""
    require(looking.who, "deadlines.edit")
    now, lang = clock.now(), language(request)
    name, content = file
    try:
        if not name:
            raise Invalid.at("/file", "请选择文件", "choose a file")
        text = _text(content)
        with run.database.write() as session:
            done = policies.import_toml(session, looking.who, text, now)
    except DubanError as wrong:
        return _list(request, run, looking, refusal(wrong, lang))
    tally = recompute.RecomputeResult()
    for code in [*done.created, *done.changed] if fields.get("apply") else []:
        tally.add(recompute.after_policy(run.database, run.reference, code, looking.who.actor, now))
    changed = bool(done.created or done.changed)
    return _list(request, run, looking, PolicyFormResult(tally, changed=changed, imported=done))


def _text(content: bytes) -> str:
    if len(content) > policies.LONGEST_FILE:
        raise Invalid.at("/file", "文件超过 1 MiB", "the file is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid.at("/file", "文件编码应为 UTF-8", "the file is not UTF-8") from None


@router.get("/policies/{code}")
def show_policy(request: Request, run: Run, looking: Looking, code: Code) -> Response:
    """Show one policy with all its versions, and the form of the next one; ``+new``: the form of a new one."""
    return show_form(request, run, looking, code)


def show_form(
    request: Request, run: Runtime, looking: Visitor, code: str, *,
    outcome: PolicyFormResult | None = None, typed: Form | None = None,
) -> Response:  # fmt: skip
    """Show the page of a policy; ``typed``: with the input, after a refusal. Raises NotFound."""
    now, lang, zone = clock.now(), language(request), run.settings.zone
    t = texts(lang)
    with run.reading() as (session, ref):
        rows = sorted(store.every_version(session, PolicyVersion, code), key=lambda row: -row.version)
        if not rows and code != NEW:
            raise NotFound(f"没有规则 {code!r}", f"no policy has the code {code!r}")
        latest = policies.as_policy(rows[0]) if rows else DEFAULT_POLICIES[0]
        filled = fields_of(latest.to_spec(), zone) if rows else _blank(zone)
        values = typed if typed is not None else filled
        match = spec_of(values, zone)["match"] if typed is not None else latest.match
        offered = choices(ref, {key: codes for key, codes in match.items() if key in CRITERIA}, t)
        versions = [(row, summary_of(policies.as_policy(row), ref, t)) for row in rows]
        names = accounts.display_names(session, {row.created_by for row in rows})
        in_force = policies.in_force_now(session, now)
        calendars = sorted(ref.calendars)
    return page(
        request, "rules/policy.html", status=outcome.status if outcome else 200, now=now, code=code, latest=latest,
        values=values, offered=offered, versions=versions, in_force=in_force, targets=TARGETS, criteria=CRITERIA,
        units=UNITS, ends=ENDS, counts=COUNTS, calendars=calendars, outcome=outcome, most=SHOWN_MOVES,
        retired=bool(rows) and rows[0].retired_at is not None, actor=lambda actor: actor_name(actor, names, t),
    )  # fmt: skip


def _blank(zone: Any) -> dict[str, str]:
    return {key: value for key, value in fields_of(DEFAULT_POLICIES[0].to_spec(), zone).items()
            if key not in ("code", "name_zh", "name_en")}  # fmt: skip


@router.post("/policies/{code}")
def save_policy(request: Request, run: Run, looking: Looking, fields: Checked, code: Code) -> Response:
    """Save the next version of a policy, or a new policy; optionally apply it to open tickets."""
    require(looking.who, "deadlines.edit")
    now, lang = clock.now(), language(request)
    spec = spec_of(fields, run.settings.zone)
    try:
        with run.database.write() as session:
            row, changed = _write(session, looking, code, spec, fields, now)
            saved = row.code
    except DubanError as wrong:
        return show_form(request, run, looking, code, outcome=refusal(wrong, lang), typed=fields)
    tally = None
    if fields.get("apply"):
        tally = recompute.after_policy(run.database, run.reference, saved, looking.who.actor, now)
    return show_form(request, run, looking, saved, outcome=PolicyFormResult(tally, changed=changed))


def _write(
    session: Session, looking: Visitor, code: str, spec: dict[str, Any], fields: Form, now: datetime
) -> tuple[PolicyVersion, bool]:
    if code != NEW:
        return policies.change(session, looking.who, code, spec, now)
    given = {key: value for key, value in spec.items() if value is not None}
    return policies.create(session, looking.who, {**given, "code": fields.get("code", "").strip()}, now), True


@router.post("/policies/{code}/retire")
def retire_policy(request: Request, run: Run, looking: Looking, fields: Checked, code: Code) -> Response:
    """Retire a policy; open tickets keep it, unless they are moved to the remaining ones."""
    require(looking.who, "deadlines.edit")
    now, lang = clock.now(), language(request)
    try:
        with run.database.write() as session:
            policies.change(session, looking.who, code, {"retired": True}, now)
    except DubanError as wrong:
        return show_form(request, run, looking, code, outcome=refusal(wrong, lang))
    tally = None
    if fields.get("apply"):
        tally = recompute.after_policy(run.database, run.reference, code, looking.who.actor, now)
    return _list(request, run, looking, PolicyFormResult(tally, changed=True))
