"""One change of one ticket: lock the ticket and check the step (``begin``), shared state of the step (``Change``), and
completion (``finish``). ``app.services.tickets.actions`` has the steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from app.domain.tickets.life import STATE_STEPS, STEPS
from app.domain.tickets.lifecycle import check_moment, step
from app.errors import Invalid, NotFound, Stale
from app.models import Deadline, Ticket
from app.security.principal import Principal
from app.services.alerts import book as alerts
from app.services.core.events import append
from app.services.core.reference import Reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.deadlines import book as deadlines
from app.services.deadlines.book import DeadlineChange, moves_data
from app.store import tickets as store
from app.store.scope import sees

REASON_LENGTH = 2000


@dataclass
class Change:
    """One running change of one ticket: the context of the action, and the deadline moves so far."""

    uow: UnitOfWork
    who: Principal
    ticket: Ticket
    params: Mapping[str, Any]
    at: datetime
    rows: list[Deadline]
    moves: list[DeadlineChange] = field(default_factory=list)
    by: str | None = None
    """``source`` where ``who`` enters what the source reported; kept in the event."""

    @property
    def session(self) -> Session:
        """The session of the unit of work."""
        return self.uow.session

    @property
    def ref(self) -> Reference:
        """The reference data in force."""
        return self.uow.ref

    def text(self, name: str, *, required: bool = True, longest: int = REASON_LENGTH) -> str | None:
        """The text parameter ``name``, trimmed; raises Invalid where it is missing, empty or too long."""
        value = self.params.get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or (required and not value.strip()):
            raise Invalid.at(f"/{name}", "必填，应为非空文字", "required: a text that is not empty")
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise Invalid.at(f"/{name}", "含有无法保存的字符", "holds text that cannot be stored")
        if len(value) > longest:
            raise Invalid.at(f"/{name}", f"最多 {longest} 字", f"at most {longest} characters")
        return value.strip()

    def open(self, *targets: str) -> None:
        """Open the deadlines of ``targets`` from ``at``."""
        for target in targets:
            move = deadlines.open_target(self.session, self.ref, self.ticket, self.rows, target, self.at)
            if move is not None:
                self.moves.append(move)

    def cancel(self, *targets: str) -> None:
        """End the open deadlines of ``targets`` unmet."""
        self.moves += deadlines.cancel(self.session, self.rows, targets, self.at)

    def meet(self, target: str) -> None:
        """Mark the deadline of ``target`` as met."""
        deadlines.meet(self.session, self.rows, target, self.at)

    def resolve(self, targets: Iterable[str] | None, resolution: str) -> None:
        """Resolve the live alerts of ``targets`` (all of them for None)."""
        alerts.resolve(self.uow, self.ticket, targets, resolution=resolution)

    def log(self, event_type: str, **data: Any) -> None:
        """Write the event of this change, with the deadlines it moved."""
        append(
            self.session,
            self.ticket,
            event_type,
            at=self.at,
            now=self.uow.now,
            actor=self.who.actor,
            data={"by": self.by, **data, "deadlines": moves_data(self.moves)},
        )


def latest_step(session: Session, ticket: Ticket, action: str | None = None) -> datetime:
    """The moment of the ticket's latest step, which ``action`` must not precede; read from the log, since the ticket row
    does not have all (a return, an unanswered callback). A suspension may precede a contact, which changes no state."""
    steps = STATE_STEPS if action in ("suspend", "resume") else STEPS
    moments = (ticket.received_at, ticket.dispatched_at, store.latest_event(session, ticket.id, steps))
    return max(m for m in moments if m is not None)


def begin(
    uow: UnitOfWork,
    who: Principal,
    ticket_id: int,
    action: str,
    params: Mapping[str, Any],
    *,
    at: datetime | None,
    if_match: int | None,
) -> tuple[Change, str | None]:
    """Lock the ticket and check that ``who`` may take ``action`` now; the change, and the state it leads to.

    Raises NotFound, Stale (412), Forbidden, NotAllowed (409) or Invalid.
    """
    session, now = uow.session, uow.now
    ticket = store.lock_ticket(session, ticket_id)
    if ticket is None or not sees(who, ticket, uow.ref):
        raise NotFound(f"没有编号为 {ticket_id} 的工单", f"no ticket has the id {ticket_id}")
    if if_match is not None and if_match != ticket.version:
        raise Stale(
            f"工单已更新到版本 {ticket.version}，请求依据的是版本 {if_match}，请重新读取",
            f"the ticket is at version {ticket.version}, the request was made on version {if_match}; read it again",
        )
    row = step(action, ticket.status, who.role)
    if at is not None:
        check_moment(at, now, latest_step(session, ticket, action), who.role, given=True)
    moment = at if at is not None else max(now, ticket.received_at if _skewed(ticket, now) else now)
    change = Change(uow, who, ticket, params, moment, deadlines.of_ticket(session, ticket_id))
    return change, row.to


def _skewed(ticket: Ticket, now: datetime) -> bool:
    """Whether the source's clock runs a little ahead of ours: its ticket was received in our near future."""
    return now < ticket.received_at <= now + timedelta(minutes=15)


def finish(change: Change, to: str | None) -> Ticket:
    """Set the ticket's state to ``to`` and reschedule its ladder check."""
    if to is not None:
        change.ticket.status = to
    change.session.add(change.ticket)
    alerts.reschedule(change.uow, change.ticket, rows=change.rows)
    return change.ticket
