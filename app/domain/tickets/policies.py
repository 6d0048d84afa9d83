"""Deadline policies: which limits a ticket is judged by, and which of several policies applies to it.

A policy has conditions (``match``; a criterion that it leaves out is not tested) and limits. ``choose`` applies the first
matching policy in this order; ``explain_choice`` words the reasons:

1. one that names the ticket's priority, where that is raised (urgent, emergency): an emergency is never outranked by a
   rule about its kind;
2. the one that asks about more things;
3. what it asks about: unit, category, severity, kind, source, priority, in this order;
4. where both ask about the same: the deeper unit, then the deeper category;
5. the later ``valid_from``; then the code, in alphabetical order.

Of one code, the highest version in force at the moment of the ticket counts. Defaults: ``domain.md``, whose table names
the rules of Bengbu, Suining, Shanghai, Guangdong, Shandong and Beijing that they come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, cast

from app.domain.time.limit import Limit
from app.domain.words import KIND, PRIORITY, SEVERITY, TARGET, Words, say
from app.errors import FieldProblem, Invalid, NotFound

TARGETS: Final = ("accept", "contact", "complete", "callback", "supervise")
CRITERIA: Final = ("unit", "category", "severity", "kind", "source", "priority")
"""What a policy may ask about; in the order that breaks a tie."""
RAISED: Final = ("urgent", "emergency")

_COUNTS: Final = {
    "extension_days": (0, 365),
    "extensions": (0, 20),
    "return_days": (0, 365),
    "max_returns": (0, 20),
}
_CRITERION_ZH: Final = {
    "unit": "责任单位", "category": "分类", "severity": "严重程度", "kind": "类型", "source": "来源", "priority": "紧急程度",
}  # fmt: skip
_WORDS: Final[Mapping[str, Words]] = {"kind": KIND, "priority": PRIORITY, "severity": SEVERITY}
_CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_KEYS = frozenset(
    {"code", "version", "name_zh", "name_en", "match", "limits", "calendar", "valid_from", "valid_to", *_COUNTS}
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What policies are matched by, of one ticket. The paths hold codes from the root to the leaf."""

    source: str | None = None
    kind: str | None = None
    category_path: tuple[str, ...] = ()
    priority: str | None = "normal"
    severity: str | None = None
    unit_path: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True)
class Policy:
    """A version of a policy. ``valid_from`` ≤ moment < ``valid_to``; ``extension_days`` and ``return_days`` are
    working days; ``max_returns`` 2: a third return is not possible."""

    code: str
    version: int
    name_zh: str
    name_en: str
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    extension_days: int = 10
    extensions: int = 1
    return_days: int = 2
    max_returns: int = 2
    calendar: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "match", MappingProxyType(dict(self.match)))
        object.__setattr__(self, "limits", MappingProxyType(dict(self.limits)))

    def __hash__(self) -> int:
        return hash((self.code, self.version))

    def name(self, lang: str) -> str:
        """Its name in ``lang``."""
        return self.name_en if lang == "en" else self.name_zh

    def in_force(self, at: datetime | None) -> bool:
        """Whether the policy is valid at ``at``; at no particular moment, it is."""
        if at is None:
            return True
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_to is None or at < self.valid_to)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Policy:
        """A policy from its object (as ``to_spec`` writes it, and TOML holds it). Raises ``Invalid`` with pointers."""
        return _read(spec)

    def to_spec(self) -> dict[str, Any]:
        """The policy as an object of JSON and TOML values; what is empty is left out."""
        spec: dict[str, Any] = {"code": self.code, "version": self.version}
        spec |= {"name_zh": self.name_zh, "name_en": self.name_en}
        spec["match"] = {key: list(self.match[key]) for key in CRITERIA if key in self.match}
        spec["limits"] = {target: self.limits[target].to_spec() for target in TARGETS if target in self.limits}
        spec |= {key: getattr(self, key) for key in _COUNTS}
        if self.calendar is not None:
            spec["calendar"] = self.calendar
        for key in ("valid_from", "valid_to"):
            moment = getattr(self, key)
            if moment is not None:
                spec[key] = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return spec


@dataclass(frozen=True, slots=True)
class ConsideredPolicy:
    """A candidate policy: whether it matches, and the conditions it meets or the one it fails."""

    policy: Policy
    matches: bool
    why_zh: str
    why_en: str


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """The policy that applies, why, and all candidates: those that match in order, then the others by code."""

    policy: Policy
    why_zh: str
    why_en: str
    considered: tuple[ConsideredPolicy, ...]


def choose(policies: Iterable[Policy], subject: Subject) -> Policy:
    """The policy that applies to ``subject``, the most specific one. Raises ``NotFound`` where none matches."""
    matching = [policy for policy in _candidates(policies, subject.at) if _failed(policy, subject) is None]
    if not matching:
        raise NotFound(
            "没有适用的时限政策；请设一条不带条件的政策", "no policy applies; there should be one without conditions"
        )
    return min(matching, key=lambda policy: rank(policy, subject)) if len(matching) > 1 else matching[0]


