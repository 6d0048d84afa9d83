"""The raw rows of rejects as a reader may see them: whole, with the disclosure recorded, or with the reporter masked.

``app.security.permissions`` decides who may see whole rows; ``ingest.rejects.masked_rows`` masks them. The disclosure of
a row that cannot be read by column names is recorded as one of ``raw``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.errors import Invalid, NotFound
from app.models import Reject
from app.runtime import Runtime
from app.security.permissions import may, record_raw_looks
from app.security.principal import Principal
from ingest.rejects.masked_rows import UNREADABLE, RawRow, mask_row
from ingest.rejects.retry import profile_of_reject
from ingest.rows.profile import Profile


def visible_rows(run: Runtime, who: Principal, rows: Sequence[Reject], now: datetime) -> list[str | None]:
    """Return the raw rows of rejects as ``who`` may see them: whole, or masked.

    For whole rows, an audit record of each disclosed reporter is written before returning. Raises the database's error
    where that is not possible; nothing is disclosed then.
    """
    if not may(who, "reporter.reveal"):
        return masked_rows(run, rows)
    disclosed = {
        row.id: located.personal
        for row, located in zip(rows, _masked_all(run, rows), strict=True)
        if row.id and located.personal
    }
    if disclosed:
        with run.database.write() as session:
            record_raw_looks(session, who, disclosed, now)
    return [row.raw for row in rows]


def masked_rows(run: Runtime, rows: Sequence[Reject]) -> list[str | None]:
    """Return the raw rows with the reporter masked, for a list; None for a row whose reporter cannot be located."""
    return [located.masked for located in _masked_all(run, rows)]


def _masked_all(run: Runtime, rows: Sequence[Reject]) -> list[RawRow]:
    profiles: dict[str, Profile | None] = {}
    located: list[RawRow] = []
    for row in rows:
        name = row.profile
        if name is not None and name not in profiles:
            try:
                profiles[name] = profile_of_reject(run, name)
            except (Invalid, NotFound):
                profiles[name] = None  # the profile has been removed since
        profile_missing = name is not None and profiles[name] is None
        located.append(
            UNREADABLE if profile_missing else mask_row(row.raw, profiles[name] if name is not None else None)
        )
    return located
