"""Facts: one row per ticket that a period touches, everything as known at ``as_of`` (metrics, "Facts").

A ticket that has not changed since ``as_of`` is read as it stands; one that has, or that was reopened, is told again
from its events. What happened *at* the period's end is no longer of the period; what happened at ``as_of`` is known.

The file is long because both ways to the same columns, read and retold, stand side by side: they must never differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import BigInteger, ColumnElement, and_, func, or_, select, type_coerce
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from app.domain.lifecycle import OPEN
from app.domain.replay import Life, as_known, life_until
from app.domain.workcalendar import WorkCalendar
from app.models import Callback, Deadline, Suspension, Ticket, TicketEvent
from app.models.types import from_micros, to_micros
from app.services.bulk_deadlines import working_many
from app.services.reference import Node, Reference
from reports.facts_schema import PATH_SEPARATOR, conform
from reports.figures import Names
from reports.period import Period

MOMENTS = (
    "received_at", "changed_at", "dispatched_at", "accepted_at", "contacted_at", "completed_at", "first_completed_at",
    "closed_at", "voided_at", "due_at",
)  # fmt: skip
PLAIN = (
    "id", "number", "source_id", "kind", "category_id", "unit_id", "first_unit_id", "grid_id", "priority", "severity",
    "status", "source_verdict", "satisfaction", "resolved", "supervised", "reopens", "returns", "extensions", "parent_id",
)  # fmt: skip
EVENTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Window:
    """The moments that facts are about: the period's start, its end, ``as_of``, in microseconds since 1970 UTC."""

    start: int
    end: int
    as_of: int

    @classmethod
    def of(cls, period: Period, as_of: datetime) -> Window:
        """The window of ``period`` as known at ``as_of``."""
        return cls(*(to_micros(m.astimezone(UTC)) for m in (period.start, period.end, as_of)))


def names_of(ref: Reference) -> Names:
    """What the codes of every dimension are called, and the tiers of units."""

    def words(nodes: Iterable[Any]) -> dict[str, tuple[str, str]]:
        return {node.code: (node.name, node.name_en or "") for node in nodes}

    return Names(
        words={
            "unit": words(ref.units.values()),
            "category": words(ref.categories.values()),
            "source": words(ref.sources.values()),
            "grid": words(ref.grids.values()),
        },
        tiers={node.code: node.tier for node in ref.units.values() if node.tier},
    )


def gather(
    session: Session,
    ref: Reference,
    period: Period,
    as_of: datetime,
    *,
    zone_name: str,
    relapse_days: int,
    unit_id: int | None = None,
) -> pd.DataFrame:
    """The facts of ``period`` as known at ``as_of``, within the subtree of ``unit_id``, conforming to the schema.

    ``zone_name`` is the zone of the period; ``relapse_days`` the relapse window in days.
    """
    window = Window.of(period, as_of)
    raw = _tickets(session, window)
    told = _told_again(session, raw, window)
    frame = _as_they_stand(session, ref, raw, window)
    if told:
        frame = _replace(frame, told, ref, window)
    frame = frame[frame["received_at"] <= window.as_of]
    frame = _finish(session, ref, frame, relapse_days, window)
    if unit_id is not None:
        wanted = ref.units[unit_id].path
        inside = {node.code for node in ref.units.values() if node.path.startswith(wanted)}
        frame = frame[frame["unit"].isin(inside)]
    return conform(frame)


# ------------------------------------------------------------------------------------------------- reading columns


def _micros(session: Session, column: Any) -> ColumnElement[Any]:
    """A moment's column as microseconds, which both databases give without making a Python object of each."""
    if session.get_bind().dialect.name == "postgresql":
        return (func.extract("epoch", column) * 1_000_000).cast(BigInteger)
    return type_coerce(column, BigInteger)


def _touched(window: Window) -> ColumnElement[bool]:
    """The tickets that the period may touch: received in it, changed since its start, or open."""
    start, end = from_micros(window.start), from_micros(window.end)
    return and_(
        col(Ticket.received_at) < end,
        or_(col(Ticket.received_at) >= start, col(Ticket.changed_at) >= start, col(Ticket.status).in_(sorted(OPEN))),
    )


