"""Facts: one row per ticket concerned by a period, everything as known at ``as_of`` (metrics, "Facts").

A ticket unchanged since ``as_of`` is read from its current row; one that has changed or was reopened is rebuilt from
its events (``reports.facts.rebuild``). Both must give the same columns. An event *at* the period's end belongs to the
next period; an event at ``as_of`` is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from app.domain.time.workcalendar import WorkCalendar
from app.models import Callback, Deadline, Suspension, Ticket
from app.models.types import from_micros
from app.services.core.reference import Node, Reference, upwards
from app.text import Text
from reports.facts.frame import PATH_SEPARATOR, conform
from reports.facts.names import Names
from reports.facts.reading import FactWindow, micros, read, touched, working_seconds
from reports.facts.rebuild import events_of_changed, with_rebuilt_rows
from reports.period import Period

MOMENTS = (
    "received_at", "changed_at", "dispatched_at", "accepted_at", "contacted_at", "completed_at", "first_completed_at",
    "closed_at", "voided_at", "due_at",
)  # fmt: skip
PLAIN = (
    "id", "number", "source_id", "kind", "category_id", "unit_id", "first_unit_id", "grid_id", "priority", "severity",
    "status", "source_verdict", "satisfaction", "resolved", "supervised", "reopens", "returns", "extensions", "parent_id",
)  # fmt: skip


def names_of(ref: Reference) -> Names:
    """Return the display names of every dimension's codes, and the tiers of units."""

    def words(nodes: Iterable[Any]) -> dict[str, Text]:
        return {node.code: Text(node.name, node.name_en or "") for node in nodes}

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
    relapse_days: int,
    unit_id: int | None = None,
) -> pd.DataFrame:
    """Return the facts of ``period`` as known at ``as_of``, within the subtree of ``unit_id``, conforming to the schema.

    ``relapse_days``: the relapse window in days.
    """
    window = FactWindow.of(period, as_of)
    raw = _tickets(session, window)
    histories = events_of_changed(session, raw, window)
    frame = _from_rows(session, ref, raw, window)
    if histories:
        frame = with_rebuilt_rows(frame, histories, ref, window)
    frame = frame[frame["received_at"] <= window.as_of]
    frame = _finish(session, ref, frame, relapse_days, window)
    if unit_id is not None:
        wanted = ref.units[unit_id].path
        inside = {node.code for node in ref.units.values() if node.path.startswith(wanted)}
        frame = frame[frame["unit"].isin(inside)]
    return conform(frame)


# ------------------------------------------------------------------------------------------------- reading columns


def _tickets(session: Session, window: FactWindow) -> pd.DataFrame:
    columns: list[Any] = [col(getattr(Ticket, name)).label(name) for name in PLAIN]
    columns += [micros(session, getattr(Ticket, name)).label(name) for name in MOMENTS]
    return read(session, select(*columns).where(touched(window)), (*PLAIN, *MOMENTS), MOMENTS)


# -------------------------------------------------------------------------------------- tickets read from their rows


def _from_rows(session: Session, ref: Reference, raw: pd.DataFrame, window: FactWindow) -> pd.DataFrame:
    """Derive the facts of every ticket from its row: final for those unchanged since, replaced later for the others."""
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
    """Return the state at ``moment`` of tickets never reopened, from their timestamps; reopened ones are rebuilt."""

    def by(name: str) -> pd.Series:
        passed = raw[name] <= moment if included else raw[name] < moment
        return passed.fillna(False).astype(bool)

    undated = raw["status"].isin(["completed", "closed"]) & raw["completed_at"].isna()
    state = pd.Series("absent", index=raw.index, dtype=object)
    state[by("received_at")] = "open"
    state[by("completed_at") | (undated & by("changed_at"))] = "completed"
    state[by("voided_at")] = "void"
    return state


