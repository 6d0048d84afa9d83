"""Reading facts: the moments that they cover, the tickets concerned, and columns as frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import BigInteger, ColumnElement, and_, func, or_, type_coerce
from sqlmodel import Session, col

from app.domain.tickets.lifecycle import OPEN
from app.domain.time.workcalendar import WorkCalendar
from app.models import Ticket
from app.models.types import from_micros, to_micros
from app.services.deadlines.bulk_due import working_many
from reports.period import Period


@dataclass(frozen=True, slots=True)
class FactWindow:
    """The moments that facts cover: the period's start, its end, ``as_of``, in microseconds since 1970 UTC."""

    start: int
    end: int
    as_of: int

    @classmethod
    def of(cls, period: Period, as_of: datetime) -> FactWindow:
        """Return the window of ``period`` as known at ``as_of``."""
        return cls(*(to_micros(m.astimezone(UTC)) for m in (period.start, period.end, as_of)))


def micros(session: Session, column: Any) -> ColumnElement[Any]:
    """Select a timestamp column as microseconds, without a Python object for each value."""
    if session.get_bind().dialect.name == "postgresql":
        return (func.extract("epoch", column) * 1_000_000).cast(BigInteger)
    return type_coerce(column, BigInteger)


def touched(window: FactWindow) -> ColumnElement[bool]:
    """Select the tickets concerned by the period: received in it, changed since its start, or open."""
    start, end = from_micros(window.start), from_micros(window.end)
    return and_(
        col(Ticket.received_at) < end,
        or_(col(Ticket.received_at) >= start, col(Ticket.changed_at) >= start, col(Ticket.status).in_(sorted(OPEN))),
    )


def read(session: Session, query: Any, names: Sequence[str], numbers: Iterable[str]) -> pd.DataFrame:
    """Return the result of ``query`` as a frame with columns ``names``; those in ``numbers`` are nullable integers."""
    rows = session.execute(query).all()
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    frame = pd.DataFrame({name: np.array(values, dtype=object) for name, values in zip(names, columns, strict=True)})
    for name in numbers:
        frame[name] = frame[name].astype("Int64")
    return frame


def working_seconds(calendar: WorkCalendar, starts: Sequence[int], ends: Sequence[int]) -> Any:
    """Return working seconds between moments given in microseconds."""
    return working_many(calendar, np.array(starts, np.int64), np.array(ends, np.int64)) // 1_000_000
