"""Many rows, one transaction: what batch and import share. Each row becomes a ticket, is known already, or is a reject.

A row that the database refuses is found by halving its chunk, so that it sinks no neighbour. What is said of rows in
bulk is said once the transaction has been committed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import orjson
import psycopg
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from app.domain.errors import FieldProblem, Invalid
from app.models import Ticket
from app.runtime import Runtime
from app.services import history, intake, rejects
from app.services.reference import Reference, SourceInfo, read_reference
from app.store import trouble
from ingest import stored
from ingest.mapping import CODE_LENGTH, fitting_code
from ingest.schema import HistoricalTicket, Named, TicketIn, fingerprint

log = logging.getLogger("duban.intake")

Status = Literal["created", "unchanged", "rejected", "corrected"]
_LIFE = (
    "status", "dispatched_at", "accepted_at", "completed_at", "closed_at", "voided_at", "source_flag", "source_verdict",
    "result", "satisfaction",
)  # fmt: skip
"""What a ticket of the past says besides its content."""
_NODES = ("unit", "category", "grid")
_PARAMETERS = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One row on its way in: a ticket, or why it is none. ``raw`` gives the whole row as text, should it be kept, and
    ``external_id`` by whose id, where a feed's record says so."""

    number: int
    ticket: TicketIn | None
    errors: Sequence[FieldProblem]
    raw: Callable[[], str]
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one row."""

    status: Status
    ticket_id: int | None = None
    errors: Sequence[FieldProblem] = ()


Follow = Callable[[Session, Reference, int, TicketIn, datetime], Fate]
"""Brings a stored ticket to what its source says now; the ticket's id, what it says, and the moment."""


@dataclass(frozen=True, slots=True)
class Door:
    """How rows come in here. ``history``: they are tickets of the past, and what they name is made where missing;
    ``live``: those still open are supervised. ``actor`` is what the event log keeps."""

    place: rejects.Place
    source_code: str
    actor: str
    history: bool = False
    live: bool = False
    follow: Follow | None = None
    """What is done about a ticket that is there and reads otherwise now; none: the row is refused."""


@dataclass
class Tally:
    """How many rows had which fate."""

    created: int = 0
    unchanged: int = 0
    rejected: int = 0
    corrected: int = 0

    def count(self, fates: Iterable[Fate]) -> Tally:
        """This tally and those fates."""
        made = Tally(self.created, self.unchanged, self.rejected, self.corrected)
        for fate in fates:
            setattr(made, fate.status, getattr(made, fate.status) + 1)
        return made


AtEnd = Callable[[Session, Sequence[Line], Sequence[Fate]], None]
"""What else belongs into the transaction of these lines: the position of an import."""


def take_in(
    runtime: Runtime, door: Door, lines: Sequence[Line], now: datetime, at_end: AtEnd | None = None
) -> Iterator[tuple[Sequence[Line], Sequence[Fate]]]:
    """Take ``lines`` in; gives each part with its fates once that is committed: one part, unless the database refuses
    something. Raises what the database raises when it is away; what was given before then is stored."""
    try:
        fates = _commit(runtime, door, lines, now, at_end)
    except DBAPIError as error:
        if not trouble.is_of_a_row(error):
            raise
        if len(lines) > 1:
            half = len(lines) // 2
            yield from take_in(runtime, door, lines[:half], now, at_end)
            yield from take_in(runtime, door, lines[half:], now, at_end)
            return
        log.warning("a row that the database refuses", extra={"error": type(error.orig).__name__})
        refused = [replace(lines[0], ticket=None, errors=(_unstorable(),))]
        fates = _commit(runtime, door, refused, now, at_end)
    yield lines, fates


def _commit(runtime: Runtime, door: Door, lines: Sequence[Line], now: datetime, at_end: AtEnd | None) -> Sequence[Fate]:
    ids = runtime.ids.take(sum(line.ticket is not None for line in lines))
    try:
        return _transaction(runtime, door, lines, ids, now, at_end)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.DeadlockDetected):
            raise
        return _transaction(runtime, door, lines, ids, now, at_end)  # undone whole, so that it can be done again


