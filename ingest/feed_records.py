"""The records of one page, read: a ticket or why it is none, when it was changed, and whether it has been heard before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.errors import FieldProblem
from app.models import FeedRecord
from app.services.rejects import digest_of
from ingest.batch import raw_of
from ingest.chunks import Line
from ingest.feed_spec import FeedSpec
from ingest.mapping import Mapper
from ingest.problems import problem
from ingest.schema import HistoricalTicket, future_problem
from ingest.sources.jsonrows import row_of
from ingest.sources.rest import Record, member
from ingest.values import MomentReader

BELIEVED_AHEAD = timedelta(days=1)
"""A change stamped further ahead of now is a slip of the upstream's clock; believed, it would hide every later one."""
_OLDEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Said:
    """One record on its way in."""

    number: int
    raw: str
    digest: str
    updated_at: datetime | None
    ticket: HistoricalTicket | None
    errors: Sequence[FieldProblem]

    def line(self) -> Line:
        """As a line of ``ingest.chunks``."""
        return Line(self.number, self.ticket, self.errors, lambda: self.raw)


def read_records(spec: FeedSpec, records: Sequence[Record], now: datetime) -> list[Said]:
    """Every record of a page read by the feed's mapping, older versions first; the very same record once."""
    profile = spec.profile()
    wanted = profile.column_names()
    read_moment = MomentReader(profile.times, ZoneInfo(profile.time_zone))
    mapper: Mapper | None = None
    found: dict[str, Said] = {}
    for number, record in enumerate(records, 1):
        raw = raw_of(record)
        digest = digest_of(raw)
        if digest in found:
            continue
        ticket: HistoricalTicket | None = None
        errors: Sequence[FieldProblem] = (problem("model_type"),)
        if isinstance(record, Mapping):
            columns, row = row_of(number, record, wanted)
            mapper = mapper or Mapper(profile, columns)
            mapped = mapper.map(row)
            if isinstance(mapped, HistoricalTicket):
                early = future_problem(mapped, now)
                ticket, errors = (None, (early,)) if early else (mapped, ())
            else:
                errors = mapped
        updated = _moment(member(record, spec.updated), read_moment, now) if spec.updated else None
        found[digest] = Said(number, raw, digest, updated, ticket, errors)
    return sorted(found.values(), key=lambda one: one.updated_at or _OLDEST)


def is_known(one: Said, known: Mapping[str, FeedRecord]) -> bool:
    """Whether the stored ticket has heard this already: the very record, or a later version of it."""
    row = known.get(one.ticket.external_id) if one.ticket else None
    if row is None:
        return False
    if row.digest == one.digest:
        return True
    return one.updated_at is not None and row.updated_at is not None and one.updated_at < row.updated_at


def _moment(value: Any, read: MomentReader, now: datetime) -> datetime | None:
    """When the record was changed; none where that cannot be read or believed, which is no reason to refuse it."""
    if value is None:
        return None
    try:
        found = read(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found <= now + BELIEVED_AHEAD else None
