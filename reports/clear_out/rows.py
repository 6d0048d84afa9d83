"""Read what the clear-out list needs of tickets: the state of each open one at the month's end, and past outcomes.

Everything is as known before a moment ``until``, so a list computed late is the same list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import or_, select
from sqlmodel import Session, col

from app.domain.tickets.clear_out import outcome
from app.domain.tickets.life import life_until
from app.domain.tickets.lifecycle import DISSATISFIED
from app.domain.time.due import elapsed
from app.models import Callback, ClearOutEntry, SupervisionOrder, Suspension, Ticket, TicketEvent
from app.models.types import to_micros
from app.services.core.events import unstamp
from app.services.core.reference import Node, Reference
from app.services.deadlines.bulk_due import working_many

_AT_ONCE = 500
_FARTHEST = 20
"""So many links away a report of the same matter is looked for."""


@dataclass(frozen=True, slots=True)
class ClearOutRow:
    """The state of one open ticket. Durations are in seconds: working seconds on the unit clock, natural ones on the
    citizen clock.
    """

    ticket_id: int
    number: str
    title: str
    unit: Node | None
    category: str | None
    stage: str
    unit_seconds: int
    citizen_seconds: int
    overdue_working_days: int
    reports: int
    dissatisfied: int
    order_term: int
    suspended_days: int
    relapsed: bool

    def as_open_ticket_fields(self) -> dict[str, Any]:
        """Return the fields of ``app.domain.tickets.clear_out.OpenTicket`` that this row provides."""
        names = ("overdue_working_days", "reports", "dissatisfied", "order_term", "suspended_days", "relapsed")
        return {name: getattr(self, name) for name in names}


def clear_out_rows(
    session: Session, ref: Reference, facts: pd.DataFrame, *, cut: datetime, until: datetime, relapse_days: int
) -> Iterator[ClearOutRow]:
    """Return the state at ``cut``, as known before ``until``, of the open tickets in ``facts`` (conforming)."""
    ids = [int(key) for key in facts["ticket_id"]]
    rows = {row.id: row for row in _of(session, select(Ticket), col(Ticket.id), ids)}
    stages = _stages(session, [key for key in ids if rows[key].changed_at >= until], until)
    reports = _reports(session, ids, until)
    relapsed = _relapsed(session, rows, timedelta(days=relapse_days))
    holds = _suspensions(session, ids, until)
    terms = _terms(session, ids, until)
    answers = Counter(
        row.ticket_id
        for row in _of(session, select(Callback), col(Callback.ticket_id), ids)
        if row.at < until and row.satisfaction in DISSATISFIED
    )
    worked = _on_the_unit_clock(ref, facts, holds, cut)
    for fact in facts.itertuples():
        key = int(fact.ticket_id)  # type: ignore[arg-type]
        ticket, unit = rows[key], ref.unit_by_code(_text(fact.unit) or "")
        since = next((begin for begin, end in holds.get(key, ()) if end is None), None)
        yield ClearOutRow(
            ticket_id=key,
            number=ticket.number,
            title=ticket.title,
            unit=unit,
            category=_text(fact.category),
            stage=stages.get(key, ticket.stage),
            unit_seconds=worked[key],
            citizen_seconds=int((cut - _moment(fact.received_at)).total_seconds()),  # type: ignore[operator]
            overdue_working_days=_overdue(ref, unit, _moment(fact.complete_due_at), since or cut),
            reports=reports[key],
            dissatisfied=answers[key],
            order_term=terms.get(key, 0),
            suspended_days=(cut - since).days if since else 0,
            relapsed=key in relapsed,
        )


def outcomes_since(
    session: Session, entries: Iterable[ClearOutEntry], since: datetime, until: datetime
) -> dict[int, tuple[str, datetime | None]]:
    """Return the outcome of each listed ticket between ``since``, when its list was frozen, and ``until`` (excluded), and
    the moment it was cleared. A void ticket counts as cleared.
    """
    ids = [entry.ticket_id for entry in entries]
    logs: dict[int, list[Any]] = {key: [] for key in ids}
    for row in _of(session, select(TicketEvent).order_by(col(TicketEvent.seq)), col(TicketEvent.ticket_id), ids):
        logs[row.ticket_id].append((row.type, row.at, row.data))
    again: dict[int, list[datetime]] = {}
    for child in _of(session, select(Ticket), col(Ticket.parent_id), ids):
        if child.received_at < until and child.parent_id is not None:
            again.setdefault(child.parent_id, []).append(child.received_at)
    found: dict[int, tuple[str, datetime | None]] = {}
    for key, events in logs.items():
        ended = [at for kind, at, _ in events if kind in ("completed", "voided") and since <= at < until]
        reopened = life_until(events, until, included=False).state == "open"
        reported = bool(ended) and (reopened or any(at > ended[-1] for at in again.get(key, ())))
        state = outcome(completed=bool(ended), reported_again=reported)
        found[key] = (state, ended[-1] if state == "cleared" else None)
    return found


# ----------------------------------------------------------------------------------------------------- helpers


def _of(session: Session, query: Any, column: Any, ids: Sequence[int]) -> Iterator[Any]:
    """Run ``query`` for the rows whose ``column`` is one of ``ids``, in chunks."""
    for begin in range(0, len(ids), _AT_ONCE):
        yield from session.execute(query.where(column.in_(ids[begin : begin + _AT_ONCE]))).scalars()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: Any) -> datetime | None:
    return None if pd.isna(value) else value.to_pydatetime().astimezone(UTC)


def _overdue(ref: Reference, unit: Node | None, due: datetime | None, to: datetime) -> int:
    """Count whole working days from a deadline to ``to``.

    The moment at which a month ends is not part of it, so the first day of the next month is not counted.
    """
    last = to - timedelta(microseconds=1)
    if due is None or last <= due:
        return 0
    return max(0, elapsed(ref.calendar_for(unit.id if unit else None)[1], due, last).working_days)


def _stages(session: Session, ids: Sequence[int], until: datetime) -> dict[int, str]:
    """Return the stage before ``until`` of the tickets that have changed since."""
    found = dict.fromkeys(ids, "assigned")
    raised = select(TicketEvent).where(col(TicketEvent.type) == "stage_raised").order_by(col(TicketEvent.seq))
    for row in _of(session, raised, col(TicketEvent.ticket_id), ids):
        if row.at < until:
            found[row.ticket_id] = row.data["to"]
    return found


def _reports(session: Session, ids: Sequence[int], until: datetime) -> dict[int, int]:
    """Count the reports of each ticket's matter: the tickets linked to it directly or indirectly, itself included."""
    matter: dict[int, int] = {key: key for key in ids}

    def root(key: int) -> int:
        while matter[key] != key:
            matter[key] = key = matter[matter[key]]
        return key

    fresh = list(ids)
    for _ in range(_FARTHEST):
        pairs = list(_links(session, fresh, until))
        fresh = [key for key in dict.fromkeys(key for pair in pairs for key in pair) if key not in matter]
        matter.update({key: key for key in fresh})
        for one, other in pairs:
            matter[root(one)] = root(other)
        if not fresh:
            break
    sizes = Counter(root(key) for key in list(matter))
    return {key: sizes[root(key)] for key in ids}


