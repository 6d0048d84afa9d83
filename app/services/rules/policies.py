"""Stored deadline policies: versions, import and export as TOML, and the match for a described ticket.

A version is immutable: an edit writes the next one. It applies to new tickets; open ones keep the version they pin, unless
they are moved to it on demand (``recompute.after_policy``). There must always be one policy without conditions and
without an end, so that every ticket has a limit.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

import tomli_w
from sqlmodel import Session

from app.domain.tickets.policies import Policy, PolicyChoice, Subject, explain_choice
from app.domain.words import KIND, PRIORITY, SEVERITY
from app.errors import Conflict, FieldProblem, Invalid, NotFound
from app.models import PolicyVersion
from app.schemas.policy import read_policy
from app.security.permissions import require
from app.security.principal import Principal
from app.services.core.reference import Node, Reference, read_reference, touch
from app.services.core.views import moment
from app.services.rules import reach as reaches
from app.store import reference as store
from app.validation import problem

_WORDS: Final[Mapping[str, Mapping[str, Any]]] = {"kind": KIND, "priority": PRIORITY, "severity": SEVERITY}
LONGEST_FILE: Final = 1024 * 1024


def view(row: PolicyVersion, zone: tzinfo, *, in_force: bool) -> dict[str, Any]:
    """A policy version for a response."""
    return {
        **row.spec,
        "code": row.code,
        "version": row.version,
        "id": row.id,
        "in_force": in_force,
        "who": row.created_by,
        "when": moment(row.created_at, zone),
        "retired_at": moment(row.retired_at, zone),
    }


def listed(session: Session, zone: tzinfo, now: datetime, *, history: bool = False) -> list[dict[str, Any]]:
    """The latest version of each policy that is not retired; with ``history``, every version, the latest first."""
    rows = store.every_version(session, PolicyVersion)
    force = _in_force(rows, now)
    if not history:
        latest = {row.code: row for row in sorted(rows, key=lambda r: r.version)}
        rows = [row for row in latest.values() if row.retired_at is None]
    return [view(row, zone, in_force=row.id in force) for row in sorted(rows, key=lambda row: (row.code, -row.version))]


def shown(session: Session, zone: tzinfo, now: datetime) -> list[dict[str, Any]]:
    """The versions shown on the page: those in force, and the latest of each policy, which may not be in force yet."""
    found: dict[str, list[dict[str, Any]]] = {}
    for item in listed(session, zone, now, history=True):
        kept = found.setdefault(item["code"], [])
        if item["retired_at"] is None and (not kept or item["in_force"]):
            kept.append(item)
    return [item for items in found.values() for item in items]


def _in_force(rows: Sequence[PolicyVersion], now: datetime) -> set[int | None]:
    """The ids of the versions that a ticket received now is judged by."""
    held: dict[str, PolicyVersion] = {}
    for row in rows:
        overtaken = row.code in held and held[row.code].version > row.version
        if not overtaken and row.retired_at is None and as_policy(row).in_force(now):
            held[row.code] = row
    return {row.id for row in held.values()}


def in_force_now(session: Session, now: datetime) -> set[int | None]:
    """The ids of the versions that a ticket received now is judged by."""
    return _in_force(store.every_version(session, PolicyVersion), now)


def as_policy(row: PolicyVersion) -> Policy:
    """The policy of a stored version."""
    return read_policy({**row.spec, "code": row.code, "version": row.version})


def create(session: Session, who: Principal, spec: Mapping[str, Any], now: datetime) -> PolicyVersion:
    """Create a policy. Raises Conflict if its code is in use, Invalid with pointers."""
    require(who, "deadlines.edit")
    touch(session)  # also the lock: edits wait for each other
    ref = read_reference(session)
    wanted = _checked(ref, spec)
    rows = store.every_version(session, PolicyVersion, wanted.code)
    if any(row.retired_at is None for row in rows):
        raise Conflict(f"编码 {wanted.code!r} 已被使用", f"the code {wanted.code!r} is taken", fields=["code"])
    return _write(session, who, wanted, rows, now)


def change(
    session: Session, who: Principal, code: str, fields: Mapping[str, Any], now: datetime
) -> tuple[PolicyVersion, bool]:
    """Write the next version of ``code`` with ``fields`` replaced (None removes a calendar or a moment); ``retired`` true
    ends the policy. Returns the version in force afterwards, and whether anything changed."""
    require(who, "deadlines.edit")
    touch(session)
    ref = read_reference(session)
    rows = store.every_version(session, PolicyVersion, code)
    live = [row for row in rows if row.retired_at is None]
    if not live:
        raise NotFound(f"没有规则 {code!r}", f"no policy has the code {code!r}")
    latest = max(live, key=lambda row: row.version)
    given = dict(fields)
    retired = given.pop("retired", False)
    if not isinstance(retired, bool):
        raise Invalid.at("/retired", "应为 true 或 false", "must be true or false")
    if given.get("code", code) != code:
        raise Invalid.at("/code", "编码不能改；请新建规则", "a code cannot change: make another policy")
    if retired:
        if given:
            raise Invalid.at("/retired", "停用时不能同时修改", "a policy cannot be changed and retired at once")
        for row in live:
            row.retired_at = now
            session.add(row)
        _keep_a_fallback(session, now)
        return latest, True
    before = as_policy(latest)
    spec = {k: v for k, v in {**before.to_spec(), **given}.items() if v is not None and k != "version"}
    wanted = _checked(ref, spec)
    if _same(before, wanted):
        return latest, False
    return _write(session, who, wanted, rows, now), True


def _write(
    session: Session, who: Principal, wanted: Policy, rows: Sequence[PolicyVersion], now: datetime
) -> PolicyVersion:
    version = max((row.version for row in rows), default=0) + 1
    spec = {**wanted.to_spec(), "version": version}
    row = PolicyVersion(code=wanted.code, version=version, spec=spec, created_by=who.actor, created_at=now)
    session.add(row)
    _keep_a_fallback(session, now)
    return row


def _same(one: Policy, other: Policy) -> bool:
    return {**one.to_spec(), "version": 0} == {**other.to_spec(), "version": 0}


def _keep_a_fallback(session: Session, now: datetime) -> None:
    session.flush()
    rows = store.every_version(session, PolicyVersion)
    force = _in_force(rows, now)
    for row in rows:
        policy = as_policy(row)
        if row.id in force and not policy.match and policy.valid_to is None and "complete" in policy.limits:
            return
    raise Conflict(
        "须始终保留一条在用的、不带条件、没有截止日期且含办结时限的规则，否则会有工单没有时限",
        "one policy must stay that is in force, without conditions, without an end and with a limit for `complete`: "
        "else some tickets would have no limit",
    )


def _checked(ref: Reference, spec: Mapping[str, Any]) -> Policy:
    """The policy of ``spec``. Every code must exist, since an unknown one would silently never match, and every limit must
    be certain to end, since otherwise each ticket would be rejected."""
    if isinstance(spec, dict):
        spec = {key: value for key, value in spec.items() if key != "version"}
    policy = read_policy(spec)
    problems: list[FieldProblem] = []
    finders = {"unit": ref.unit_by_code, "category": ref.category_by_code, "source": ref.source_by_code}
    for key, values in policy.match.items():
        for n, value in enumerate(values):
            words = _WORDS.get(key)
            known = value in words if words is not None else finders[key](value) is not None
            if not known:
                right = "、".join(words) if words else "已有的编码"
                problems.append(
                    FieldProblem(
                        f"/match/{key}/{n}",
                        f"没有 {value!r}；应为 {right}",
                        f"nothing is called {value!r}" + (f"; one of {', '.join(words)}" if words else ""),
                    )
                )
    if policy.calendar is not None and policy.calendar not in ref.calendars:
        listed = ", ".join(sorted(ref.calendars))
        problems.append(
            FieldProblem("/calendar", f"没有该日历，现有：{listed}", f"no such calendar; there are: {listed}")
        )
    problems += reaches.of_policy(ref, policy)
    if problems:
        raise Invalid(problems)
    return policy


# -- which would match -------------------------------------------------------------------------------------------------


def subject_of(ref: Reference, asked: Mapping[str, Any], at: datetime) -> Subject:
    """The matching facts of a ticket described by codes. Raises Invalid naming each unknown code."""
    problems: list[FieldProblem] = []

    def path(key: str, finder: Any) -> tuple[str, ...]:
        code = asked.get(key)
        node: Node | None = finder(code) if isinstance(code, str) else None
        if code is not None and node is None:
            problems.append(FieldProblem(f"/{key}", f"没有编码 {code!r}", f"nothing has the code {code!r}"))
        return node.codes if node else ()

    category, unit = path("category", ref.category_by_code), path("unit", ref.unit_by_code)
    source = asked.get("source")
    if source is not None and ref.source_by_code(source) is None:
        problems.append(FieldProblem("/source", f"没有来源 {source!r}", f"no source has the code {source!r}"))
    for key, words in _WORDS.items():
        if asked.get(key) is not None and asked[key] not in words:
            problems.append(
                FieldProblem(f"/{key}", f"应为 {'、'.join(words)} 之一", f"must be one of {', '.join(words)}")
            )
    if problems:
        raise Invalid(problems)
    return Subject(
        source, asked.get("kind"), category, asked.get("priority") or "normal", asked.get("severity"), unit, at
    )


def preview(ref: Reference, asked: Mapping[str, Any], at: datetime) -> PolicyChoice:
    """The policy for a ticket described by codes, the reason, and the failed condition of each other policy."""
    return explain_choice([policy for _, policy in ref.policies], subject_of(ref, asked, at))


def choice_view(choice: PolicyChoice) -> dict[str, Any]:
    """A policy choice for a response."""
    return {
        "policy": choice.policy.to_spec(),
        "why": choice.why_zh,
        "why_en": choice.why_en,
        "considered": [
            {
                "code": one.policy.code,
                "version": one.policy.version,
                "name": one.policy.name_zh,
                "name_en": one.policy.name_en,
                "matches": one.matches,
                "why": one.why_zh,
                "why_en": one.why_en,
            }
            for one in choice.considered
        ],
    }


# -- TOML --------------------------------------------------------------------------------------------------------------


@dataclass
class PolicyImport:
    """The outcome of each policy of a file, by code."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As answered."""
        return {"created": self.created, "changed": self.changed, "unchanged": self.unchanged}