def _transaction(
    runtime: Runtime, door: Door, lines: Sequence[Line], ids: Sequence[int], now: datetime, at_end: AtEnd | None
) -> Sequence[Fate]:
    with runtime.writing() as (session, ref):
        fates = _Part(runtime, door, session, ref, lines, ids, now).fates()
        kept = [
            rejects.Refused(line.number, fate.errors, line.raw(), line.external_id)
            for line, fate in zip(lines, fates, strict=True)
            if fate.status == "rejected"
        ]
        rejects.keep(session, kept, door.place, now)
        if at_end is not None:
            at_end(session, lines, fates)
    return fates


def write_lines(
    runtime: Runtime, session: Session, door: Door, lines: Sequence[Line], ids: Sequence[int], now: datetime
) -> Sequence[Fate]:
    """Write the tickets of ``lines`` in the transaction of ``session``; nothing is kept of those that are refused."""
    return _Part(runtime, door, session, runtime.reference.get(session), lines, ids, now).fates()


def _unstorable() -> FieldProblem:
    return FieldProblem(
        "", "数据库无法保存此行的内容", "the database cannot store the content of this row", "unstorable"
    )


class _Part:
    """The tickets of one transaction."""

    def __init__(
        self,
        runtime: Runtime,
        door: Door,
        session: Session,
        ref: Reference,
        lines: Sequence[Line],
        ids: Sequence[int],
        now: datetime,
    ) -> None:
        self.zone = runtime.settings.zone
        self.door, self.session, self.ref, self.now = door, session, ref, now
        self.lines = lines
        self.ids = iter(ids)
        self.found: list[Fate | None] = [
            None if line.ticket is not None else Fate("rejected", errors=line.errors) for line in lines
        ]

    def fates(self) -> Sequence[Fate]:
        """Write the tickets; what became of each line."""
        waiting = [n for n, fate in enumerate(self.found) if fate is None]
        prepare = self._preparer(waiting)
        taken: list[tuple[int, intake.Prepared]] = []
        for n in waiting:
            try:
                taken.append((n, prepare(n)))
            except Invalid as error:
                self.found[n] = Fate("rejected", errors=error.problems)
        differing: list[tuple[int, int]] = []
        outcomes = intake.write(self.session, [row for _, row in taken])
        for (n, _), outcome in zip(taken, outcomes, strict=True):
            if outcome.status == "differs":
                differing.append((n, outcome.ticket_id))
            else:
                self.found[n] = Fate(outcome.status, outcome.ticket_id)
        self._refuse_differing(differing)
        return [fate for fate in self.found if fate is not None]

    def _preparer(self, waiting: Sequence[int]) -> Callable[[int], intake.Prepared]:
        if self.door.history:
            return self._past(waiting)
        ref, source = self.ref, _source(self.ref, self.door.source_code)

        def prepare(n: int) -> intake.Prepared:
            ticket = self.lines[n].ticket
            assert ticket is not None, "only lines with a ticket wait"
            return intake.prepare(
                ref, ticket, source, ticket_id=next(self.ids), fingerprint=fingerprint(ticket),
                actor=self.door.actor, now=self.now, zone=self.zone,
            )  # fmt: skip

        return prepare

    def _past(self, waiting: Sequence[int]) -> Callable[[int], intake.Prepared]:
        tickets = {n: _with_paths(self.lines[n].ticket) for n in waiting}
        places = history.Places(self.ref)
        missing = history.missing_places(places, tickets.values())
        if missing:
            history.make_places(self.session, places, missing)
            self.ref = read_reference(self.session)
            places = history.Places(self.ref)
        source = _source(self.ref, self.door.source_code)

        def prepare(n: int) -> intake.Prepared:
            ticket = tickets[n]
            return history.prepare(
                places, ticket, source, ticket_id=next(self.ids), fingerprint=past_fingerprint(ticket),
                actor=self.door.actor, now=self.now, zone=self.zone, live=self.door.live,
            )  # fmt: skip

        return prepare

    def _refuse_differing(self, differing: Sequence[tuple[int, int]]) -> None:
        if self.door.follow is not None:
            for n, ticket_id in differing:
                said = self.lines[n].ticket
                assert said is not None, "only lines with a ticket were written"
                self.found[n] = self.door.follow(self.session, self.ref, ticket_id, said, self.now)
            return
        there: dict[int, Ticket] = {}
        for start in range(0, len(differing), _PARAMETERS):
            wanted = [ticket_id for _, ticket_id in differing[start : start + _PARAMETERS]]
            for ticket in self.session.execute(select(Ticket).where(col(Ticket.id).in_(wanted))).scalars():
                there[ticket.id] = ticket
        for n, ticket_id in differing:
            incoming = self.lines[n].ticket
            assert incoming is not None, "only lines with a ticket were written"
            if stored.said_before_the_office(self.session, ticket_id) == _print_of(incoming):
                self.found[n] = Fate("unchanged", ticket_id)  # what the office corrected since then stands
                continue
            fields = stored.differing(self.session, self.ref, there[ticket_id], incoming)
            if isinstance(incoming, HistoricalTicket):
                fields += _life_that_differs(there[ticket_id], incoming)
            self.found[n] = Fate("rejected", ticket_id, [_differs(ticket_id, field) for field in fields or [""]])


