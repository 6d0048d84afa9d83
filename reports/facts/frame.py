"""The facts frame: one row per ticket that any figure of a period counts, everything as known at ``as_of``.

The frame holds the tickets received in the period, those open at its start, those completed, reopened or voided in it,
and those open at its end; also ``number`` and the dimensions. ``E`` below is the period's end or ``as_of``, whichever is
earlier: an event *at* the end belongs to the next period, an event *at* ``as_of`` is known.

The columns have plain types: they can be written to Parquet and queried by SQL under the same names.
"""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

Dtype = Literal["key", "text", "code", "moment", "yes", "maybe", "count", "score", "seconds"]

PATH_SEPARATOR = "\x1f"
"""Between the codes of a path, root first: a sign that no code can hold."""

COLUMNS: dict[str, tuple[Dtype, str]] = {
    "ticket_id": ("key", "id"),
    "number": ("text", "as printed"),
    "source": ("code", "code of the source"),
    "kind": ("code", "consult … dispute"),
    "category": ("code", "code of the category"),
    "category_path": ("code", "codes from the root to the category"),
    "practical": ("yes", "its category counts as a practical matter (实事类)"),
    "unit": ("code", "code of the responsible unit"),
    "unit_path": ("code", "codes from the root to the unit"),
    "first_unit": ("code", "code of the first-contact unit (首问负责)"),
    "grid": ("code", "code of the grid"),
    "grid_path": ("code", "codes from the root to the grid"),
    "priority": ("code", "normal, urgent, emergency"),
    "severity": ("code", "ordinary, major, grave"),
    "status": ("code", "its state"),
    "start_state": ("code", "at the period's start: absent, open, completed, void"),
    "end_state": ("code", "at E: absent, open, completed, void"),
    "received_at": ("moment", ""),
    "dispatched_at": ("moment", "last dispatch"),
    "accepted_at": ("moment", "accepted after the last dispatch"),
    "contacted_at": ("moment", "the unit first contacted the citizen"),
    "completed_at": ("moment", "last completion; none where the source does not say when"),
    "first_completed_at": ("moment", "first completion"),
    "end_completed_at": ("moment", "last completion before E, never before received_at"),
    "closed_at": ("moment", ""),
    "voided_at": ("moment", ""),
    "accept_due_at": ("moment", "deadline in force; so for the next three"),
    "contact_due_at": ("moment", ""),
    "complete_due_at": ("moment", ""),
    "callback_due_at": ("moment", ""),
    "relapse_until": ("moment", "closing plus the relapse window"),
    "source_verdict": ("code", "on_time, late: verdict of a source that gave no moments to judge by; else none"),
    "callback_attempts": ("count", ""),
    "callback_reached": ("yes", "an attempt since the last completion reached the citizen"),
    "satisfaction": ("code", "last answer"),
    "resolved": ("maybe", "last answer"),
    "score_speed": ("score", "last answer, 1–5; so for the next two"),
    "score_attitude": ("score", ""),
    "score_outcome": ("score", ""),
    "supervised": ("yes", "a supervision order was issued"),
    "reopened": ("count", "times reopened"),
    "returned": ("count", "times returned"),
    "extended": ("yes", "an extension was approved"),
    "suspended": ("yes", "was suspended at any time"),
    "repeated": ("yes", "linked to an earlier ticket"),
    "relapsed": ("yes", "reported again within the relapse window"),
    "void": ("yes", ""),
    "mediation_ended": ("yes", ""),
    "mediation_agreed": ("yes", ""),
    "handling_seconds": ("seconds", "working seconds from dispatch to completion, on the unit clock"),
    "citizen_seconds": ("seconds", "natural seconds from the first report to the true end"),
}

_PANDAS: dict[Dtype, Any] = {
    "key": "int64",
    "text": "str",
    "code": "category",
    "moment": "datetime64[us, UTC]",
    "yes": "bool",
    "maybe": "boolean",
    "count": "int32",
    "score": "Int8",
    "seconds": "Int64",
}
_DEFAULT: dict[Dtype, Any] = {"yes": False, "count": 0}


def conform(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with exactly the columns above, in their order and dtypes; a missing column is empty, false or 0.

    Raises ValueError for a column unknown to the schema, and if one of the three required columns is missing.
    """
    unknown = sorted(set(frame.columns) - set(COLUMNS))
    if unknown:
        raise ValueError(f"facts have no column {', '.join(unknown)}; known are {', '.join(COLUMNS)}")
    missing = sorted({"ticket_id", "received_at", "status"} - set(frame.columns))
    if missing:
        raise ValueError(f"facts need the column {', '.join(missing)}")
    made: dict[str, pd.Series] = {}
    for name, (dtype, _) in COLUMNS.items():
        if name not in frame.columns:
            made[name] = _cast(pd.Series([_DEFAULT.get(dtype)] * len(frame), index=frame.index, dtype=object), dtype)
        else:
            made[name] = _cast(frame[name], dtype)
    return pd.DataFrame(made, index=frame.index).reset_index(drop=True)


def empty() -> pd.DataFrame:
    """Return a frame without rows."""
    return conform(pd.DataFrame({"ticket_id": [], "received_at": [], "status": []}))


def _cast(column: pd.Series, dtype: Dtype) -> pd.Series:
    if str(column.dtype) == _PANDAS[dtype] and dtype != "code":
        return column
    if dtype == "moment":
        column = pd.to_datetime(column, utc=True)
    if dtype == "code":
        column = column.astype(object).where(column.notna(), None).astype("str")  # one dtype, also if empty
    if dtype in _DEFAULT:
        column = column.astype("boolean" if dtype == "yes" else "Int32").fillna(_DEFAULT[dtype])
    cast: pd.Series = column.astype(_PANDAS[dtype])
    return cast
