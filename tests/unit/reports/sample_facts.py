"""Facts to test with: rows spelled out by hand, and random lives of tickets told to the frame."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from reports.facts.frame import PATH_SEPARATOR, conform
from reports.period import Period, parse_period

MARCH = parse_period("monthly", "2024-03", "Asia/Shanghai")
APRIL_1 = datetime(2024, 3, 31, 16, 0, tzinfo=UTC)
"""The end of March in Shanghai."""

UNITS = {"B": ("B",), "B1": ("B", "B1"), "B2": ("B", "B2"), "B21": ("B", "B2", "B21"), "C": ("C",)}
CATEGORIES = {"env": ("env",), "noise": ("env", "noise"), "dogs": ("env", "dogs"), "wages": ("wages",)}
SATISFACTION = ("very_satisfied", "satisfied", "basically_satisfied", "dissatisfied", "very_dissatisfied", None)


def at(text: str) -> datetime:
    """A moment in Shanghai, ``03-15 09:00`` of 2024, with seconds or without."""
    return datetime.fromisoformat(f"2024-{text.replace(' ', 'T')}+08:00").astimezone(UTC)


def ticket(ticket_id: int, received: datetime, **facts: Any) -> dict[str, Any]:
    """One row of facts: a completed or open ticket of March as it stands, unless ``facts`` says otherwise."""
    status = facts.get("status", "accepted")
    end_state = {"completed": "completed", "closed": "completed", "void": "void"}.get(status, "open")
    row = {"ticket_id": ticket_id, "number": f"N{ticket_id}", "received_at": received, "status": status}
    row |= {"start_state": "absent", "end_state": end_state, "end_completed_at": facts.get("completed_at")}
    row |= {"void": status == "void"}
    return row | facts


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A conforming frame of ``rows``."""
    return (
        conform(pd.DataFrame(rows))
        if rows
        else conform(pd.DataFrame({"ticket_id": [], "received_at": [], "status": []}))
    )


def many(count: int, received: datetime, first_id: int = 1, **facts: Any) -> list[dict[str, Any]]:
    """``count`` rows that differ in their id alone."""
    return [ticket(first_id + number, received, **facts) for number in range(count)]


@st.composite
def lives(draw: st.DrawFn, period: Period = MARCH, max_size: int = 25) -> tuple[pd.DataFrame, datetime]:
    """A frame of tickets with random lives around ``period``, and the ``as_of`` at which they are known.

    The lives are told in hours from 40 days before the period, so events fall on its very start and end too.
    """
    start = period.start.astimezone(UTC)
    end_hour = 24 * period.days
    as_of = start + timedelta(
        hours=draw(st.sampled_from([0, 1, 24 * 10, end_hour - 1, end_hour, end_hour + 1, end_hour + 500]))
    )
    rows = []
    for ticket_id in range(1, draw(st.integers(0, max_size)) + 1):
        received = start + timedelta(hours=draw(st.integers(-60, 60)) * draw(st.sampled_from([0, 1, 13])))
        row = draw(_life(ticket_id, received, period, as_of))
        if row is not None:
            rows.append(row)
    return frame(rows), as_of


@st.composite
def _life(
    draw: st.DrawFn, ticket_id: int, received: datetime, period: Period, as_of: datetime
) -> dict[str, Any] | None:
    """One ticket: completed, reopened, completed again … closed or void, as far as is known at ``as_of``."""
    if received > as_of or received >= period.end:
        return None
    events: list[tuple[datetime, str]] = [(received, "open")]
    for _ in range(draw(st.integers(0, 4))):
        moment = events[-1][0] + timedelta(hours=draw(st.integers(0, 40)) * draw(st.sampled_from([1, 24])))
        state = events[-1][1]
        following = {
            "open": ["completed", "completed", "void"],
            "completed": ["open", "closed", "void"],
            "closed": ["open"],
        }
        if state == "void" or moment > as_of:
            break
        events.append((moment, draw(st.sampled_from(following[state]))))
    undated = draw(st.integers(0, 9)) == 0 and [state for _, state in events] == ["open", "completed"]
    if undated:  # a source that says "completed", and not when: completed from the moment it was received
        events = [(received, "completed")]
    start, end = period.start.astimezone(UTC), period.end.astimezone(UTC)
    completions = [moment for moment, state in events if state == "completed" and not undated]
    ended = [moment for moment in completions if moment < end]
    state = events[-1][1]
    deadline = st.one_of(st.none(), st.integers(0, 30).map(lambda days: received + timedelta(days=days)))
    unit, category = draw(st.sampled_from([*UNITS, None])), draw(st.sampled_from([*CATEGORIES, None]))
    score = st.one_of(st.none(), st.integers(1, 5))
    attempts = draw(st.integers(0, 2))
    mediated = draw(st.booleans())
    return {
        "ticket_id": ticket_id, "number": f"N{ticket_id}", "source": draw(st.sampled_from(["12345", "sulaiban", None])),
        "kind": draw(st.sampled_from(["complaint", "help", "dispute", None])),
        "priority": draw(st.sampled_from(["normal", "urgent"])),
        "unit": unit, "unit_path": PATH_SEPARATOR.join(UNITS[unit]) if unit else None,
        "category": category, "category_path": PATH_SEPARATOR.join(CATEGORIES[category]) if category else None,
        "practical": category == "wages", "received_at": received,
        "status": {"open": "accepted"}.get(state, state), "void": state == "void",
        "start_state": _state([e for e in events if e[0] < start]),
        "end_state": _state([e for e in events if e[0] < end]),
        "completed_at": completions[-1] if completions else None,
        "first_completed_at": completions[0] if completions else None,
        "end_completed_at": ended[-1] if ended else None,
        "voided_at": events[-1][0] if state == "void" else None,
        "complete_due_at": draw(deadline), "accept_due_at": draw(deadline), "contact_due_at": draw(deadline),
        "accepted_at": draw(deadline), "contacted_at": draw(deadline), "relapse_until": draw(deadline),
        "source_verdict": draw(st.sampled_from([None, None, "on_time", "late"])) if state in {"completed", "closed"} else None,
        "callback_attempts": attempts, "callback_reached": attempts > 0 and draw(st.booleans()),
        "satisfaction": draw(st.sampled_from(SATISFACTION)), "resolved": draw(st.sampled_from([True, False, None])),
        "score_speed": draw(score), "score_attitude": draw(score), "score_outcome": draw(score),
        "supervised": draw(st.booleans()), "reopened": draw(st.integers(0, 2)), "returned": draw(st.integers(0, 2)),
        "extended": draw(st.booleans()), "repeated": draw(st.booleans()), "relapsed": draw(st.booleans()),
        "mediation_ended": mediated, "mediation_agreed": mediated and draw(st.booleans()),
        "handling_seconds": draw(st.one_of(st.none(), st.integers(0, 10**7))),
        "citizen_seconds": draw(st.one_of(st.none(), st.integers(0, 10**7))),
    }  # fmt: skip


def _state(events: list[tuple[datetime, str]]) -> str:
    if not events:
        return "absent"
    return {"closed": "completed"}.get(events[-1][1], events[-1][1])
