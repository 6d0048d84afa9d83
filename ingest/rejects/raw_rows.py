"""The raw rows of rejects as a reader may see them: whole, with the disclosure recorded, or with the reporter masked.

The profile of the file or feed identifies the reporter's columns; a pushed row has them under ``reporter``. A row that
cannot be read by column names is hidden completely, or its disclosure is recorded as one of ``raw``.
``app.security.permissions`` decides who may see whole rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.errors import Invalid, NotFound
from app.models import Reject
from app.runtime import Runtime
from app.security.masking import MASKS
from app.security.permissions import may, record_raw_looks
from app.security.principal import Principal
from ingest.rejects.retry import profile_of_reject
from ingest.rows.profile import REPORTER_FIELDS, Profile, column_key

RAW = "raw"
HIDDEN = "***"
_REPORTER = "reporter"
_EMPTY_VALUES: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class RawRow:
    """A raw row with its personal data located. ``personal``: the reporter's parts in it (``name``, ``phone``,
    ``id_number``, or ``raw`` where they cannot be located). ``masked``: the masked row; None where they cannot."""

    personal: tuple[str, ...]
    masked: str | None


UNREADABLE = RawRow((RAW,), None)


def mask_row(raw: str, profile: Profile | None) -> RawRow:
    """Locate and mask the reporter in the raw row of a reject read by ``profile`` (None: a pushed ticket)."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(content, dict):
        return UNREADABLE
    personal: set[str] = set()
    masked = _masked(content, (), _parts(profile), personal)
    return RawRow(
        tuple(name for name in MASKS if name in personal), json.dumps(masked, ensure_ascii=False) if personal else raw
    )


def _parts(profile: Profile | None) -> Mapping[str, str]:
    """Map each column key to the part of the reporter in that column."""
    if profile is None:
        return {name: name.partition(".")[2] for name in REPORTER_FIELDS}
    return {
        column_key(column): name.partition(".")[2]
        for name in REPORTER_FIELDS
        if name in profile.fields
        for column in profile.fields[name].all_names
    }


def _masked(content: Any, path: tuple[str, ...], parts: Mapping[str, str], personal: set[str]) -> Any:
    part = parts.get(column_key(".".join(path))) if path else None
    is_pushed_reporter = bool(path) and path[0] == _REPORTER and f"{_REPORTER}.name" in parts
    if part is None and isinstance(content, dict):
        return {key: _masked(value, (*path, str(key)), parts, personal) for key, value in content.items()}
    if (part is None and not is_pushed_reporter) or content in _EMPTY_VALUES:
        return content
    personal.update([part] if part else MASKS)  # a reporter that is not an object may hold any part
    return MASKS[part](str(content)) if part and isinstance(content, str | int | float) else HIDDEN


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
