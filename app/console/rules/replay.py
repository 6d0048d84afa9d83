"""Replay (推演): past tickets under proposed policies or a proposed calendar, before anything is changed.

The proposal is TOML or JSON text, as ``duban policy replay`` accepts; the policy form and the calendar page fill it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import tomli_w
from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app import clock
from app.console.base.choices import unit_choices
from app.console.base.i18n import texts
from app.console.base.web import Checked, Form, Looking, PageRoute, Run, Visitor, language, page
from app.console.rules.policies import NEW, refusal, show_form
from app.console.rules.policy_form import spec_of
from app.console.rules.replay_view import calendar_text, last_quarter, pairs
from app.domain.tickets.policies import TARGETS, Policy
from app.errors import DubanError, Invalid, NotFound
from app.runtime import Runtime
from app.schemas.policy import read_policy
from app.security.permissions import require
from app.services.core.reference import DEFAULT_CALENDAR, Reference
from app.services.recompute.policy_replay import RuleProposal, proposal_in, replay
from app.store import tickets as store

router = APIRouter(route_class=PageRoute)
SHOWN_TICKETS = 100


@dataclass(frozen=True, slots=True)
class ReplayForm:
    """The submitted form: the proposal, the calendar it replaces, the period, the target, the unit."""

    proposal: str
    calendar: str
    since: str
    until: str
    target: str = "complete"
    unit: str = ""

    @classmethod
    def of(cls, fields: Form, run: Runtime, proposal: str | None = None) -> ReplayForm:
        """Return the form as filled in; the last quarter if it names no period."""
        since, until = last_quarter(clock.now().astimezone(run.settings.zone).date())
        return cls(
            fields.get("proposal", "") if proposal is None else proposal,
            fields.get("calendar") or DEFAULT_CALENDAR,
            fields.get("from") or since.isoformat(), fields.get("to") or until.isoformat(),
            fields.get("target", "complete"), fields.get("unit", ""),
        )  # fmt: skip


@router.get("/policies/+replay")
def show_replay(
    request: Request, run: Run, looking: Looking, policy: str | None = None, calendar: str | None = None
) -> Response:
    """Show the form; ``policy`` or ``calendar`` of the address fill it with the version in force, to be edited."""
    require(looking.who, "deadlines.replay")
    with run.reading() as (_, ref):
        proposal = _in_force(ref, policy, calendar)
    fields = {"calendar": calendar or ""}
    return _show(request, run, looking, ReplayForm.of(fields, run, proposal))


def _in_force(ref: Reference, policy: str | None, calendar: str | None) -> str:
    if calendar is not None:
        if calendar not in ref.calendars:
            raise NotFound(f"没有日历 {calendar!r}", f"no calendar {calendar!r}")
        found = ref.calendars[calendar][1]
        return calendar_text(found, found.local(clock.now()).year - 1)
    listed = [one for _, one in ref.policies if one.code == policy]
    if policy is not None and not listed:
        raise NotFound(f"没有规则 {policy!r}", f"no policy has the code {policy!r}")
    return _text(max(listed, key=lambda one: one.version)) if listed else ""


def _text(policy: Policy) -> str:
    spec = {key: value for key, value in policy.to_spec().items() if key != "version"}
    return tomli_w.dumps({"policy": [spec]})


@router.post("/policies/+replay")
def run_replay(request: Request, run: Run, looking: Looking, fields: Checked) -> Response:
    """Replay the proposal. Nothing is written."""
    require(looking.who, "deadlines.replay")
    return _try(request, run, looking, ReplayForm.of(fields, run))


@router.post("/policies/{code}/replay")
def try_policy(request: Request, run: Run, looking: Looking, fields: Checked, code: str) -> Response:
    """Replay the content of a policy's form before it is saved."""
    require(looking.who, "deadlines.replay")
    spec = {key: value for key, value in spec_of(fields, run.settings.zone).items() if value is not None}
    named = fields.get("code", "").strip() if code == NEW else code
    try:
        proposed = read_policy({**spec, "code": named})
    except DubanError as wrong:
        return show_form(
            request, run, looking, code, outcome=refusal(wrong, language(request)), typed=fields
        )  # fmt: skip
    return _try(request, run, looking, ReplayForm.of({}, run, _text(proposed)))


def _try(request: Request, run: Runtime, looking: Visitor, form: ReplayForm) -> Response:
    now, zone = clock.now(), run.settings.zone
    try:
        given = proposal_in(form.proposal)
        since = _midnight(form.since, "from", zone)
        until = _midnight(form.until, "to", zone, days=1)
        with run.reading() as (session, ref):
            proposal = RuleProposal.read(given["policies"], given["calendar"], form.calendar, ref)
            unit_id = ref.need_unit(form.unit).id if form.unit else None
            found = replay(session, ref, proposal, since, until, now=now, target=form.target, unit_id=unit_id)
            answer = found.to_json(ref)
            changed = _numbers(session, answer["changed"][:SHOWN_TICKETS])
    except DubanError as wrong:
        return _show(request, run, looking, form, refused=refusal(wrong, language(request)))
    return _show(request, run, looking, form, answer=answer, changed=changed)


def _midnight(text: str, name: str, zone: Any, *, days: int = 0) -> datetime:
    """The start of the day ``days`` after the date in a form field. Raises ``Invalid``."""
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time(tzinfo=zone))
    except (ValueError, OverflowError):
        raise Invalid.at(f"/{name}", "日期写作 2026-02-17", "a date is written 2026-02-17") from None


def _numbers(session: Session, ids: list[int]) -> list[tuple[int, str]]:
    numbers = store.numbers_of(session, ids)
    return [(ticket_id, numbers[ticket_id]) for ticket_id in ids]


def _show(
    request: Request, run: Runtime, looking: Visitor, form: ReplayForm, *,
    answer: dict[str, Any] | None = None, changed: list[tuple[int, str]] | None = None, refused: Any = None,
) -> Response:  # fmt: skip
    lang = language(request)
    t = texts(lang)
    with run.reading() as (_, ref):
        units, calendars = unit_choices(ref, looking.who, lang), sorted(ref.calendars)

    def named(row: dict[str, Any]) -> str:
        return (row["name_en"] if lang == "en" else None) or row["name"] or t("board.no_unit")

    return page(
        request, "rules/replay.html", status=refused.status if refused else 200, asked=form, answer=answer, outcome=refused,
        bars=pairs(answer["by_unit"], named) if answer else [], named=named, changed=changed or [], units=units,
        calendars=calendars, targets=TARGETS,
    )  # fmt: skip
