"""Why a ticket's deadline is due when it is due: the receipt of a stored row, by the versions that it pins.

It is computed anew each time, from the row's own limit, start and extension, its version of the calendar, and the
suspensions of the ticket. Should it not come to the stored time, it says so (``differs``) rather than to tell a story
that ends elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlmodel import Session

from app.domain.time.due import Limit
from app.domain.time.receipt import Receipt, receipt
from app.domain.words import TARGET
from app.errors import NotFound
from app.models import Deadline, Extension, Suspension, Ticket
from app.schemas.limit import read_limit
from app.services.core.reference import Reference
from app.services.core.views import moment
from app.services.deadlines import book as deadlines
from app.store import tickets as store


@dataclass(frozen=True, slots=True)
class DeadlineReceipt:
    """A deadline with its receipt; none where the source's own limit binds, which nobody here computes."""

    ticket: Ticket
    row: Deadline
    state: str
    receipt: Receipt | None
    suspensions: Sequence[Suspension]
    extensions: Sequence[Extension]

    @property
    def differs(self) -> bool:
        """Whether the receipt does not come to what is stored."""
        told = self.receipt
        return told is not None and (told.due_at != self.row.due_at or told.provisional != self.row.provisional)

    def to_json(self, zone: tzinfo) -> dict[str, Any]:
        """The answer of the API: the receipt, and around it what is stored."""
        row = self.row
        told = {} if self.receipt is None else self.receipt.to_json()
        return {
            "ticket_id": self.ticket.id,
            "ticket_number": self.ticket.number,
            "target": row.target,
            "round": row.round,
            "revision": row.revision,
            "state": self.state,
            "basis": row.basis,
            "due_at": moment(row.due_at, zone),
            "provisional": row.provisional,
            **told,
            "stored_due_at": moment(row.due_at, zone),
            "stored_provisional": row.provisional,
            "differs": self.differs,
            "receipt": told.get("lines", []),
            "why_suspended": [
                {"from": moment(s.from_at, zone), "to": moment(s.to_at, zone), "reason": s.reason, "by": s.actor}
                for s in self.suspensions
            ],
            "why_extended": [
                {"days": e.days, "reason": e.reason, "by": e.ruled_by, "at": moment(e.ruled_at, zone)}
                for e in self.extensions
            ],
        }

    def text(self, lang: str) -> str:
        """The receipt in words."""
        english = lang == "en"
        target = TARGET[self.row.target][english]
        head = f"{self.ticket.number}  {target}{' deadline' if english else '时限'}"
        if self.receipt is None:
            due = self.row.due_at.isoformat()
            bound = f"Due  {due}, set by the source" if english else f"到期  {due}，由来源规定"
            return f"{head}\n{bound}\n"
        lines = [head, self.receipt.text(lang)]
        if self.differs:
            stored = self.row.due_at.isoformat()
            lines.append(
                f"NOTE  differs from what is stored: {stored}" if english else f"注意  与存储的时间不一致：{stored}"
            )
        return "\n".join(lines) + "\n"


def explain(
    session: Session, ref: Reference, ticket: Ticket, target: str, *, now: datetime, round_: int | None = None
) -> DeadlineReceipt:
    """The deadline ``target`` in force of ``ticket`` (or of one round), explained.

    One that was cancelled is explained too, where there is no other. Raises NotFound where there never was one.
    """
    rows = [row for row in deadlines.of_ticket(session, ticket.id) if row.target == target]
    if round_ is not None:
        rows = [row for row in rows if row.round == round_]
    row = deadlines.in_force(rows, target) or max(rows, key=lambda r: r.round, default=None)
    if row is None:
        raise NotFound(
            f"该工单没有“{TARGET[target][0]}”时限",
            f"the ticket has no deadline {target}" + (" of that round" if round_ else ""),
        )
    state = deadlines.state_of(row, now, suspended=ticket.status == "suspended")
    spans = spans_of(row, deadlines.suspensions_of(session, ticket.id))
    granted = [
        e
        for e in store.extensions_of(session, ticket.id)
        if target == "complete" and e.state == "approved" and e.round == row.round
    ]
    if row.limit is None:
        return DeadlineReceipt(ticket, row, state, None, spans, granted)
    policy = ref.policy(row.policy_id)
    told = receipt(
        deadlines.calendar_version(session, ref, row.calendar_id),
        row.started_at,
        read_limit(row.limit),
        suspensions=_counting(row, spans),
        extensions=[Limit("working_days", row.extended_days)] if row.extended_days else [],
        policy=policy.code if policy else None,
        policy_version=policy.version if policy else None,
    )
    return DeadlineReceipt(ticket, row, state, told, spans, granted)


def _counting(row: Deadline, spans: Sequence[Suspension]) -> list[deadlines.Span]:
    """The suspensions as they count: of a deadline that was met as far as they lie before that; the open one is told of."""
    pairs = [(s.from_at, s.to_at) for s in spans]
    return list(deadlines.spans_for(row, pairs)) if row.met_at is not None else pairs


def spans_of(row: Deadline, suspensions: Sequence[Suspension]) -> list[Suspension]:
    """The suspensions that bear on ``row``: none for the office's own clocks, and none begun after it ended."""
    if row.target not in deadlines.UNIT_CLOCK:
        return []
    ended = row.met_at or row.cancelled_at
    return [
        s for s in suspensions if (ended is None or s.from_at < ended) and (s.to_at is None or s.to_at > row.started_at)
    ]
