"""The tickets of one transaction: prepared before it begins where possible, and written in it.

Tickets are prepared again in the transaction where the reference data has changed since, or where the rows name units,
categories or grids that do not exist yet.
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
    """The outcome of one row: its status, its ticket where it has one, and the errors of a rejected row."""

    status: Status
    ticket_id: int | None = None
    errors: Sequence[FieldProblem] = ()


Follow = Callable[[UnitOfWork, int, TicketIn], RowOutcome]
"""Updates a stored ticket (by id) to the content that its source sends now."""


@dataclass(frozen=True, slots=True)
class IngestContext:
    """How the rows of one entry point are imported.

    ``history``: rows are historical tickets, and missing units, categories and grids are created. ``live``: open
    tickets are supervised. ``actor`` is recorded in the event log.
    """

    origin: rejects.RejectOrigin
    source_code: str
    actor: str
    history: bool = False
    live: bool = False
    follow: Follow | None = None
    """Applied to a stored ticket whose content differs; None: the row is rejected."""


class PreparedChunk:
    """Rows of one transaction, with the ids reserved for their tickets."""

    def __init__(
        self,
        runtime: Runtime,
        context: IngestContext,
        rows: Sequence[InputRow],
        now: datetime,
        ids: Sequence[int] | None = None,
    ) -> None:
        self.context, self.rows, self.now = context, rows, now
        self._zone = runtime.settings.zone
        self._tickets: dict[int, TicketIn] = {
            n: fitted(row.ticket) if isinstance(row.ticket, HistoricalTicket) else row.ticket
            for n, row in enumerate(rows)
            if row.ticket is not None
        }
        self._ids = runtime.ids.take(len(self._tickets)) if ids is None else ids
        self._reference: Reference | None = None
        self._prepared: list[tuple[int, intake.PreparedTicket]] = []
        self._rejected: dict[int, Sequence[FieldProblem]] = {}

    def prepare(self, ref: Reference) -> None:
        """Prepare the tickets by ``ref``, unless they name nodes that do not exist yet. Raises Invalid where the source
        is unknown or inactive."""
        if self.context.history and history.missing_places(history.ReferenceFinder(ref), self._historical_tickets()):
            return
        self._prepare(ref)

    def write(self, uow: UnitOfWork) -> Sequence[RowOutcome]:
        """Write the tickets and return the outcome of each row, in order."""
        session, ref = uow.session, uow.ref
        if self._reference is not ref:
            ref = self._with_missing_nodes(session, ref)
            self._prepare(ref)
            uow = replace(uow, ref=ref)
        self._reference = None  # rows change while they are written: a retry prepares them again
        outcomes: list[RowOutcome | None] = [
            None if row.ticket is not None else RowOutcome("rejected", errors=row.errors) for row in self.rows
        ]
        for n, problems in self._rejected.items():
            outcomes[n] = RowOutcome("rejected", errors=problems)
        differing: list[tuple[int, int]] = []
        results = intake.write(session, [row for _, row in self._prepared])
        for (n, _), inserted in zip(self._prepared, results, strict=True):
            if inserted.status == "differs":
                differing.append((n, inserted.ticket_id))
            else:
                outcomes[n] = RowOutcome(inserted.status, inserted.ticket_id)
        if differing:
            for n, outcome in self._differing_outcomes(uow, differing):
                outcomes[n] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _historical_tickets(self) -> Iterator[HistoricalTicket]:
        for ticket in self._tickets.values():
            assert isinstance(ticket, HistoricalTicket), "an import maps rows to tickets of the past"
            yield ticket

    def _with_missing_nodes(self, session: Session, ref: Reference) -> Reference:
        """Create the nodes that these tickets name and the reference data lacks; return the reference data."""
        if not self.context.history:
            return ref
        places = history.ReferenceFinder(ref)
        missing = history.missing_places(places, self._historical_tickets())
        if not missing:
            return ref
        history.make_places(session, places, missing)
        return read_reference(session)

    def _prepare(self, ref: Reference) -> None:
        source = _source(ref, self.context.source_code)
        places = history.ReferenceFinder(ref) if self.context.history else None
        self._prepared, self._rejected = [], {}
        for (n, ticket), ticket_id in zip(self._tickets.items(), self._ids, strict=False):
            try:
                row = self._row(ref, places, source, n, ticket, ticket_id)
            except Invalid as error:
                self._rejected[n] = error.problems
            else:
                self._prepared.append((n, row))
        self._reference = ref

    def _row(
        self,
        ref: Reference,
        places: history.ReferenceFinder | None,
        source: SourceInfo,
        n: int,
        ticket: TicketIn,
        ticket_id: int,
    ) -> intake.PreparedTicket:
        fingerprint = self.rows[n].fingerprint or ticket_fingerprint(ticket)
        if places is None:
            return intake.prepare(
                ref, ticket, source, ticket_id=ticket_id, fingerprint=fingerprint,
                actor=self.context.actor, now=self.now, zone=self._zone,
            )  # fmt: skip
        assert isinstance(ticket, HistoricalTicket), "an import maps rows to tickets of the past"
        return history.prepare(
            places, ticket, source, ticket_id=ticket_id, fingerprint=fingerprint,
            actor=self.context.actor, now=self.now, zone=self._zone, live=self.context.live,
        )  # fmt: skip

    def _differing_outcomes(
        self, uow: UnitOfWork, differing: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, RowOutcome]]:
        """The outcomes of rows whose ticket is stored with other content."""
        session, ref = uow.session, uow.ref
        if self.context.follow is not None:
            for n, ticket_id in differing:
                yield n, self.context.follow(uow, ticket_id, self._ticket(n))
            return
        stored: dict[int, Ticket] = {}
        for start in range(0, len(differing), _PARAMETERS):
            wanted = [ticket_id for _, ticket_id in differing[start : start + _PARAMETERS]]
            for ticket in session.execute(select(Ticket).where(col(Ticket.id).in_(wanted))).scalars():
                stored[ticket.id] = ticket
        for n, ticket_id in differing:
            incoming = self._ticket(n)
            if compare.overridden_source_fingerprint(session, ticket_id) == ticket_fingerprint(incoming):
                yield n, RowOutcome("unchanged", ticket_id)  # a retry of the source; the office's correction remains
                continue
            fields = compare.differing(session, ref, stored[ticket_id], incoming)
            if isinstance(incoming, HistoricalTicket):
                fields += differing_lifecycle_fields(stored[ticket_id], incoming)
            yield n, RowOutcome("rejected", ticket_id, [_differs(ticket_id, field) for field in fields or [""]])

    def _ticket(self, n: int) -> TicketIn:
        ticket = self.rows[n].ticket
        assert ticket is not None, "only rows with a ticket were written"
        return ticket


def _differs(ticket_id: int, field: str) -> FieldProblem:
    pointer = f"/{field.replace('.', '/')}" if field else ""
    return FieldProblem(
        pointer,
        f"与已有工单 {ticket_id} 的内容不同；更正请用 PATCH，重复的外部编号请改正",
        f"differs from ticket {ticket_id}; use PATCH to correct it, or another identifier for another ticket",
        "differs",
    )


def _source(ref: Reference, code: str) -> SourceInfo:
    source = ref.source_by_code(code)
    if source is None or not source.active:
        raise Invalid.at("/source", f"来源 {code!r} 不存在或已停用", f"the source {code!r} is unknown or inactive")
    return source