def explain_choice(policies: Sequence[Policy], subject: Subject) -> PolicyChoice:
    """What ``choose`` chooses, with the reason for it and for each other candidate. Raises ``NotFound`` as it does."""
    chosen = choose(policies, subject)
    matching, others = [], []
    for policy in _candidates(policies, subject.at):
        failed = _failed(policy, subject)
        if failed is None:
            matching.append(ConsideredPolicy(policy, True, *_met(policy)))
        else:
            others.append(ConsideredPolicy(policy, False, *_unmet(policy, subject, failed)))
    matching.sort(key=lambda one: rank(one.policy, subject))
    others.sort(key=lambda one: one.policy.code)
    return PolicyChoice(chosen, matching[0].why_zh, matching[0].why_en, (*matching, *others))


def _candidates(policies: Iterable[Policy], at: datetime | None) -> Iterable[Policy]:
    """Of each code, the highest version in force at ``at``."""
    latest: dict[str, Policy] = {}
    for policy in policies:
        held = latest.get(policy.code)
        if policy.in_force(at) and (held is None or held.version < policy.version):
            latest[policy.code] = policy
    return latest.values()


def rank(policy: Policy, subject: Subject) -> tuple[Any, ...]:
    """The sort key of a policy that matches ``subject``: the smallest applies. The order is the module's docstring."""
    raised = "priority" in policy.match and subject.priority in RAISED
    since = policy.valid_from.timestamp() if policy.valid_from else float("-inf")
    return (
        not raised,
        -len(policy.match),
        tuple(key not in policy.match for key in CRITERIA),
        -_depth(policy.match.get("unit", ()), subject.unit_path),
        -_depth(policy.match.get("category", ()), subject.category_path),
        -since,
        policy.code,
    )


def _depth(wanted: tuple[str, ...], path: tuple[str, ...]) -> int:
    return max((n + 1 for n, code in enumerate(path) if code in wanted), default=0)


def _values(subject: Subject, criterion: str) -> tuple[str, ...]:
    if criterion == "category":
        return subject.category_path
    if criterion == "unit":
        return subject.unit_path
    value = getattr(subject, criterion)
    return () if value is None else (value,)


def _failed(policy: Policy, subject: Subject) -> str | None:
    """The first criterion of ``policy`` that ``subject`` does not meet, or None where it meets all."""
    for criterion, wanted in policy.match.items():
        if not any(value in wanted for value in _values(subject, criterion)):
            return criterion
    return None


def _unmet(policy: Policy, subject: Subject, criterion: str) -> tuple[str, str]:
    wanted, found = policy.match[criterion], _values(subject, criterion)
    zh, has_zh = _in_chinese(criterion, wanted), _in_chinese(criterion, found)
    return (
        f"{_CRITERION_ZH[criterion]}应为{'、'.join(zh)}，实为{'/'.join(has_zh) or '空'}",
        f"{criterion} should be {' or '.join(wanted)}, and is {'/'.join(found) or 'empty'}",
    )


def _met(policy: Policy) -> tuple[str, str]:
    asked = [(key, policy.match[key]) for key in CRITERIA if key in policy.match]
    if not asked:
        return "没有条件，适用于其余工单", "no conditions: it is for all other tickets"
    zh = "，".join(f"{_CRITERION_ZH[key]}为{'、'.join(_in_chinese(key, values))}" for key, values in asked)
    return f"{zh}（{len(asked)} 项条件）", ", ".join(f"{key} is {' or '.join(values)}" for key, values in asked)


def _in_chinese(criterion: str, codes: Sequence[str]) -> list[str]:
    """What codes are called; those of a tree or a source, whose names are not known here, as they are."""
    words = _WORDS.get(criterion, {})
    return [say(words, code) for code in codes]


# -- reading -----------------------------------------------------------------------------------------------------------