def _differs(ticket_id: int, field: str) -> FieldProblem:
    pointer = f"/{field.replace('.', '/')}" if field else ""
    return FieldProblem(
        pointer,
        f"与已有工单 {ticket_id} 的内容不同；更正请用 PATCH，重复的外部编号请改正",
        f"is not what ticket {ticket_id} already says; PATCH corrects a ticket, another ticket needs an id of its own",
        "differs",
    )


def _source(ref: Reference, code: str) -> SourceInfo:
    source = ref.source_by_code(code)
    if source is None or not source.active:
        raise Invalid.at("/source", f"来源 {code!r} 不存在或已停用", f"the source {code!r} is unknown or switched off")
    return source


def _with_paths(ticket: TicketIn | None) -> HistoricalTicket:
    """The ticket, with codes that Duban can hold: what a file gives as a unit may be a long name."""
    assert isinstance(ticket, HistoricalTicket), "an import maps rows to tickets of the past"
    changes: dict[str, Any] = {}
    for name in _NODES:
        code = getattr(ticket, name)
        if code is not None and len(code) > CODE_LENGTH and not getattr(ticket, f"{name}_path"):
            changes[name] = fitting_code(code)
            changes[f"{name}_path"] = (Named(fitting_code(code), code),)
    return ticket.model_copy(update=changes) if changes else ticket


def _print_of(ticket: TicketIn) -> str:
    return past_fingerprint(_with_paths(ticket)) if isinstance(ticket, HistoricalTicket) else fingerprint(ticket)


def past_fingerprint(ticket: HistoricalTicket) -> str:
    """The fingerprint of a ticket of the past: of its content as pushed and of its life. One that has only been
    received so far has that of the push, so that a push of the same ticket later is known as the same."""
    life = _life_of({name: getattr(ticket, name) for name in _LIFE})
    content = fingerprint(ticket)
    if not life:
        return content
    return hashlib.sha256(content.encode() + orjson.dumps(life, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _life_of(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in said.items()
        if value is not None and not (name == "status" and value == "received")
    }


def _life_that_differs(ticket: Ticket, incoming: HistoricalTicket) -> list[str]:
    return [name for name in _LIFE if name != "source_flag" and getattr(ticket, name) != getattr(incoming, name)]
