"""Callbacks (回访): an attempt is recorded, and closes the ticket, reopens it, or awaits the next attempt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.tickets.lifecycle import DISSATISFIED, callback_verdict
from app.domain.words import OUTCOME, SATISFACTION
from app.errors import FieldProblem, Invalid
from app.models import Callback, Ticket
from app.security.principal import Principal
from app.services.core.unit_of_work import UnitOfWork
from app.services.orders import book as order_book
from app.services.tickets.actions import reopen
from app.services.tickets.change import Change, begin, finish
from app.store import tickets as store

SCORES = ("speed", "attitude", "result_score")


def half_day(at: datetime, time_zone: str) -> tuple[str, bool]:
    """The half-day of ``at`` in local time: its date, and whether it is the afternoon."""
    local = at.astimezone(ZoneInfo(time_zone))
    return local.date().isoformat(), local.hour >= 12


def check(params: Mapping[str, Any]) -> None:
    """Check the answers for consistency; raises Invalid with a pointer to each problem."""
    found: list[FieldProblem] = []
    outcome, satisfaction, resolved = (params.get(k) for k in ("outcome", "satisfaction", "resolved"))
    if outcome not in OUTCOME:
        found.append(FieldProblem("/outcome", f"应为 {'、'.join(OUTCOME)} 之一", f"one of {', '.join(OUTCOME)}"))
    if satisfaction is not None and satisfaction not in SATISFACTION:
        words = ", ".join(SATISFACTION)
        found.append(FieldProblem("/satisfaction", f"应为 {words} 之一或 null", f"one of {words}, or null"))
    if resolved is not None and not isinstance(resolved, bool):
        found.append(FieldProblem("/resolved", "应为 true、false 或 null", "true, false or null"))
    for name in SCORES:
        score = params.get(name)
        if score is not None and (not isinstance(score, int) or isinstance(score, bool) or not 1 <= score <= 5):
            found.append(FieldProblem(f"/{name}", "应为 1 至 5 的整数", "a whole number from 1 to 5"))
    answers = [k for k in ("satisfaction", "resolved", *SCORES) if params.get(k) is not None]
    if outcome in ("no_answer", "refused") and answers:
        found.append(
            FieldProblem(
                f"/{answers[0]}",
                "未接通或拒绝回访时不能填写评价",
                "there can be no answer where the citizen was not reached",
            )
        )
    if found:
        raise Invalid(found)


def _unanswered_half_days(change: Change, zone: str) -> int:
    earlier = store.callbacks_of(change.session, change.ticket.id)
    moments = [c.at for c in earlier if c.round == change.ticket.round and c.outcome == "no_answer"]
    return len({half_day(m, zone) for m in [*moments, change.at]})


def record(
    uow: UnitOfWork,
    who: Principal,
    ticket_id: int,
    params: Mapping[str, Any],
    *,
    at: datetime | None,
    if_match: int | None = None,
) -> Ticket:
    """Record one attempt and apply it: satisfied or refused closes the ticket, dissatisfied reopens it and issues or
    advances its supervision order, three unanswered attempts in three half-days close it as unreachable.

    Raises the errors of ``actions.act``.
    """
    change, _ = begin(uow, who, ticket_id, "callback", params, at=at, if_match=if_match)
    check(params)
    remark = change.text("remark", required=False)
    ticket = change.ticket
    outcome, satisfaction, resolved = params["outcome"], params.get("satisfaction"), params.get("resolved")
    zone = uow.ref.calendar_for(ticket.unit_id)[1].time_zone
    half_days = _unanswered_half_days(change, zone) if outcome == "no_answer" else 0
    verdict = callback_verdict(outcome, satisfaction, resolved, half_days)
    scores = {name: params.get(name) for name in SCORES}
    row = Callback(ticket_id=ticket.id, round=ticket.round, at=change.at, outcome=outcome, satisfaction=satisfaction,
                   resolved=resolved, remark=remark, actor=who.actor, **scores)  # fmt: skip
    uow.session.add(row)
    uow.session.flush()
    change.meet("callback")
    change.resolve(["callback"], "called_back")
    if outcome == "reached":
        ticket.satisfaction, ticket.resolved = satisfaction, resolved
    if satisfaction in DISSATISFIED:
        ticket.dissatisfied += 1
    if verdict == "wait":
        change.open(
            "callback"
        )  # the next attempt has a limit of its own: a citizen who did not answer is not forgotten
    change.log("called_back", callback=row.id, outcome=outcome, satisfaction=satisfaction, resolved=resolved,
               remark=remark, attempt_half_days=half_days or None, **scores)  # fmt: skip
    if verdict == "wait":
        return finish(change, None)
    if verdict == "reopen":
        reopen(change, remark, because="callback")
        ticket.status = "reopened"
        order_book.trigger(uow, ticket, "dissatisfied", actor=who.actor, at=change.at)
        return finish(change, "reopened")
    ticket.closed_at = change.at
    change.log("closed", because="unreachable" if outcome == "no_answer" else outcome)
    order_book.close_on_satisfied(uow, ticket, who, change.at)
    return finish(change, "closed")