def _dues(session: Session, window: FactWindow) -> dict[str, pd.Series]:
    """Return the deadlines in force of accept, contact and callback, by ticket: the latest, unless cancelled.

    An earlier deadline never comes back into force: a reopening creates a new one for the same target.
    """
    d = Deadline
    query = (
        select(col(d.ticket_id), col(d.target), col(d.round), micros(session, d.due_at), col(d.cancelled_at))
        .join(Ticket, col(Ticket.id) == col(d.ticket_id))
        .where(touched(window), col(d.target).in_(["accept", "contact", "callback"]))
    )
    rows = read(session, query, ("id", "target", "round", "due", "ended"), ("id", "round", "due"))
    rows = rows.sort_values("round").drop_duplicates(["id", "target"], keep="last")
    rows = rows[rows["ended"].isna()]
    return {str(target): group.set_index("id")["due"] for target, group in rows.groupby("target")}


def _callbacks(session: Session, window: FactWindow) -> pd.DataFrame:
    c = Callback
    names = ("id", "outcome", "score_speed", "score_attitude", "score_outcome")
    query = (
        select(col(c.ticket_id), col(c.outcome), col(c.speed), col(c.attitude), col(c.result_score))
        .join(Ticket, col(Ticket.id) == col(c.ticket_id))
        .where(touched(window))
        .order_by(col(c.id))
    )
    rows = read(session, query, names, ("id",))
    reached = rows[rows["outcome"] == "reached"].drop_duplicates("id", keep="last").set_index("id")
    found = pd.DataFrame({"callback_attempts": rows.groupby("id").size()})
    found["callback_reached"] = found.index.isin(reached.index)
    for name in names[2:]:
        found[name] = reached[name].reindex(found.index)
    return found


def _suspended(
    session: Session, ref: Reference, frame: pd.DataFrame, window: FactWindow
) -> tuple[pd.Series, pd.Series]:
    """Return working seconds suspended between the last dispatch and completion, and whether ever suspended."""
    s = Suspension
    query = (
        select(col(s.ticket_id), micros(session, s.from_at), micros(session, s.to_at))
        .join(Ticket, col(Ticket.id) == col(s.ticket_id))
        .where(touched(window))
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
            seconds[ticket_id] += working_seconds(calendar, [max(begin, int(since))], [end])[0]
    return seconds, ever


# --------------------------------------------------------------------------------------- derived columns


def _finish(
    session: Session, ref: Reference, frame: pd.DataFrame, relapse_days: int, window: FactWindow
) -> pd.DataFrame:
    frame = frame.copy()
    ends = frame["completed_at"].where(frame["end_state"] == "completed")
    limit = min(window.end, window.as_of + 1)
    stated_end = (
        frame["end_completed_at"] if "end_completed_at" in frame else pd.Series(pd.NA, index=frame.index, dtype="Int64")
    )
    ends = stated_end.fillna(ends.where(ends < limit))
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
    """Return whether a category or one of its ancestors is marked as a practical matter."""
    return any(above.practical for above in upwards(ref.categories, node.id))


def _relapsed(session: Session, frame: pd.DataFrame, window: FactWindow) -> pd.Series:
    """Return whether the matter was reported again after closing, within the relapse window, as known at ``as_of``."""
    child = aliased(Ticket)
    query = (
        select(col(child.parent_id), micros(session, child.received_at))
        .join(Ticket, col(Ticket.id) == col(child.parent_id))
        .where(touched(window), col(child.received_at) <= from_micros(window.as_of))
    )
    again = read(session, query, ("id", "at"), ("id", "at"))
    if again.empty:
        return pd.Series(False, index=frame.index)
    joined = again.merge(frame[["closed_at", "relapse_until"]], left_on="id", right_index=True)
    hit = joined[(joined["at"] > joined["closed_at"]) & (joined["at"] <= joined["relapse_until"])]
    return pd.Series(frame.index.isin(hit["id"]), index=frame.index)


def _handling(ref: Reference, frame: pd.DataFrame) -> pd.Series:
    """Return working seconds from dispatch to completion on each unit's calendar, less suspensions."""
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
        worked = working_seconds(calendars[int(key)], list(rows["dispatched_at"]), list(rows["completed_at"]))
        worked = worked - rows["suspended_seconds"].fillna(0).to_numpy(dtype="int64")
        seconds[rows.index] = np.maximum(worked, 0)
    return seconds
