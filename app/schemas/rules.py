"""Answers about deadline policies and supervision ladders."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from app.schemas.codes import Card, Stage, Target
from app.schemas.common import Answer, CodeName, JsonBody, TwoLanguages, example
from app.schemas.deadline import LIMIT, MOVES, LimitOut, Moves
from app.schemas.moment import Moment, ShownMoment

_SPEC: Final[dict[str, Any]] = {
    "code": "noise", "version": 1, "name_zh": "噪声投诉", "name_en": "Noise", "match": {"kind": ["complaint"]},
    "limits": {"accept": {**LIMIT, "amount": 1}, "complete": {**LIMIT, "amount": 3}}, "extension_days": 10,
    "extensions": 1, "return_days": 2, "max_returns": 2,
}  # fmt: skip
_POLICY: Final[dict[str, Any]] = {
    **_SPEC, "id": 3, "in_force": True, "who": "system:duban", "when": "2026-11-26T04:34:58+08:00", "retired_at": None,
}  # fmt: skip
_COUNT: Final[dict[str, Any]] = {
    "tickets": 71, "overdue_before": 1, "overdue_after": 13, "becomes_overdue": 12, "becomes_on_time": 0,
}  # fmt: skip
POLICY_EXAMPLES: Final[list[Any]] = [
    {
        "code": "noise", "name_zh": "噪声投诉", "name_en": "Noise", "match": {"kind": ["complaint"]},
        "limits": {"accept": {"unit": "working_hours", "amount": 4}, "complete": {"unit": "working_days", "amount": 3}},
    }
]  # fmt: skip
POLICY_CHANGE_EXAMPLE: Final[dict[str, Any]] = {"limits": {"complete": {"unit": "working_days", "amount": 7}}}
POLICY_TOML_EXAMPLE: Final = (
    '[[policy]]\ncode = "noise"\nname_zh = "噪声投诉"\nmatch = { kind = ["complaint"] }\n'
    'limits = { complete = { unit = "working_days", amount = 3 } }\n'
)
LADDER_EXAMPLE: Final[dict[str, Any]] = {
    "code": "shandong", "rungs": [
        {"code": "due", "target": "complete", "card": "yellow", "notify": ["unit"], "name": "到期", "name_en": "Due"}],
}  # fmt: skip


class DescribedIn(JsonBody):
    """A ticket, described by codes."""

    model_config = ConfigDict(json_schema_extra=example({"kind": "consult", "priority": "normal", "unit": "GA"}))
    source: str | None = Field(default=None, max_length=64)
    kind: str | None = Field(default=None, max_length=64)
    category: str | None = Field(default=None, max_length=64)
    priority: str | None = Field(default=None, max_length=64)
    severity: str | None = Field(default=None, max_length=64)
    unit: str | None = Field(default=None, max_length=64)
    at: Moment | None = Field(default=None, description="received at; default: now")


class ReplayIn(JsonBody):
    """A proposal, and the tickets on which it is tried: those received from ``from`` until before ``to``."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        json_schema_extra=example(
            {"policy": {"code": "default", "name_zh": "一般事项",
                        "limits": {"complete": {"unit": "working_days", "amount": 3}}},
             "from": "2026-01-01T00:00:00+08:00", "to": "2026-04-01T00:00:00+08:00"}
        ),
    )  # fmt: skip
    policy: dict[str, Any] | None = Field(default=None, description="a policy, in place of the one with its code")
    policies: list[dict[str, Any]] = Field(default=[], max_length=200, description="several")
    calendar: dict[str, Any] | None = Field(default=None, description="a calendar as an object")
    calendar_code: str = Field(default="cn", max_length=64, description="of the calendar it replaces")
    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to")
    target: Target = "complete"
    unit: str | None = Field(default=None, max_length=64, description="of its subtree only")


class PolicySpec(Answer):
    """The content of a policy."""

    code: str
    version: int
    name_zh: str
    name_en: str
    match: dict[str, list[str]]
    limits: dict[Target, LimitOut]
    extension_days: int
    extensions: int
    return_days: int
    max_returns: int
    calendar: str | None = Field(default=None, description="code of its own calendar; left out: the unit's")
    valid_from: ShownMoment | None = None
    valid_to: ShownMoment | None = None


