"""Who is asking: the one object that permissions and the event log look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

RoleName = Literal["admin", "dispatcher", "supervisor", "caller", "unit", "leader", "auditor", "integrator"]
ROLES: tuple[RoleName, ...] = get_args(RoleName)


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person, an API key, or the service itself.

    ``actor`` is what the event log keeps: ``user:NAME``, ``key:ID`` or ``system:NAME``. ``unit_path`` bounds a
    principal of role ``unit`` to a subtree (``/1/7/``); ``source_id`` bounds an integrator to its source.
    """

    actor: str
    name: str
    role: RoleName
    unit_id: int | None = None
    unit_path: str | None = None
    source_id: int | None = None


SYSTEM = Principal(actor="system:duban", name="Duban", role="admin")
"""The service itself: the sweeper, the scheduler, the command line."""