def _read(spec: Any) -> Policy:
    if not isinstance(spec, Mapping):
        raise Invalid.at("", "政策应为对象", "a policy is an object with code, match and limits")
    problems: list[FieldProblem] = [
        FieldProblem(f"/{key}", "没有这个字段", f"no such field; there are {', '.join(sorted(_KEYS))}")
        for key in sorted(str(k) for k in spec if k not in _KEYS)
    ]
    code, version = spec.get("code"), spec.get("version", 1)
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        problems.append(
            FieldProblem("/code", "应为 1–64 个小写字母、数字、- _ .", "must be 1–64 of a–z, 0–9, - _ . in lower case")
        )
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        problems.append(FieldProblem("/version", "应为不小于 1 的整数", "must be a whole number from 1"))
    names = {}
    for key in ("name_zh", "name_en"):
        names[key] = spec.get(key, spec.get("name_zh", code))
        if not isinstance(names[key], str) or not 0 < len(names[key]) <= 200:
            problems.append(FieldProblem(f"/{key}", "应为 1–200 个字", "must be 1–200 characters"))
    counts = {key: _count(spec.get(key, getattr(Policy, key)), key, problems) for key in _COUNTS}
    match = _match(spec.get("match", {}), problems)
    limits = _limits(spec.get("limits", {}), problems)
    calendar = spec.get("calendar")
    if calendar is not None and (not isinstance(calendar, str) or not 0 < len(calendar) <= 64):
        problems.append(FieldProblem("/calendar", "应为日历编码", "must be the code of a calendar"))
    since, until = (_moment(spec.get(key), f"/{key}", problems) for key in ("valid_from", "valid_to"))
    if since is not None and until is not None and until <= since:
        problems.append(FieldProblem("/valid_to", "应晚于 valid_from", "must be after valid_from"))
    if problems:
        raise Invalid(problems)
    return Policy(cast(str, code), cast(int, version), names["name_zh"], names["name_en"], match, limits,
                  **counts, calendar=calendar, valid_from=since, valid_to=until)  # fmt: skip


def _count(value: Any, key: str, problems: list[FieldProblem]) -> int:
    low, high = _COUNTS[key]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        problems.append(
            FieldProblem(f"/{key}", f"应为 {low}–{high} 的整数", f"must be a whole number from {low} to {high}")
        )
        return low
    return value


def _match(value: Any, problems: list[FieldProblem]) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        problems.append(FieldProblem("/match", "应为对象", 'must be an object, {"kind": ["consult"]}'))
        return {}
    found = {}
    for key, wanted in value.items():
        values = (wanted,) if isinstance(wanted, str) else wanted
        if key not in CRITERIA:
            problems.append(
                FieldProblem(
                    f"/match/{key}", f"应为 {'、'.join(CRITERIA)} 之一", f"must be one of {', '.join(CRITERIA)}"
                )
            )
        elif (
            not isinstance(values, list | tuple)
            or not 0 < len(values) <= 200
            or not all(isinstance(one, str) and one for one in values)
        ):
            problems.append(FieldProblem(f"/match/{key}", "应为编码或编码列表", "must be a code or a list of codes"))
        else:
            found[key] = tuple(values)
    return found


def _limits(value: Any, problems: list[FieldProblem]) -> dict[str, Limit]:
    if not isinstance(value, Mapping):
        problems.append(FieldProblem("/limits", "应为对象", "must be an object of targets and limits"))
        return {}
    found = {}
    for target, spec in value.items():
        if target not in TARGETS:
            problems.append(
                FieldProblem(
                    f"/limits/{target}",
                    f"应为 {'、'.join(f'{t}（{TARGET[t][0]}）' for t in TARGETS)} 之一",
                    f"must be one of {', '.join(TARGETS)}",
                )
            )
            continue
        try:
            found[target] = Limit.from_spec(spec, pointer=f"/limits/{target}", positive=True)
        except Invalid as wrong:
            problems.extend(wrong.problems)
    return found


def _moment(value: Any, pointer: str, problems: list[FieldProblem]) -> datetime | None:
    """A moment as RFC 3339 text, or as TOML's own date-time."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = False
    if moment is None:
        return None
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        problems.append(
            FieldProblem(
                pointer,
                "应为带时区的时间，如 2026-03-02T00:00:00+08:00",
                "must be a time with its offset, such as 2026-03-02T00:00:00+08:00",
            )
        )
        return None
    return moment.astimezone(UTC)


# -- what a new office begins with -------------------------------------------------------------------------------------


def _days(amount: int) -> Limit:
    return Limit("working_days", amount)


_COMMON: Final = {
    "accept": _days(1),
    "contact": _days(1),
    "complete": _days(5),
    "callback": _days(1),
    "supervise": _days(3),
}
_DEFAULT: Final = Policy("default", 1, "一般事项", "All other matters", {}, _COMMON)

DEFAULT_POLICIES: Final[tuple[Policy, ...]] = (
    _DEFAULT,
    replace(_DEFAULT, code="consult", name_zh="咨询", name_en="Consultations", match={"kind": ("consult",)},
            limits={**_COMMON, "complete": _days(2)}),
    replace(_DEFAULT, code="complex", name_zh="复杂纠纷", name_en="Complex disputes",
            match={"kind": ("dispute",), "severity": ("major", "grave")}, limits={**_COMMON, "complete": _days(15)}),
    replace(_DEFAULT, code="emergency", name_zh="特急事项", name_en="Emergencies", match={"priority": ("emergency",)},
            limits={**_COMMON, "accept": Limit("hours", 0.5), "contact": Limit("hours", 1),
                    "complete": Limit("hours", 2)}),
)  # fmt: skip
"""Accept 1 working day, contact 1, complete 5 (consult 2, complex 15, emergency 2 natural hours), callback the next
working day, supervise 3."""
