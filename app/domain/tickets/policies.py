"""Deadline policies: the limits that apply to a ticket, and the choice between several matching policies.

A policy has conditions (``match``; an omitted criterion is not tested) and limits. ``choose`` applies the first matching
policy in this order; ``explain_choice`` returns the reasons in words:

1. one that names the ticket's priority, if that is raised (urgent, emergency): an emergency is never outranked by a
   rule about its kind;
2. the one with more criteria;
3. the criteria themselves: unit, category, severity, kind, source, priority, in this order;
4. with equal criteria: the deeper unit, then the deeper category;
5. the later ``valid_from``; then the code, in alphabetical order.

Of one code, the highest version in force at the moment of the ticket counts. Defaults: ``domain.md``, whose table names
the rules of Bengbu, Suining, Shanghai, Guangdong, Shandong and Beijing that they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from app.domain.time.limit import Limit
from app.domain.words import KIND, PRIORITY, SEVERITY, Words, say
from app.errors import NotFound

TARGETS: Final = ("accept", "contact", "complete", "callback", "supervise")
CRITERIA: Final = ("unit", "category", "severity", "kind", "source", "priority")
"""The criteria of a policy, in tie-break order."""
RAISED: Final = ("urgent", "emergency")

_COUNTS: Final = ("extension_days", "extensions", "return_days", "max_returns")
_CRITERION_ZH: Final = {
    "unit": "责任单位", "category": "分类", "severity": "严重程度", "kind": "类型", "source": "来源", "priority": "紧急程度",
}  # fmt: skip
_WORDS: Final[Mapping[str, Words]] = {"kind": KIND, "priority": PRIORITY, "severity": SEVERITY}


@dataclass(frozen=True, slots=True)
class Subject:
    """The facts of one ticket that policies are matched against. Paths hold codes from the root to the leaf."""

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
        """Whether the policy is valid at ``at``; always for None."""
        if at is None:
            return True
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_to is None or at < self.valid_to)

    def to_spec(self) -> dict[str, Any]:
        """The policy as an object of JSON and TOML values; empty members are omitted."""
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
    """A candidate policy: whether it matches, and the conditions met or the one that failed, in words."""

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
    """Return the most specific policy that matches ``subject``. Raises ``NotFound`` if none does."""
    matching = [policy for policy in _candidates(policies, subject.at) if _failed(policy, subject) is None]
    if not matching:
        raise NotFound(
            "没有适用的时限规则；请设一条不带条件的规则", "no policy applies; there should be one without conditions"
        )
    return min(matching, key=lambda policy: rank(policy, subject)) if len(matching) > 1 else matching[0]


def explain_choice(policies: Sequence[Policy], subject: Subject) -> PolicyChoice:
    """Return the choice of ``choose`` with the reasons for it and for each other candidate. Raises ``NotFound``."""
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
        other = latest.get(policy.code)
        if policy.in_force(at) and (other is None or other.version < policy.version):
            latest[policy.code] = policy
    return latest.values()


def rank(policy: Policy, subject: Subject) -> tuple[Any, ...]:
    """The sort key of a policy that matches ``subject``: the smallest applies. The module docstring defines the order."""
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
    """The first criterion of ``policy`` that ``subject`` does not meet, or None if it meets all."""
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
    criteria = [(key, policy.match[key]) for key in CRITERIA if key in policy.match]
    if not criteria:
        return "没有条件，适用于其余工单", "no conditions: it is for all other tickets"
    zh = "，".join(f"{_CRITERION_ZH[key]}为{'、'.join(_in_chinese(key, values))}" for key, values in criteria)
    return f"{zh}（{len(criteria)} 项条件）", ", ".join(f"{key} is {' or '.join(values)}" for key, values in criteria)


def _in_chinese(criterion: str, codes: Sequence[str]) -> list[str]:
    """The Chinese names of codes; codes of a tree or a source, whose names are not known here, unchanged."""
    words = _WORDS.get(criterion, {})
    return [say(words, code) for code in codes]


# -- the defaults of a fresh installation ------------------------------------------------------------------------------


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
