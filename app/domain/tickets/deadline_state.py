"""The state of a deadline at a moment: the one rule by which pages, API, lists and reports call it overdue."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

UNIT_CLOCK: Final = ("accept", "contact", "complete")
"""Targets that stop while the ticket is suspended."""


class DeadlineTimes(Protocol):
    """The times of a stored deadline; all aware."""

    target: str
    due_at: datetime
    met_at: datetime | None
    cancelled_at: datetime | None


def state_of(deadline: DeadlineTimes, now: datetime, *, suspended: bool = False) -> str:
    """Return ``met``, ``met_late``, ``cancelled``, ``suspended``, ``overdue`` or ``pending``.

    ``suspended``: the ticket is suspended at ``now``. At the exact due time a deadline is still pending.
    """
    if deadline.met_at is not None:
        return "met" if deadline.met_at <= deadline.due_at else "met_late"
    if deadline.cancelled_at is not None:
        return "cancelled"
    if suspended and deadline.target in UNIT_CLOCK:
        return "suspended"
    return "overdue" if now > deadline.due_at else "pending"