def _links(session: Session, ids: Sequence[int], until: datetime) -> Iterator[tuple[int, int]]:
    child, parent = col(Ticket.id), col(Ticket.parent_id)
    linked = select(child, parent).where(parent.is_not(None), col(Ticket.received_at) < until)
    for begin in range(0, len(ids), _AT_ONCE):
        some = ids[begin : begin + _AT_ONCE]
        for one, other in session.execute(linked.where(or_(child.in_(some), parent.in_(some)))):
            if other is not None:
                yield one, other


def _relapsed(session: Session, rows: dict[int, Ticket], window: timedelta) -> set[int]:
    """Return the tickets that report a closed matter again within the relapse window."""
    parents = sorted({row.parent_id for row in rows.values() if row.parent_id is not None})
    closed = {row.id: row.closed_at for row in _of(session, select(Ticket), col(Ticket.id), parents)}
    found = set()
    for key, row in rows.items():
        before = closed.get(row.parent_id) if row.parent_id is not None else None
        if before is not None and before < row.received_at <= before + window:
            found.add(key)
    return found


def _suspensions(
    session: Session, ids: Sequence[int], until: datetime
) -> dict[int, list[tuple[datetime, datetime | None]]]:
    """Return each ticket's suspensions; the end is None if it was not reached before ``until``."""
    found: dict[int, list[tuple[datetime, datetime | None]]] = {}
    for row in _of(session, select(Suspension), col(Suspension.ticket_id), ids):
        if row.from_at < until:
            end = row.to_at if row.to_at is not None and row.to_at < until else None
            found.setdefault(row.ticket_id, []).append((row.from_at, end))
    return found


def _terms(session: Session, ids: Sequence[int], until: datetime) -> dict[int, int]:
    """Return the term of each ticket's live supervision order, derived from its triggers: a refusal ends its term."""
    found: dict[int, int] = {}
    for order in _of(session, select(SupervisionOrder), col(SupervisionOrder.ticket_id), ids):
        live = order.issued_at < until and (order.live if order.closed_at is None else order.closed_at >= until)
        if live:
            known = [entry for entry in order.triggers if (unstamp(entry["at"]) or until) < until]
            terms = [entry["term"] + (entry["trigger"] == "refused") for entry in known]
            found[order.ticket_id] = max([1, *terms])
    return found


def _on_the_unit_clock(
    ref: Reference, facts: pd.DataFrame, holds: dict[int, list[tuple[datetime, datetime | None]]], cut: datetime
) -> dict[int, int]:
    """Return working seconds from the last dispatch to ``cut``, less suspensions; 0 for a ticket never dispatched."""
    spans: dict[int, list[tuple[int, int, int, int]]] = {}
    found = {int(key): 0 for key in facts["ticket_id"]}
    calendars = {}
    for fact in facts.itertuples():
        key, since = int(fact.ticket_id), _moment(fact.dispatched_at)  # type: ignore[arg-type]
        if since is None:
            continue
        unit = ref.unit_by_code(_text(fact.unit) or "")
        version, calendar = ref.calendar_for(unit.id if unit else None)
        calendars[version] = calendar
        rows = spans.setdefault(version, [])
        rows.append((key, 1, to_micros(since), to_micros(cut)))
        for begin, end in holds.get(key, ()):
            start, stop = max(begin, since), end or cut
            if start < stop:
                rows.append((key, -1, to_micros(start), to_micros(stop)))
    for version, rows in spans.items():
        table = np.array(rows, dtype=np.int64)
        seconds = working_many(calendars[version], table[:, 2], table[:, 3]) // 1_000_000 * table[:, 1]
        for key, part in zip(table[:, 0].tolist(), seconds.tolist(), strict=True):
            found[key] += part
    return {key: max(0, seconds) for key, seconds in found.items()}