class PolicyOut(PolicySpec):
    """A version of a policy."""

    model_config = ConfigDict(json_schema_extra=example(_POLICY))

    id: int
    in_force: bool
    who: str
    when: ShownMoment
    retired_at: ShownMoment | None


class SavedPolicyOut(PolicyOut, Moves):
    """A policy that was written, with the deadlines that moved."""

    model_config = ConfigDict(json_schema_extra=example({**_POLICY, "changed": True, **MOVES}))

    changed: bool


class PolicyImportOut(Moves):
    """The codes of the policies of a file, by what became of them, with the deadlines that moved."""

    model_config = ConfigDict(
        json_schema_extra=example({"created": ["noise"], "changed": [], "unchanged": ["default"], **MOVES})
    )

    created: list[str]
    changed: list[str]
    unchanged: list[str]


class ConsideredPolicyOut(Answer):
    """A candidate policy: whether it matches, and why or why not."""

    code: str
    version: int
    name: str
    name_en: str
    matches: bool
    why: str
    why_en: str


class PolicyPreviewOut(Answer):
    """Which policy applies to a ticket, and why."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"policy": _SPEC, "why": "类型为投诉（1 项条件）", "why_en": "kind is complaint",
             "considered": [{"code": "noise", "version": 1, "name": "噪声投诉", "name_en": "Noise", "matches": True,
                             "why": "类型为投诉（1 项条件）", "why_en": "kind is complaint"}],
             "limits_in_words": {"complete": {"zh": "3 个工作日，末日下班时到期",
                                              "en": "3 working days, due at the close of business of the last day"}}}
        )
    )  # fmt: skip

    policy: PolicySpec
    why: str
    why_en: str
    considered: list[ConsideredPolicyOut]
    limits_in_words: dict[Target, TwoLanguages]


class ReplayCountOut(Answer):
    """How many tickets would change sides."""

    tickets: int
    overdue_before: int
    overdue_after: int
    becomes_overdue: int
    becomes_on_time: int


class ReplayUnitOut(CodeName, ReplayCountOut):
    """The same for one unit; no code for tickets without a unit."""


class ReplayOut(Answer):
    """Past tickets judged by a proposal."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"from": "2026-10-01T00:00:00+08:00", "to": "2026-11-01T00:00:00+08:00", "target": "complete",
             "total": _COUNT, "by_unit": [{"code": "CG-SZ", "name": "市政设施管理所", "name_en": "Municipal Facilities",
                                           **_COUNT}],
             "moved": 516, "provisional": 0, "bound_by_source": 0, "changed": [1223], "changed_count": 87}
        )
    )  # fmt: skip

    from_: ShownMoment = Field(alias="from")
    to: ShownMoment
    target: Target
    total: ReplayCountOut
    by_unit: list[ReplayUnitOut]
    moved: int = Field(description="deadlines that would differ")
    provisional: int = Field(description="deadlines that rest on an unpublished year")
    bound_by_source: int = Field(description="tickets whose source sets the deadline")
    changed: list[int] = Field(description="ids of the first tickets that change sides")
    changed_count: int


class RungOut(Answer):
    """One rung of a ladder."""

    code: str
    target: Target
    offset: LimitOut | None = Field(description="from the deadline; null: at the deadline")
    card: Card | None
    stage: Stage | None
    notify: list[str] = Field(description="roles")
    order: bool = Field(description="issues a supervision order")
    name: str
    name_en: str
    terms: tuple[int, int | None] = Field(description="first and last term of an order; null: every later one")


class LadderOut(Answer):
    """A version of a supervision ladder."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"code": "default", "version": 1, "rungs": [
                {"code": "accept_due", "target": "accept", "offset": None, "card": "yellow", "stage": None,
                 "notify": ["unit"], "order": False, "name": "签收超时", "name_en": "Not signed for", "terms": [1, None]}],
             "who": "system:duban", "when": "2026-11-26T04:34:58+08:00"}
        )
    )  # fmt: skip

    code: str
    version: int
    rungs: list[RungOut]
    who: str
    when: ShownMoment
