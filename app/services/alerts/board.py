"""The alert board (预警看板): live alerts by card, counted and listed by one set of conditions, so that a counter always
equals the list that it opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.models import Alert, Ticket
from app.security.permissions import require
from app.security.principal import Principal
from app.services.alerts.book import LIVE
from app.store import supervision as store
from app.store.scope import visible

COLUMNS: Final = ("red", "yellow", "reminder")
"""Cards in the order of their weight; an alert without a card is a reminder."""


@dataclass(frozen=True, slots=True)
class BoardFilter:
    """The filter of the board; ``unit_id`` includes its subtree, ``state`` is open, acked, or none for both."""

    unit_id: int | None = None
    target: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnCount:
    """How many alerts of one column there are, and how many of them nobody has acknowledged."""

    live: int
    open: int


def _conditions(who: Principal, f: BoardFilter) -> list[Any]:
    require(who, "alerts.see")
    found: list[Any] = [col(Alert.state) == f.state if f.state in LIVE else col(Alert.state).in_(LIVE)]
    if f.target is not None:
        found.append(col(Alert.target) == f.target)
    if f.unit_id is not None:
        found.append(store.unit_subtree(col(Alert.unit_id), f.unit_id))
    return found


def tallies(session: Session, who: Principal, f: BoardFilter) -> Mapping[str, ColumnCount]:
    """The counters of all columns. Raises Forbidden for a role that may not see alerts."""
    query = (
        select(col(Alert.card), col(Alert.state), func.count())
        .where(*_conditions(who, f))
        .group_by(col(Alert.card), col(Alert.state))
    )
    rows = session.execute(visible(query, who, Alert))
    counted = {(card or "reminder", state): int(n) for card, state, n in rows}
    return {
        card: ColumnCount(sum(counted.get((card, state), 0) for state in LIVE), counted.get((card, "open"), 0))
        for card in COLUMNS
    }


def column(
    session: Session, who: Principal, f: BoardFilter, card: str, *, before: int | None = None, limit: int
) -> list[tuple[Alert, Ticket]]:
    """The alerts of one column with their tickets, newest first, from below the id ``before``."""
    conditions = _conditions(who, f)
    conditions.append(col(Alert.card).is_(None) if card == "reminder" else col(Alert.card) == card)
    return store.newest_with_tickets(session, who, Alert, conditions, before, limit)
