"""The clear-out list (清零): which open tickets are on a month's list, why, and the outcome of each row of the last list.

On the first day of a month the list for the month before is frozen (domain.md, Clear-out ledger). A ticket is listed for
any of the reasons below; one that was on the last list and is still open remains listed in any case, so that a row leaves
the ledger only by being cleared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.words import CLEAR_OUT_REASON
from app.errors import FieldProblem, Invalid


@dataclass(frozen=True, slots=True)
class Rules:
    """The office's thresholds: N and M of domain.md, and its three thresholds with the fixed value two.

    Raises Invalid for a negative number of days, or a count below 1 that every ticket would meet.
    """

    overdue_working_days: int = 5
    suspended_days: int = 30
    reports: int = 2
    dissatisfied: int = 2
    order_term: int = 2

    def __post_init__(self) -> None:
        problems = [
            FieldProblem(f"/{name}", f"应不小于 {least}，现为 {value}", f"{least} or more is needed, not {value}")
            for name, least, value in (
                ("overdue_working_days", 0, self.overdue_working_days),
                ("suspended_days", 0, self.suspended_days),
                ("reports", 2, self.reports),
                ("dissatisfied", 1, self.dissatisfied),
                ("order_term", 1, self.order_term),
            )
            if value < least
        ]
        if problems:
            raise Invalid(problems)


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """The facts about one open ticket at the month's end that decide whether it is listed.

    ``overdue_working_days``: whole working days since its complete-deadline, 0 before it. ``reports``: how often the
    matter was reported, itself included. ``order_term``: of its live supervision order, 0 without one.
    ``suspended_days``: whole natural days of the current suspension, 0 without one. ``earlier_lists``: the number of
    earlier lists it was on; ``on_last``: whether it was on the last one.
    """

    overdue_working_days: int = 0
    reports: int = 1
    dissatisfied: int = 0
    order_term: int = 0
    suspended_days: int = 0
    relapsed: bool = False
    earlier_lists: int = 0
    on_last: bool = False


@dataclass(frozen=True, slots=True)
class ClearOutReason:
    """Why a ticket is listed: a code, and the sentence with its number in both languages."""

    code: str
    zh: str
    en: str

    def as_json(self) -> dict[str, str]:
        """As it is stored with the list."""
        return {"code": self.code, "zh": self.zh, "en": self.en}


def reasons(ticket: OpenTicket, rules: Rules) -> tuple[ClearOutReason, ...]:
    """The reasons to list ``ticket``, in the order of CLEAR_OUT_REASON; empty if it is not listed."""
    overdue, suspended = ticket.overdue_working_days, ticket.suspended_days
    found = []
    if overdue > rules.overdue_working_days:
        found.append(ClearOutReason("overdue", f"超期 {overdue} 个工作日", f"overdue by {overdue} working days"))
    if ticket.reports >= rules.reports:
        found.append(ClearOutReason("repeated", f"反映 {ticket.reports} 次", f"reported {ticket.reports} times"))
    if ticket.dissatisfied >= rules.dissatisfied:
        found.append(
            ClearOutReason(
                "dissatisfied", f"{ticket.dissatisfied} 次不满意", f"dissatisfied {ticket.dissatisfied} times"
            )
        )
    if ticket.order_term >= rules.order_term:
        found.append(
            ClearOutReason(
                "supervision", f"督办第 {ticket.order_term} 期", f"supervision order in term {ticket.order_term}"
            )
        )
    if suspended > rules.suspended_days:
        found.append(ClearOutReason("suspended", f"挂起 {suspended} 天", f"suspended for {suspended} days"))
    if ticket.relapsed:
        found.append(ClearOutReason("relapsed", *CLEAR_OUT_REASON["relapsed"]))
    if ticket.on_last and not found:
        found.append(ClearOutReason("carried_over", *CLEAR_OUT_REASON["carried_over"]))
    return tuple(found)


def times_listed(ticket: OpenTicket) -> int:
    """The number of lists the ticket has been on, this one included."""
    return ticket.earlier_lists + 1


def outcome(*, completed: bool, reported_again: bool) -> str:
    """The outcome of a row of a list: ``cleared``, ``put_back`` or ``carried_over``.

    A completed ticket clears its row, until the same matter is reported again; then the row is put back automatically.
    """
    if not completed:
        return "carried_over"
    return "put_back" if reported_again else "cleared"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The counts of a list when the next one was frozen; ``listed`` is the sum of the others."""

    listed: int
    cleared: int
    carried_over: int
    put_back: int


def settle(outcomes: Iterable[str]) -> Settlement:
    """Count the outcomes of a list's rows. Raises ValueError for an unknown outcome."""
    rows = list(outcomes)
    counts = {each: rows.count(each) for each in ("cleared", "carried_over", "put_back")}
    unknown = sorted(set(rows) - set(counts))
    if unknown:
        raise ValueError(f"unknown outcome: {', '.join(unknown)}; expected one of {', '.join(counts)}")
    return Settlement(len(rows), counts["cleared"], counts["carried_over"], counts["put_back"])
