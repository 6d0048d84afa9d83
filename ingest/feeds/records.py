"""Parse the records of one page: the ticket or its validation errors, the time of change, and whether it is known."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.errors import FieldProblem
from app.models import FeedRecord
from app.services.intake.rejects import digest_of
from app.validation import problem
from ingest.connectors.base import Record
from ingest.connectors.rest import member
from ingest.connectors.spec import FeedSpec
from ingest.formats.json_rows import REST, row_of
from ingest.rows.mapper import Mapper
from ingest.rows.row import InputRow, raw_of
from ingest.rows.ticket_in import HistoricalTicket, future_problem
from ingest.rows.values import MomentReader, text_of

ID_LENGTH = 64
BELIEVED_AHEAD = timedelta(days=1)
"""A change time further ahead of now is ignored as a clock error; accepted, it would hide every later change."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
OLDEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UpstreamRecord:
    """One upstream record: the parsed ticket or its validation errors."""

    number: int
    raw: str
    digest: str
    external_id: str | None
    updated_at: datetime | None
    ticket: HistoricalTicket | None
    errors: Sequence[FieldProblem]

    def input_row(self) -> InputRow:
        """Return the record as an input row."""
        return InputRow(self.number, self.ticket, self.errors, lambda: self.raw, self.external_id)


class RecordReader:
    """Reads the records of one feed by its mapping."""

    def __init__(self, spec: FeedSpec) -> None:
        profile = spec.profile()
        self._wanted = profile.column_names()
        self._mapper = Mapper(profile, (*self._wanted, REST))
        self._read_moment = MomentReader(profile.times, ZoneInfo(profile.time_zone))
        self._updated = spec.updated
        self._id_names = profile.fields["external_id"].columns

    def page(self, records: Sequence[Record], now: datetime) -> list[UpstreamRecord]:
        """Return the records of a page, older versions first, without identical duplicates."""
        result: dict[str, UpstreamRecord] = {}
        for number, record in enumerate(records, 1):
            raw = raw_of(record)
            digest = digest_of(raw)
            if digest not in result:
                ticket, errors = self._ticket(number, record, now)
                external_id = ticket.external_id if ticket else self._id_of(record)
                updated_at = self.updated_at(record, now)
                result[digest] = UpstreamRecord(number, raw, digest, external_id, updated_at, ticket, errors)
        return sorted(result.values(), key=lambda one: one.updated_at or OLDEST)

    def updated_at(self, record: Record, now: datetime) -> datetime | None:
        """Return when the record was changed; None where missing, unreadable or implausible, which is no error."""
        value = member(record, self._updated) if self._updated else None
        if value is None:
            return None
        try:
            result = self._read_moment(value)
        except (ValueError, TypeError, OverflowError):
            return None
        return result if result <= now + BELIEVED_AHEAD else None

    def updated_at_of_raw(self, raw: str, now: datetime) -> datetime | None:
        """Return when a record stored as text was changed."""
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError):
            return None  # stored as escaped text, not as JSON
        return self.updated_at(record, now)

    def _ticket(
        self, number: int, record: Record, now: datetime
    ) -> tuple[HistoricalTicket | None, Sequence[FieldProblem]]:
        if not isinstance(record, Mapping):
            return None, (problem("model_type"),)
        _, row = row_of(number, record, self._wanted)
        mapped = self._mapper.map(row)
        if not isinstance(mapped, HistoricalTicket):
            return None, mapped
        early = future_problem(mapped, now)
        return (None, (early,)) if early else (mapped, ())

    def _id_of(self, record: Record) -> str | None:
        """Return the id of an invalid record where it would be valid as a ticket's id."""
        values = (member(record, name) for name in self._id_names)
        text = next((text for value in values if isinstance(value, str | int) and (text := text_of(value))), "")
        return text if 0 < len(text) <= ID_LENGTH and not _UNSTORABLE.search(text) else None


def is_known(one: UpstreamRecord, known: Mapping[str, FeedRecord]) -> bool:
    """Return whether the stored ticket already has this record or a later version of it."""
    row = known.get(one.external_id) if one.external_id else None
    if row is None:
        return False
    if row.digest == one.digest:
        return True
    return one.updated_at is not None and row.updated_at is not None and one.updated_at < row.updated_at