def export_toml(ref: Reference, now: datetime) -> str:
    """The latest versions of all policies as TOML, one ``[[policy]]`` each; ``import_toml`` of it changes nothing. Those that
    are not in force at ``now`` are named in a comment at the top."""
    latest: dict[str, Policy] = {}
    for _, policy in ref.policies:
        if policy.code not in latest or latest[policy.code].version < policy.version:
            latest[policy.code] = policy
    specs = [latest[code].to_spec() for code in sorted(latest)]
    notes = [
        f"# {code} 第 {held.version} 版现未生效 / version {held.version} of {code} is not in force now\n"
        for code, held in sorted(latest.items())
        if not held.in_force(now)
    ]
    return "".join(notes) + tomli_w.dumps({"policy": specs})


def import_toml(session: Session, who: Principal, text: str, now: datetime) -> PolicyImport:
    """Write the policies of a file, all or none: new ones, and new versions of those that differ.

    Policies not in the file are unchanged. Raises Invalid with pointers such as ``/policy/2/limits/complete/amount``.
    """
    require(who, "deadlines.edit")
    specs = _read_toml(text)
    touch(session)
    ref = read_reference(session)
    problems: list[FieldProblem] = []
    wanted: list[Policy] = []
    for n, spec in enumerate(specs):
        try:
            wanted.append(_checked(ref, spec))
        except Invalid as wrong:
            problems += wrong.under(f"/policy/{n}").problems
    codes = [policy.code for policy in wanted]
    problems += [
        problem("duplicate", ["policy", n, "code"], value=code) for n, code in enumerate(codes) if code in codes[:n]
    ]
    if problems:
        raise Invalid(problems)
    done = PolicyImport()
    for policy in wanted:
        rows = store.every_version(session, PolicyVersion, policy.code)
        live = [row for row in rows if row.retired_at is None]
        if live and _same(as_policy(max(live, key=lambda row: row.version)), policy):
            done.unchanged.append(policy.code)
            continue
        version = max((row.version for row in rows), default=0) + 1
        session.add(
            PolicyVersion(code=policy.code, version=version, spec={**policy.to_spec(), "version": version},
                          created_by=who.actor, created_at=now)
        )  # fmt: skip
        (done.changed if live else done.created).append(policy.code)
    _keep_a_fallback(session, now)
    return done


def _read_toml(text: str) -> list[Any]:
    if len(text) > LONGEST_FILE:
        raise Invalid.at("", "文件超过 1 MiB", "the file is larger than 1 MiB")
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid.at("", f"不是合法的 TOML：{error}", f"not TOML: {error}") from None
    extra = [key for key in content if key != "policy"]
    specs = content.get("policy")
    if extra or not isinstance(specs, list) or not specs:
        raise Invalid.at(
            "/policy", "应为一条或多条 [[policy]]", "one or more [[policy]] are expected, and nothing else"
        )
    return specs
