"""The tickets of one transaction: prepared before it begins, as far as that can be, and written in it.

What is prepared by one picture of the reference data is prepared again where another is in force by then, or where the
rows name units, categories or grids that are still to be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from app.errors import FieldProblem, Invalid
from app.models import Ticket
from app.runtime import Runtime
from app.services.core.reference import Reference, SourceInfo, read_reference
from app.services.core.unit_of_work import UnitOfWork
from app.services.intake import create as intake
from app.services.intake import history, rejects
from ingest.rows import compare
from ingest.rows.row import InputRow, differing_lifecycle_fields, fitted, ticket_fingerprint
from ingest.rows.ticket_in import HistoricalTicket, TicketIn

Status = Literal["created", "unchanged", "rejected", "corrected"]
_PARAMETERS = 500


class RowOutcome(NamedTuple):
    """What became of one row."""

    status: Status
    ticket_id: int | None = None
    errors: Sequence[FieldProblem] = ()


Follow = Callable[[UnitOfWork, int, TicketIn], RowOutcome]
"""Updates a stored ticket (by id) to what its source says now."""


@dataclass(frozen=True, slots=True)
class IngestContext:
    """How rows come in here. ``history``: they are tickets of the past, and what they name is made where missing;
    ``live``: those still open are supervised. ``actor`` is what the event log keeps."""

    place: rejects.RejectOrigin
    source_code: str
    actor: str
    history: bool = False
    live: bool = False
    follow: Follow | None = None
    """What is done about a ticket that is there and reads otherwise now; none: the row is refused."""


class PreparedChunk:
    """Lines of one door, with the ids of the tickets they may become."""

    def __init__(
        self,
        runtime: Runtime,
        door: IngestContext,
        lines: Sequence[InputRow],
        now: datetime,
        ids: Sequence[int] | None = None,
    ) -> None:
        self.door, self.lines, self.now = door, lines, now
        self._zone = runtime.settings.zone
        self._tickets: dict[int, TicketIn] = {
            n: fitted(line.ticket) if isinstance(line.ticket, HistoricalTicket) else line.ticket
            for n, line in enumerate(lines)
            if line.ticket is not None
        }
        self._ids = runtime.ids.take(len(self._tickets)) if ids is None else ids
        self._picture: Reference | None = None
        self._rows: list[tuple[int, intake.PreparedTicket]] = []
        self._refused: dict[int, Sequence[FieldProblem]] = {}

    def prepare(self, ref: Reference) -> None:
        """Prepare the tickets by ``ref``, unless something that they name is still to be made. Raises Invalid where the
        source of the door is none."""
        if self.door.history and history.missing_places(history.ReferenceFinder(ref), self._past()):
            return
        self._prepare(ref)

    def write(self, uow: UnitOfWork) -> Sequence[RowOutcome]:
        """Write the tickets; the outcome of each row."""
        session, ref = uow.session, uow.ref
        if self._picture is not ref:
            ref = self._with_places(session, ref)
            self._prepare(ref)
            uow = replace(uow, ref=ref)
        self._picture = None  # rows change as they are written: for a second try they are prepared anew
        found: list[RowOutcome | None] = [
            None if line.ticket is not None else RowOutcome("rejected", errors=line.errors) for line in self.lines
        ]
        for n, problems in self._refused.items():
            found[n] = RowOutcome("rejected", errors=problems)
        differing: list[tuple[int, int]] = []
        outcomes = intake.write(session, [row for _, row in self._rows])
        for (n, _), outcome in zip(self._rows, outcomes, strict=True):
            if outcome.status == "differs":
                differing.append((n, outcome.ticket_id))
            else:
                found[n] = RowOutcome(outcome.status, outcome.ticket_id)
        if differing:
            for n, fate in self._fates_of_differing(uow, differing):
                found[n] = fate
        return [fate for fate in found if fate is not None]

    def _past(self) -> Iterator[HistoricalTicket]:
        for ticket in self._tickets.values():
            assert isinstance(ticket, HistoricalTicket), "an import maps rows to tickets of the past"
            yield ticket

    def _with_places(self, session: Session, ref: Reference) -> Reference:
        """The reference data, with all that these tickets name made in it."""
        if not self.door.history:
            return ref
        places = history.ReferenceFinder(ref)
        missing = history.missing_places(places, self._past())
        if not missing:
            return ref
        history.make_places(session, places, missing)
        return read_reference(session)

    def _prepare(self, ref: Reference) -> None:
        source = _source(ref, self.door.source_code)
        places = history.ReferenceFinder(ref) if self.door.history else None
        self._rows, self._refused = [], {}
        for (n, ticket), ticket_id in zip(self._tickets.items(), self._ids, strict=False):
            try:
                row = self._row(ref, places, source, n, ticket, ticket_id)
            except Invalid as error:
                self._refused[n] = error.problems
            else:
                self._rows.append((n, row))
        self._picture = ref

    def _row(
        self,
        ref: Reference,
        places: history.ReferenceFinder | None,
        source: SourceInfo,
        n: int,
        ticket: TicketIn,
        ticket_id: int,
    ) -> intake.PreparedTicket:
        fingerprint = self.lines[n].fingerprint or ticket_fingerprint(ticket)
        if places is None:
            return intake.prepare(
                ref, ticket, source, ticket_id=ticket_id, fingerprint=fingerprint,
                actor=self.door.actor, now=self.now, zone=self._zone,
            )  # fmt: skip
        assert isinstance(ticket, HistoricalTicket), "an import maps rows to tickets of the past"
        return history.prepare(
            places, ticket, source, ticket_id=ticket_id, fingerprint=fingerprint,
            actor=self.door.actor, now=self.now, zone=self._zone, live=self.door.live,
        )  # fmt: skip

    def _fates_of_differing(
        self, uow: UnitOfWork, differing: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, RowOutcome]]:
        """The outcomes of rows whose ticket is stored with other content."""
        session, ref = uow.session, uow.ref
        if self.door.follow is not None:
            for n, ticket_id in differing:
                yield n, self.door.follow(uow, ticket_id, self._said(n))
            return
        there: dict[int, Ticket] = {}
        for start in range(0, len(differing), _PARAMETERS):
            wanted = [ticket_id for _, ticket_id in differing[start : start + _PARAMETERS]]
            for ticket in session.execute(select(Ticket).where(col(Ticket.id).in_(wanted))).scalars():
                there[ticket.id] = ticket
        for n, ticket_id in differing:
            incoming = self._said(n)
            if compare.overridden_source_fingerprint(session, ticket_id) == ticket_fingerprint(incoming):
                yield n, RowOutcome("unchanged", ticket_id)  # what the office corrected since then stands
                continue
            fields = compare.differing(session, ref, there[ticket_id], incoming)
            if isinstance(incoming, HistoricalTicket):
                fields += differing_lifecycle_fields(there[ticket_id], incoming)
            yield n, RowOutcome("rejected", ticket_id, [_differs(ticket_id, field) for field in fields or [""]])

    def _said(self, n: int) -> TicketIn:
        ticket = self.lines[n].ticket
        assert ticket is not None, "only lines with a ticket were written"
        return ticket


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
