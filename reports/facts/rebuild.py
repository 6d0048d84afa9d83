"""Rebuild the facts of tickets that have changed since ``as_of``, or were reopened, from their events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import select
from sqlmodel import Session, col

from app.domain.tickets.life import TicketLife, as_known, life_until
from app.models import TicketEvent
from app.models.types import from_micros, to_micros
from app.services.core.reference import Reference
from reports.facts.reading import FactWindow, working_seconds

EVENTS_AT_ONCE = 500


def events_of_changed(session: Session, raw: pd.DataFrame, window: FactWindow) -> dict[int, list[Any]]:
    """Return the events of the tickets whose current row does not state what held at the moments of ``window``."""
    if raw.empty:
        return {}
    later = raw["changed_at"] > window.as_of
    reopened = (raw["reopens"] > 0) & (raw["changed_at"] >= window.start)
    wanted = [int(key) for key in raw["id"][later | reopened]]
    found: dict[int, list[Any]] = {key: [] for key in wanted}
    e = TicketEvent
    for begin in range(0, len(wanted), EVENTS_AT_ONCE):
        query = (
            select(col(e.ticket_id), col(e.type), col(e.at), col(e.data))
            .where(col(e.ticket_id).in_(wanted[begin : begin + EVENTS_AT_ONCE]))
            .order_by(col(e.ticket_id), col(e.seq))
        )
        for ticket_id, event_type, at, data in session.execute(query):
            found[ticket_id].append((event_type, at, data))
    return found


def with_rebuilt_rows(
    frame: pd.DataFrame, histories: Mapping[int, list[Any]], ref: Reference, window: FactWindow
) -> pd.DataFrame:
    """Replace the rows of these tickets by facts rebuilt from their events; drop those not yet received at ``as_of``."""
    as_of, end = from_micros(window.as_of), from_micros(min(window.end, window.as_of))
    start = from_micros(window.start)
    rows: dict[int, dict[str, Any]] = {}
    for ticket_id, events in histories.items():
        life = life_until(events, as_of, included=True)
        if life.state == "absent":
            continue
        row = _row_of(life, ref)
        known = as_known(events, life)
        row["start_state"] = life_until(known, start, included=False).state
        at_end = life_until(known, end, included=window.as_of < window.end)
        row["end_state"] = at_end.state
        row["end_completed_at"] = _us(at_end.completed_at)
        rows[ticket_id] = row
    kept = frame[~frame.index.isin(list(histories))]
    if not rows:
        return kept
    new = pd.DataFrame.from_dict(rows, orient="index")
    for name in ("ticket_id", "number", "source", "repeated"):
        new[name] = frame[name].reindex(new.index)
    for name in new.columns:
        if name.endswith("_at") or name == "suspended_seconds":
            new[name] = new[name].astype("Int64")
    for name in frame.columns:
        if name in new.columns and new[name].dtype != frame[name].dtype:
            new[name] = new[name].astype(frame[name].dtype if frame[name].dtype != bool else bool)
    return pd.concat([kept, new]) if len(kept) else new


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _row_of(life: TicketLife, ref: Reference) -> dict[str, Any]:
    unit = ref.unit_by_code(life.unit) if life.unit else None
    calendar = ref.calendar_for(unit.id if unit else None)[1]
    since = life.dispatched_at
    spans = [(max(a, since), b) for a, b in life.suspensions if since is not None and b > since]
    suspended = sum(int(working_seconds(calendar, [to_micros(a)], [to_micros(b)])[0]) for a, b in spans)
    return {
        "kind": life.kind,
        "category": life.category,
        "unit": life.unit,
        "first_unit": life.first_unit,
        "grid": life.grid,
        "priority": life.priority,
        "severity": life.severity,
        "status": life.status,
        "source_verdict": life.source_verdict,
        "received_at": _us(life.received_at),
        "dispatched_at": _us(life.dispatched_at),
        "accepted_at": _us(life.accepted_at),
        "contacted_at": _us(life.contacted_at),
        "completed_at": _us(life.completed_at),
        "first_completed_at": _us(life.first_completed_at),
        "closed_at": _us(life.closed_at),
        "voided_at": _us(life.voided_at),
        **{f"{t}_due_at": _us(life.due.get(t)) for t in ("accept", "contact", "complete", "callback")},
        "callback_attempts": life.attempts,
        "callback_reached": life.reached,
        "satisfaction": life.satisfaction,
        "resolved": life.resolved,
        "score_speed": life.speed,
        "score_attitude": life.attitude,
        "score_outcome": life.result_score,
        "supervised": life.supervised,
        "reopened": life.reopens,
        "returned": life.returns,
        "extended": life.extensions > 0,
        "suspended": life.was_suspended,
        "suspended_seconds": suspended,
        "void": life.status == "void",
    }
