"""Explain a ticket's due time: the receipt of a stored row, by the versions that it pins.

It is recomputed on each request from the row's limit, start and extension, its calendar version and the ticket's
suspensions. If the result is not the stored time, ``differs`` reports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlmodel import Session

from app.domain.tickets.deadline_state import UNIT_CLOCK, state_of
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
    """A deadline with its receipt; none if a limit set by the source binds, which is not computed."""

    ticket: Ticket
    row: Deadline
    state: str
    receipt: Receipt | None
    suspensions: Sequence[Suspension]
    extensions: Sequence[Extension]

    @property
    def differs(self) -> bool:
        """Whether the receipt's result differs from the stored row."""
        computed, row = self.receipt, self.row
        return computed is not None and (computed.due_at, computed.provisional) != (row.due_at, row.provisional)

    def to_json(self, zone: tzinfo) -> dict[str, Any]:
        """The API response: the receipt with the stored values."""
        row = self.row
        body = {} if self.receipt is None else self.receipt.to_json()
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
            **body,
            "stored_due_at": moment(row.due_at, zone),
            "stored_provisional": row.provisional,
            "differs": self.differs,
            "receipt": body.get("lines", []),
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
        """The receipt as text in ``lang``."""
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
                f"NOTE  differs from the stored time: {stored}" if english else f"注意  与存储的时间不一致：{stored}"
            )
        return "\n".join(lines) + "\n"


def explain(
    session: Session, ref: Reference, ticket: Ticket, target: str, *, now: datetime, round_: int | None = None
) -> DeadlineReceipt:
    """Explain the deadline ``target`` in force of ``ticket`` (or of one round).

    A cancelled one is explained if there is no other. Raises NotFound if there never was one.
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
    state = state_of(row, now, suspended=ticket.status == "suspended")
    spans = spans_of(row, deadlines.suspensions_of(session, ticket.id))
    granted = [
        e
        for e in store.extensions_of(session, ticket.id)
        if target == "complete" and e.state == "approved" and e.round == row.round
    ]
    if row.limit is None:
        return DeadlineReceipt(ticket, row, state, None, spans, granted)
    policy = ref.policy(row.policy_id)
    computed = receipt(
        deadlines.calendar_version(session, ref, row.calendar_id),
        row.started_at,
        read_limit(row.limit),
        suspensions=_counting(row, spans),
        extensions=[Limit("working_days", row.extended_days)] if row.extended_days else [],
        policy=policy.code if policy else None,
        policy_version=policy.version if policy else None,
    )
    return DeadlineReceipt(ticket, row, state, computed, spans, granted)


def _counting(row: Deadline, spans: Sequence[Suspension]) -> list[deadlines.Span]:
    """The suspensions that count: those of a deadline that was met are cut at that moment; an open one is included."""
    pairs = [(s.from_at, s.to_at) for s in spans]
    return list(deadlines.spans_for(row, pairs)) if row.met_at is not None else pairs


def spans_of(row: Deadline, suspensions: Sequence[Suspension]) -> list[Suspension]:
    """The suspensions relevant to ``row``: none for the office's own clocks, and none begun after it ended."""
    if row.target not in UNIT_CLOCK:
        return []
    ended = row.met_at or row.cancelled_at
    return [
        s for s in suspensions if (ended is None or s.from_at < ended) and (s.to_at is None or s.to_at > row.started_at)
    ]
