"""Permissions: who may do what, and who may see a reporter's personal data. Defined here only.

Three tables define them:

* steps of a ticket's life: ``app.domain.tickets.lifecycle.TABLE`` (a role for each step);
* everything else: ``MAY`` below;
* the reporter's name, phone and id number: ``sees_reporter`` below.

Which rows exist for a caller at all is decided in ``app.store.scope``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sqlmodel import Session

from app.domain.tickets.fields import REPORTER
from app.domain.words import ROLE, say
from app.errors import Forbidden
from app.models import Disclosure, Ticket
from app.security.principal import ROLES, Principal

REPORTER_FIELDS = ",".join(field.part for field in REPORTER)

_EVERYBODY = frozenset(ROLES)
_PEOPLE = _EVERYBODY - {"integrator"}

MAY: Mapping[str, frozenset[str]] = {
    "alerts.see": _PEOPLE,
    "alerts.acknowledge": frozenset({"admin", "dispatcher", "supervisor", "unit"}),
    "extensions.rule": frozenset({"admin", "dispatcher", "supervisor", "leader"}),
    "orders.issue": frozenset({"admin", "supervisor", "leader"}),
    "orders.reply": frozenset({"admin", "unit"}),
    "orders.rule": frozenset({"admin", "supervisor"}),
    "reports.see": _PEOPLE - {"caller"},
    "reports.make": frozenset({"admin", "supervisor", "leader", "dispatcher"}),
    "clear_out.see": _PEOPLE - {"caller"},
    "clear_out.edit": frozenset({"admin", "supervisor", "leader"}),
    "feeds.see": frozenset({"admin", "dispatcher", "supervisor", "leader", "auditor"}),
    "feeds.run": frozenset({"admin", "dispatcher"}),
    "feeds.edit": frozenset({"admin"}),
    "accounts.manage": frozenset({"admin"}),
    "reference.edit": frozenset({"admin", "dispatcher"}),
    "deadlines.edit": frozenset({"admin", "dispatcher"}),
    "deadlines.replay": frozenset({"admin", "dispatcher", "supervisor", "leader", "auditor"}),
    "tickets.enter": frozenset({"admin", "dispatcher"}),
    "files.import": frozenset({"admin", "dispatcher"}),
    "rejects.settle": frozenset({"admin", "dispatcher", "integrator"}),
    "disclosures.see": frozenset({"admin", "auditor"}),
    "reporter.reveal": frozenset({"admin", "dispatcher", "supervisor", "caller", "unit"}),
}
"""Permissions other than steps of a ticket's life, with the roles that have them."""


def may(who: Principal, permission: str) -> bool:
    """Whether the role of ``who`` has ``permission``, a key of ``MAY``."""
    return who.role in MAY[permission]


def require(who: Principal, permission: str) -> None:
    """Refuse with Forbidden, naming the roles that may, unless ``who`` has ``permission``."""
    if may(who, permission):
        return
    roles = [role for role in ROLES if role in MAY[permission]]
    raise Forbidden(
        f"“{say(ROLE, who.role)}”没有此权限；可执行的角色：{'、'.join(say(ROLE, r) for r in roles)}",
        f"the role {who.role} may not do this; roles that may: {', '.join(roles)}",
    )


class _HasPath(Protocol):
    @property
    def path(self) -> str: ...


class HasUnits(Protocol):
    """What is asked of the reference data here: the path of a unit."""

    @property
    def units(self) -> Mapping[int, _HasPath]: ...


def in_subtree(who: Principal, path: str) -> bool:
    """Whether the unit with this ``path`` is the principal's own or one below it; False for a principal without a unit."""
    return bool(who.unit_path) and path.startswith(str(who.unit_path))


def holds(who: Principal, ticket: Ticket, ref: HasUnits) -> bool:
    """Whether a unit has the ticket now, itself or below it; True for every other role, which no ticket is assigned to."""
    if who.role != "unit":
        return True
    holder = ref.units.get(ticket.unit_id) if ticket.unit_id is not None else None
    return holder is not None and in_subtree(who, holder.path)


def may_write_source(who: Principal, source_id: int | None) -> bool:
    """Whether tickets of this source may be pushed and corrected with the principal's key: an integrator's own, any for
    other roles."""
    return who.role != "integrator" or (source_id is not None and source_id == who.source_id)


def sees_reporter(who: Principal, ticket: Ticket, ref: HasUnits) -> bool:
    """Whether ``who`` may see the full name, phone and id number of this ticket's reporter.

    The office (administrator, dispatcher, supervisor) and the callers may: they talk to the citizen. A unit may while it
    has the ticket; once the ticket has gone to another unit, it may not. Leaders and auditors read figures and records,
    and need no phone number. An integrator neither, not even of what it pushed itself: it has the data in its own
    system, and a key that leaks must not turn into a telephone directory.
    """
    return may(who, "reporter.reveal") and holds(who, ticket, ref)


def record_disclosure(session: Session, who: Principal, ticket_id: int, now: datetime) -> Disclosure:
    """Write an audit record that ``who`` viewed the full reporter; must be called for every such view."""
    row = Disclosure(ticket_id=ticket_id, actor=who.actor, fields=REPORTER_FIELDS, at=now)
    session.add(row)
    session.flush()
    return row


def record_raw_looks(session: Session, who: Principal, held: Mapping[int, Sequence[str]], now: datetime) -> None:
    """Write an audit record that ``who`` viewed raw rows of rejects; ``held``: the id of each, and its reporter fields."""
    for reject_id, fields in held.items():
        session.add(Disclosure(reject_id=reject_id, actor=who.actor, fields=",".join(fields), at=now))
    session.flush()
