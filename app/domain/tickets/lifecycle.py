"""The life of a ticket: the allowed transitions between states, and the roles that may make them.

    received → dispatched → accepted → completed → closed
    with  returned (→ dispatched to another unit), suspended (→ accepted), reopened (= accepted again, with fresh
    deadlines) and void.

The table below is the only definition; all other code calls ``step``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.domain.words import ACTION, STATUS, say
from app.errors import Conflict, FieldProblem, Forbidden, Invalid, NotAllowed

STAGES = ("assigned", "urged", "focused", "in_depth")
OPEN = frozenset({"received", "dispatched", "accepted", "returned", "suspended", "reopened"})
"""States in which the unit has not yet completed the ticket."""
COMPLETED = frozenset({"completed", "closed"})
OFFICE = frozenset({"admin", "dispatcher", "supervisor"})
"""The command centre's staff; only they may record past steps (``at``)."""

DISSATISFIED = frozenset({"dissatisfied", "very_dissatisfied"})
MAX_RETURNS = 2
"""A third return (退单) of one ticket is not possible: the office fixes the unit."""
CALLBACK_ATTEMPTS = 3
"""Attempts without an answer, each in another half-day, after which the citizen counts as unreachable."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table: source states, target state (``None``: unchanged), and allowed roles."""

    action: str
    sources: frozenset[str]
    to: str | None
    roles: frozenset[str]


def _row(action: str, sources: str, to: str | None, roles: str) -> Transition:
    return Transition(action, frozenset(sources.split()), to, frozenset(roles.split()) | {"admin"})


TABLE: Mapping[str, Transition] = {
    step.action: step
    for step in (
        _row("dispatch", "received returned", "dispatched", "dispatcher supervisor"),
        _row("accept", "dispatched reopened", "accepted", "unit dispatcher"),
        _row("return", "dispatched accepted", "returned", "unit dispatcher"),
        _row("reassign", "dispatched accepted reopened", "dispatched", "dispatcher supervisor"),
        _row("contact", "dispatched accepted reopened suspended", None, "unit dispatcher"),
        _row("suspend", "accepted reopened", "suspended", "unit dispatcher supervisor"),
        _row("resume", "suspended", "accepted", "unit dispatcher supervisor"),
        _row("extend", "dispatched accepted reopened suspended", None, "unit dispatcher supervisor"),
        _row("complete", "accepted reopened", "completed", "unit dispatcher"),
        _row("urge", "received dispatched accepted returned suspended reopened completed", None,
             "dispatcher supervisor caller integrator"),
        _row("callback", "completed", "closed", "caller supervisor dispatcher"),
        _row("reopen", "completed closed", "reopened", "dispatcher supervisor caller"),
        _row("void", "received dispatched accepted returned suspended reopened completed", "void",
             "dispatcher supervisor"),
        _row("correct", "received dispatched accepted returned suspended reopened completed", None,
             "dispatcher integrator"),
    )
}  # fmt: skip


TAKES: Mapping[str, frozenset[str]] = {
    action: frozenset(names.split())
    for action, names in {
        "dispatch": "unit", "accept": "", "return": "reason", "reassign": "unit reason", "contact": "note",
        "suspend": "reason until", "resume": "", "extend": "days reason", "complete": "result", "urge": "note",
        "reopen": "reason", "void": "reason",
    }.items()
}  # fmt: skip
"""The parameters that each action accepts besides ``at``; the action itself checks which are required."""


def check_params(action: str, params: Mapping[str, object]) -> None:
    """Reject parameters that ``action`` does not accept. Raises Invalid with a pointer to each."""
    wrong = [name for name, value in params.items() if value is not None and name not in TAKES[action]]
    if wrong:
        takes = sorted(TAKES[action] | {"at"})
        raise Invalid(
            FieldProblem(f"/{name}", f"“{say(ACTION, action)}”不用此项；可用：{'、'.join(takes)}",
                         f"not a parameter of {action}; allowed: {', '.join(takes)}")
            for name in wrong
        )  # fmt: skip


def allowed_actions(status: str, role: str | None = None) -> tuple[str, ...]:
    """The actions allowed in ``status`` (for ``role``, if given), in the table's order."""
    return tuple(a for a, s in TABLE.items() if status in s.sources and (role is None or role in s.roles))


def step(action: str, status: str, role: str) -> Transition:
    """Return the transition of ``action`` from ``status`` for ``role``.

    Raises Forbidden for a role that may never take it, NotAllowed (409) with the state and the allowed actions.
    """
    row = TABLE[action]
    if role not in row.roles:
        raise Forbidden(
            f"当前角色不能执行“{say(ACTION, action)}”，可执行的角色：{'、'.join(sorted(row.roles))}",
            f"this role may not {action}; roles that may: {', '.join(sorted(row.roles))}",
        )
    if status not in row.sources:
        allowed = allowed_actions(status)
        raise NotAllowed(
            f"工单处于“{say(STATUS, status)}”，不能{say(ACTION, action)}；"
            f"当前可执行：{'、'.join(say(ACTION, a) for a in allowed) or '无'}",
            f"the ticket is {status} and cannot {action}; allowed now: {', '.join(allowed) or 'nothing'}",
            state=status,
            allowed=allowed,
        )
    return row


def check_moment(at: datetime, now: datetime, latest: datetime, role: str, *, given: bool) -> None:
    """Check the moment ``at`` of a step: not after ``now``, not before the ticket's latest step (``latest``), and, if
    ``given`` by the caller, only from the office. Raises Forbidden or Invalid."""
    if not given:
        return
    if role not in OFFICE:
        raise Forbidden(
            "只有指挥中心人员可以补录过去的时间（at）", "only the command centre may record past times (`at`)"
        )
    if at > now:
        raise Invalid.at("/at", "不能晚于当前时间", "must not be in the future")
    if at < latest:
        raise Invalid.at(
            "/at",
            f"不能早于工单上一步的时间 {latest.isoformat()}",
            f"must not be before the ticket's latest step at {latest.isoformat()}",
        )


def check_return(returns: int) -> None:
    """Check that a ticket returned ``returns`` times may be returned again (Shandong 2020: twice at most). Raises Conflict."""
    if returns >= MAX_RETURNS:
        raise Conflict(
            f"该工单已退单 {returns} 次，不能第三次退单，由指挥中心指定承办单位",
            f"the ticket was returned {returns} times already; a third return is not possible, the office fixes the unit",
        )


def raised_stage(stage: str, at_least: str) -> str:
    """The higher of two stages: a stage is raised, never lowered."""
    return max(stage, at_least, key=STAGES.index)


def next_stage(stage: str) -> str:
    """One stage up, the last staying the last."""
    return STAGES[min(STAGES.index(stage) + 1, len(STAGES) - 1)]


def callback_verdict(outcome: str, satisfaction: str | None, resolved: bool | None, half_days: int) -> str:
    """The effect of a callback on a completed ticket: ``close``, ``reopen`` or ``wait`` for another attempt.

    ``half_days``: the number of different half-days with an unanswered attempt, this one included. A dissatisfied
    citizen reopens it (不满意重办), as does one who gives no grade but reports it as not resolved.
    """
    if outcome == "reached":
        if satisfaction in DISSATISFIED or (satisfaction is None and resolved is False):
            return "reopen"
        return "close"
    if outcome == "refused":
        return "close"
    return "close" if half_days >= CALLBACK_ATTEMPTS else "wait"