def _tickets(session: Session, window: Window) -> pd.DataFrame:
    columns: list[Any] = [col(getattr(Ticket, name)).label(name) for name in PLAIN]
    columns += [_micros(session, getattr(Ticket, name)).label(name) for name in MOMENTS]
    return _read(session, select(*columns).where(_touched(window)), (*PLAIN, *MOMENTS), MOMENTS)


def _read(session: Session, query: Any, names: Sequence[str], numbers: Iterable[str]) -> pd.DataFrame:
    rows = session.execute(query).all()
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    frame = pd.DataFrame({name: np.array(values, dtype=object) for name, values in zip(names, columns, strict=True)})
    for name in numbers:
        frame[name] = frame[name].astype("Int64")
    return frame


# -------------------------------------------------------------------------------------- tickets read as they stand


def _as_they_stand(session: Session, ref: Reference, raw: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The facts of every ticket from its row: right for those not changed since, replaced for the others."""
    frame = pd.DataFrame(
        {
            "ticket_id": raw["id"].astype("int64"),
            "number": raw["number"],
            "source": raw["source_id"].map({key: source.code for key, source in ref.sources.items()}),
            "category": raw["category_id"].map({key: node.code for key, node in ref.categories.items()}),
            "unit": raw["unit_id"].map({key: node.code for key, node in ref.units.items()}),
            "first_unit": raw["first_unit_id"].map({key: node.code for key, node in ref.units.items()}),
            "grid": raw["grid_id"].map({key: node.code for key, node in ref.grids.items()}),
            "repeated": raw["parent_id"].notna(),
            "complete_due_at": raw["due_at"],
            "reopened": raw["reopens"],
            "returned": raw["returns"],
            "extended": raw["extensions"].astype("Int64") > 0,
            "void": raw["status"] == "void",
        }
    )
    for name in ("kind", "priority", "severity", "status", "source_verdict", "satisfaction", "resolved", "supervised"):
        frame[name] = raw[name]
    for name in MOMENTS:
        if name not in ("changed_at", "due_at"):
            frame[name] = raw[name]
    frame["start_state"] = _state_at(raw, window.start, included=False)
    frame["end_state"] = _state_at(raw, min(window.end, window.as_of), included=window.as_of < window.end)
    frame = frame.set_index("ticket_id", drop=False)
    frame.index.name = "id"
    for target, due in _dues(session, window).items():
        frame[f"{target}_due_at"] = due.reindex(frame.index)
    callbacks = _callbacks(session, window)
    for name in callbacks.columns:
        frame[name] = callbacks[name].reindex(frame.index)
    frame["suspended_seconds"], frame["suspended"] = _suspended(session, ref, frame, window)
    return frame


def _state_at(raw: pd.DataFrame, moment: int, *, included: bool) -> pd.Series:
    """The state of tickets never reopened at ``moment``, from their moments; reopened ones are told again."""

    def by(name: str) -> pd.Series:
        passed = raw[name] <= moment if included else raw[name] < moment
        return passed.fillna(False).astype(bool)

    undated = raw["status"].isin(["completed", "closed"]) & raw["completed_at"].isna()
    state = pd.Series("absent", index=raw.index, dtype=object)
    state[by("received_at")] = "open"
    state[by("completed_at") | (undated & by("changed_at"))] = "completed"
    state[by("voided_at")] = "void"
    return state


def _dues(session: Session, window: Window) -> dict[str, pd.Series]:
    """The deadlines in force of accept, contact and callback, by ticket: the latest, unless it was cancelled. (An
    earlier one does not come into force again: what it asked for, the reopening has asked for anew.)"""
    d = Deadline
    query = (
        select(col(d.ticket_id), col(d.target), col(d.round), _micros(session, d.due_at), col(d.cancelled_at))
        .join(Ticket, col(Ticket.id) == col(d.ticket_id))
        .where(_touched(window), col(d.target).in_(["accept", "contact", "callback"]))
    )
    rows = _read(session, query, ("id", "target", "round", "due", "ended"), ("id", "round", "due"))
    rows = rows.sort_values("round").drop_duplicates(["id", "target"], keep="last")
    rows = rows[rows["ended"].isna()]
    return {str(target): group.set_index("id")["due"] for target, group in rows.groupby("target")}


def _callbacks(session: Session, window: Window) -> pd.DataFrame:
    c = Callback
    names = ("id", "outcome", "score_speed", "score_attitude", "score_outcome")
    query = (
        select(col(c.ticket_id), col(c.outcome), col(c.speed), col(c.attitude), col(c.result_score))
        .join(Ticket, col(Ticket.id) == col(c.ticket_id))
        .where(_touched(window))
        .order_by(col(c.id))
    )
    rows = _read(session, query, names, ("id",))
    reached = rows[rows["outcome"] == "reached"].drop_duplicates("id", keep="last").set_index("id")
    found = pd.DataFrame({"callback_attempts": rows.groupby("id").size()})
    found["callback_reached"] = found.index.isin(reached.index)
    for name in names[2:]:
        found[name] = reached[name].reindex(found.index)
    return found


def _suspended(session: Session, ref: Reference, frame: pd.DataFrame, window: Window) -> tuple[pd.Series, pd.Series]:
    """Working seconds suspended since the last dispatch and before completion, and whether ever suspended."""
    s = Suspension
    query = (
        select(col(s.ticket_id), _micros(session, s.from_at), _micros(session, s.to_at))
        .join(Ticket, col(Ticket.id) == col(s.ticket_id))
        .where(_touched(window))
    )
    seconds = pd.Series(0, index=frame.index, dtype="int64")
    ever = pd.Series(False, index=frame.index)
    for ticket_id, begin, end in session.execute(query):
        if ticket_id not in frame.index:
            continue
        ever[ticket_id] = True
        since: Any = frame.at[ticket_id, "dispatched_at"]
        if end is not None and pd.notna(since) and end > since:
            code: Any = frame.at[ticket_id, "unit"]
            unit = ref.unit_by_code(code) if isinstance(code, str) else None
            calendar = ref.calendar_for(unit.id if unit else None)[1]
            seconds[ticket_id] += _working(calendar, [max(begin, int(since))], [end])[0]
    return seconds, ever


def _working(calendar: WorkCalendar, starts: Sequence[int], ends: Sequence[int]) -> Any:
    """Working seconds between moments given in microseconds."""
    return working_many(calendar, np.array(starts, np.int64), np.array(ends, np.int64)) // 1_000_000


# ------------------------------------------------------------------------------------------- tickets told again


def _told_again(session: Session, raw: pd.DataFrame, window: Window) -> dict[int, list[Any]]:
    """The events of the tickets whose row does not say how things stood at the moments asked for."""
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


def _replace(frame: pd.DataFrame, told: Mapping[int, list[Any]], ref: Reference, window: Window) -> pd.DataFrame:
    as_of, end = from_micros(window.as_of), from_micros(min(window.end, window.as_of))
    start = from_micros(window.start)
    rows: dict[int, dict[str, Any]] = {}
    for ticket_id, events in told.items():
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
    kept = frame[~frame.index.isin(list(told))]
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


def _row_of(life: Life, ref: Reference) -> dict[str, Any]:
    unit = ref.unit_by_code(life.unit) if life.unit else None
    calendar = ref.calendar_for(unit.id if unit else None)[1]
    since = life.dispatched_at
    spans = [(max(a, since), b) for a, b in life.suspensions if since is not None and b > since]
    suspended = sum(int(_working(calendar, [to_micros(a)], [to_micros(b)])[0]) for a, b in spans)
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


# --------------------------------------------------------------------------------------- what follows from the rest


def _finish(session: Session, ref: Reference, frame: pd.DataFrame, relapse_days: int, window: Window) -> pd.DataFrame:
    frame = frame.copy()
    ends = frame["completed_at"].where(frame["end_state"] == "completed")
    limit = min(window.end, window.as_of + 1)
    told = (
        frame["end_completed_at"] if "end_completed_at" in frame else pd.Series(pd.NA, index=frame.index, dtype="Int64")
    )
    ends = told.fillna(ends.where(ends < limit))
    frame["end_completed_at"] = ends.where(ends.isna() | (ends >= frame["received_at"]), frame["received_at"])
    for name, nodes in (("unit", ref.units), ("category", ref.categories), ("grid", ref.grids)):
        frame[f"{name}_path"] = frame[name].map(_paths(nodes.values()))
    practical = {node.code for node in ref.categories.values() if _practical(node, ref)}
    frame["practical"] = frame["category"].isin(practical)
    relapse = timedelta(days=relapse_days) // timedelta(microseconds=1)
    frame["relapse_until"] = frame["closed_at"] + relapse
    frame["relapsed"] = _relapsed(session, frame, window)
    frame["handling_seconds"] = _handling(ref, frame)
    frame["citizen_seconds"] = ((frame["completed_at"] - frame["received_at"]) // 1_000_000).clip(lower=0)
    frame = frame.drop(columns=["suspended_seconds"])
    for name in [n for n in frame.columns if n.endswith("_at") or n == "relapse_until"]:
        frame[name] = _moments(frame[name])
    return frame


def _moments(column: pd.Series) -> pd.Series:
    values = column.astype("Int64")
    stamps = values.fillna(0).to_numpy(dtype="int64").astype("datetime64[us]")
    stamps[values.isna().to_numpy(dtype=bool)] = np.datetime64("NaT")
    return pd.Series(stamps, index=column.index).dt.tz_localize("UTC")


def _paths(nodes: Iterable[Node]) -> dict[str, str]:
    return {node.code: PATH_SEPARATOR.join(node.codes) for node in nodes}


def _practical(node: Node, ref: Reference) -> bool:
    """Whether a category, or one above it, is marked as a practical matter."""
    above: Node | None = node
    while above is not None:
        if above.practical:
            return True
        above = ref.categories.get(above.parent_id) if above.parent_id is not None else None
    return False


def _relapsed(session: Session, frame: pd.DataFrame, window: Window) -> pd.Series:
    """Whether the matter was reported again after the closing, within the relapse window, as known at ``as_of``."""
    child = aliased(Ticket)
    query = (
        select(col(child.parent_id), _micros(session, child.received_at))
        .join(Ticket, col(Ticket.id) == col(child.parent_id))
        .where(_touched(window), col(child.received_at) <= from_micros(window.as_of))
    )
    again = _read(session, query, ("id", "at"), ("id", "at"))
    if again.empty:
        return pd.Series(False, index=frame.index)
    joined = again.merge(frame[["closed_at", "relapse_until"]], left_on="id", right_index=True)
    hit = joined[(joined["at"] > joined["closed_at"]) & (joined["at"] <= joined["relapse_until"])]
    return pd.Series(frame.index.isin(hit["id"]), index=frame.index)


def _handling(ref: Reference, frame: pd.DataFrame) -> pd.Series:
    """Working seconds from dispatch to completion on each unit's calendar, suspended time taken off."""
    seconds = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    done = frame[frame["completed_at"].notna() & frame["dispatched_at"].notna()]
    if done.empty:
        return seconds
    unit_ids = {node.code: node.id for node in ref.units.values()}
    calendars: dict[int, WorkCalendar] = {}
    key_of = {code: ref.calendar_for(unit_id)[0] for code, unit_id in unit_ids.items()}
    for unit_id in [None, *unit_ids.values()]:
        key, calendar = ref.calendar_for(unit_id)
        calendars[key] = calendar
    default = ref.calendar_for(None)[0]
    for key, rows in done.groupby(done["unit"].map(key_of).fillna(default)):
        worked = _working(calendars[int(key)], list(rows["dispatched_at"]), list(rows["completed_at"]))
        worked = worked - rows["suspended_seconds"].fillna(0).to_numpy(dtype="int64")
        seconds[rows.index] = np.maximum(worked, 0)
    return seconds
