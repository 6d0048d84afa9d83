"""Row access: which rows exist for a principal. The one place that decides it.

    visible(query, who, Alert)     a query narrowed to the rows of a table that ``who`` may see
    find(session, who, Alert, 7)   one row by its id, None where it does not exist for ``who``
    sees(who, ticket, ref)         the same rule for a row that is loaded
    keep(alert, ticket, ref)       the same rule for later and without a session: an entry of the live stream

A rule is one function of a row's attributes. Given the mapped class, the attributes are columns and it gives a condition
in SQL; given a row, they are values and it gives True or False. So both cannot differ, and a condition added to
``ticket_rule`` holds for tickets and for all that is derived from them.

What a role may do, and which fields of a row it may read, is decided in ``app.security.permissions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

from sqlalchemy import Boolean, Select, and_, exists, false, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, SQLModel, col

from app.errors import NotFound
from app.models import (
    Alert,
    Callback,
    Deadline,
    Disclosure,
    Extension,
    Feed,
    FeedPull,
    ImportRun,
    Reject,
    Report,
    SupervisionOrder,
    Ticket,
    TicketEvent,
    Unit,
)
from app.security.permissions import in_subtree
from app.security.principal import ROLES, Principal

OFFICE = frozenset(ROLES) - {"unit", "integrator"}
"""Roles that no unit and no source bounds."""

Q = TypeVar("Q", bound=Select[*tuple[Any, ...]])
Row = TypeVar("Row", bound=SQLModel)
Condition = Any
"""True or False where it does not depend on the row, a condition in SQL where it does."""


class UnitNode(Protocol):
    """A unit of the reference data."""

    @property
    def id(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def path(self) -> str: ...


N = TypeVar("N", bound=UnitNode)


class HasUnits(Protocol[N]):  # type: ignore[misc]  # the mapping is only read
    """What is asked of the reference data here: the units by id."""

    @property
    def units(self) -> Mapping[int, N]: ...


# ---------------------------------------------------------------------------------------- a rule's terms, in two forms


class _Terms(Protocol):
    """What rules are made of. ``within``: the unit is in the principal's subtree; ``within_code``: the same by a unit's
    code; ``own``: the source is the integrator's; ``ticket``: the row's ticket is visible."""

    @property
    def who(self) -> Principal: ...
    def within(self, unit_id: Any) -> Condition: ...
    def within_code(self, code: Any) -> Condition: ...
    def own(self, source_id: Any) -> Condition: ...
    def ticket(self, row: Any) -> Condition: ...
    def either(self, *conditions: Condition) -> Condition: ...
    def both(self, *conditions: Condition) -> Condition: ...


@dataclass(frozen=True, slots=True)
class _Columns:
    """Terms over columns: conditions in SQL. ``ref``: where given, the subtree is written into them as a list of ids."""

    who: Principal
    ref: HasUnits[Any] | None = None

    def _subtree(self, of_unit: Any) -> Any:
        path = self.who.unit_path or "\x7f"  # no path has this character
        return select(of_unit).where(col(Unit.path).startswith(path, autoescape=True))

    def within(self, unit_id: Any) -> Condition:
        if self.ref is None:
            return unit_id.in_(self._subtree(Unit.id))
        return unit_id.in_([key for key, node in self.ref.units.items() if in_subtree(self.who, node.path)])

    def within_code(self, code: Any) -> Condition:
        return code.in_(self._subtree(Unit.code))

    def own(self, source_id: Any) -> Condition:
        return self.who.source_id is not None and source_id == self.who.source_id

    def ticket(self, row: Any) -> Condition:
        of = aliased(Ticket)
        condition = ticket_rule(self, of)
        return condition if isinstance(condition, bool) else exists().where(of.id == row.ticket_id, condition)

    def either(self, *conditions: Condition) -> Condition:
        if any(each is True for each in conditions):
            return True
        left = [each for each in conditions if each is not False]
        return or_(*left) if left else False

    def both(self, *conditions: Condition) -> Condition:
        if any(each is False for each in conditions):
            return False
        left = [each for each in conditions if each is not True]
        return and_(*left) if left else True


@dataclass(frozen=True, slots=True)
class _Values:
    """Terms over the values of a loaded row, with the units of ``ref`` and the ticket that the row belongs to."""

    who: Principal
    ref: HasUnits[Any]
    of: Any = None

    def within(self, unit_id: int | None) -> bool:
        node = self.ref.units.get(unit_id) if unit_id is not None else None
        return node is not None and in_subtree(self.who, node.path)

    def within_code(self, code: str) -> bool:
        return any(node.code == code and in_subtree(self.who, node.path) for node in self.ref.units.values())

    def own(self, source_id: int | None) -> bool:
        return source_id is not None and source_id == self.who.source_id

    def ticket(self, row: Any) -> bool:
        if self.of is None or self.of.id != row.ticket_id:
            raise ValueError(f"the ticket {row.ticket_id} is needed to decide who may see the row")
        return bool(ticket_rule(self, self.of))

    def either(self, *conditions: bool) -> bool:
        return any(conditions)

    def both(self, *conditions: bool) -> bool:
        return all(conditions)


# ----------------------------------------------------------------------------------------------------------- the rules


def ticket_rule(terms: _Terms, ticket: Any) -> Condition:
    """A unit sees the tickets that it, or a unit below it, has or was the first to be asked about (首问负责); an integrator
    those of its source; the office all."""
    if terms.who.role == "unit":
        return terms.either(terms.within(ticket.unit_id), terms.within(ticket.first_unit_id))
    if terms.who.role == "integrator":
        return terms.own(ticket.source_id)
    return terms.who.role in OFFICE


def _of_ticket(terms: _Terms, row: Any) -> Condition:
    """Every principal that may see the ticket."""
    return terms.ticket(row)


def _against_unit(terms: _Terms, row: Any) -> Condition:
    """A unit sees what was raised against itself or a unit below it, while it sees the ticket; no integrator does."""
    if terms.who.role == "unit":
        return terms.both(terms.within(row.unit_id), terms.ticket(row))
    return terms.both(terms.who.role in OFFICE, terms.ticket(row))


def _report(terms: _Terms, report: Any) -> Condition:
    """A unit sees the reports about itself and the units below it; the office all."""
    if terms.who.role == "unit":
        return terms.within_code(report.scope)
    return terms.who.role in OFFICE


def _reject(terms: _Terms, reject: Any) -> Condition:
    """An integrator sees the rejects of its source; the office all."""
    if terms.who.role == "integrator":
        return terms.own(reject.source_id)
    return terms.who.role in OFFICE


def _office(terms: _Terms, _: Any) -> Condition:
    """The office alone."""
    return terms.who.role in OFFICE


RULES: Mapping[type[SQLModel], Callable[[_Terms, Any], Condition]] = {
    Ticket: ticket_rule,
    TicketEvent: _of_ticket,
    Deadline: _of_ticket,
    Callback: _of_ticket,
    Extension: _of_ticket,
    Alert: _against_unit,
    SupervisionOrder: _against_unit,
    Report: _report,
    Reject: _reject,
    ImportRun: _office,
    Feed: _office,
    FeedPull: _office,
    Disclosure: _office,
}
"""Tables whose rows are shown to principals. Reference data (units, categories, calendars, policies) is for everybody."""


# -------------------------------------------------------------------------------------------------------------- asking


def visible(query: Q, who: Principal, table: type[SQLModel], ref: HasUnits[Any] | None = None) -> Q:
    """``query`` narrowed to the rows of ``table``, one of its FROM, that ``who`` may see; for lists and counts.

    ``ref``: the reference data, for long tables: the planner then knows how many units are asked for.
    """
    condition = RULES[table](_Columns(who, ref), table)
    if condition is True:
        return query
    return query.where(false() if condition is False else condition)


def find(session: Session, who: Principal, table: type[Row], row_id: int, *, lock: bool = False) -> Row | None:
    """The row of ``table`` with this id; None where there is none that ``who`` may see. ``lock``: for the transaction."""
    key: Any = table
    query = visible(select(table).where(key.id == row_id), who, table)
    found: Row | None = session.execute(query.with_for_update() if lock else query).scalar_one_or_none()
    return found


def sees(who: Principal, row: SQLModel, ref: HasUnits[Any], ticket: Ticket | None = None) -> bool:
    """Whether ``who`` may see a loaded row; ``ticket``: the one that it belongs to, for a table that is judged by it."""
    return bool(RULES[type(row)](_Values(who, ref, ticket), row))


@dataclass(frozen=True, slots=True)
class Kept:
    """What decides who may see a row and its ticket, without the session and without their texts."""

    table: type[SQLModel]
    row: SimpleNamespace
    ticket: SimpleNamespace
    ref: HasUnits[Any]

    def seen_by(self, who: Principal) -> bool:
        """Whether ``who`` may see the row."""
        return bool(RULES[self.table](_Values(who, self.ref, self.ticket), self.row))


def keep(row: SQLModel, ticket: Ticket, ref: HasUnits[Any]) -> Kept:
    """Remember who may see ``row``, which belongs to ``ticket``, as both are now."""
    return Kept(type(row), _ties(row), _ties(ticket), ref)


def _ties(row: SQLModel) -> SimpleNamespace:
    """The keys and flags of a row: what rules ask of it."""
    columns = row.__table__.columns  # type: ignore[attr-defined]
    kept = (c.key for c in columns if c.primary_key or c.foreign_keys or isinstance(c.type, Boolean))
    return SimpleNamespace(**{name: getattr(row, name) for name in kept})


def covers(who: Principal, unit: UnitNode) -> bool:
    """Whether ``who`` may have a list or a choice narrowed to ``unit``: a unit to its own subtree, others to any."""
    return who.role != "unit" or in_subtree(who, unit.path)


def own_unit(who: Principal, ref: HasUnits[N]) -> N | None:
    """The unit whose subtree bounds ``who``; None for a role that no unit bounds. Raises NotFound for one of role ``unit``
    whose unit is gone."""
    if who.role != "unit":
        return None
    found = ref.units.get(who.unit_id) if who.unit_id is not None else None
    if found is None:
        raise NotFound("没有这个范围", "there is no such scope")
    return found
