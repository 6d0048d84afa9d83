"""The raw rows of rejects as somebody may see them: whole and recorded, or with the reporter masked.

Which part of a row is the reporter is told by the profile (of its file, or of its feed) that it was read by; a pushed row has
it under ``reporter``. Of a row that cannot be read by names, nobody can tell: it is hidden whole, or its look is kept as one
at ``raw``. Who may see the whole: ``app.security.permissions``.
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
_PUSHED = "reporter"
_NOTHING: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class RawRow:
    """A raw row looked through. ``held``: what stands in it of a reporter (``name``, ``phone``, ``id_number``, or ``raw``
    where that cannot be told). ``masked``: the row without it; none where it cannot be told."""

    held: tuple[str, ...]
    masked: str | None


UNREADABLE = RawRow((RAW,), None)


def mask_row(raw: str, profile: Profile | None) -> RawRow:
    """The raw row of a reject that was read by ``profile`` (none: as a ticket as pushed)."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(content, dict):
        return UNREADABLE
    held: set[str] = set()
    masked = _masked(content, (), _parts(profile), held)
    return RawRow(
        tuple(name for name in MASKS if name in held), json.dumps(masked, ensure_ascii=False) if held else raw
    )


def _parts(profile: Profile | None) -> Mapping[str, str]:
    """Column, by its key → the part of the reporter that it holds."""
    if profile is None:
        return {name: name.partition(".")[2] for name in REPORTER_FIELDS}
    return {
        column_key(column): name.partition(".")[2]
        for name in REPORTER_FIELDS
        if name in profile.fields
        for column in profile.fields[name].all_names
    }


def _masked(content: Any, path: tuple[str, ...], parts: Mapping[str, str], held: set[str]) -> Any:
    part = parts.get(column_key(".".join(path))) if path else None
    pushed = bool(path) and path[0] == _PUSHED and f"{_PUSHED}.name" in parts
    if part is None and isinstance(content, dict):
        return {key: _masked(value, (*path, str(key)), parts, held) for key, value in content.items()}
    if (part is None and not pushed) or content in _NOTHING:
        return content
    held.update([part] if part else MASKS)  # a reporter that is no object may be any of them
    return MASKS[part](str(content)) if part and isinstance(content, str | int | float) else HIDDEN


def visible_rows(run: Runtime, who: Principal, rows: Sequence[Reject], now: datetime) -> list[str | None]:
    """The raw rows of rejects that have been read, as ``who`` may see them: whole, and each look at a reporter recorded before
    this returns; or masked. Raises what a database that is away raises: nothing is shown then."""
    if not may(who, "reporter.reveal"):
        return masked_rows(run, rows)
    looked = {row.id: found.held for row, found in zip(rows, _all(run, rows), strict=True) if row.id and found.held}
    if looked:
        with run.database.write() as session:
            record_raw_looks(session, who, looked, now)
    return [row.raw for row in rows]


def masked_rows(run: Runtime, rows: Sequence[Reject]) -> list[str | None]:
    """The raw rows with the reporter masked, for a list; none for one of which nobody can tell what to mask."""
    return [found.masked for found in _all(run, rows)]


def _all(run: Runtime, rows: Sequence[Reject]) -> list[RawRow]:
    profiles: dict[str, Profile | None] = {}
    found: list[RawRow] = []
    for row in rows:
        name = row.profile
        if name is not None and name not in profiles:
            try:
                profiles[name] = profile_of_reject(run, name)
            except (Invalid, NotFound):
                profiles[name] = None  # what it was read by is gone
        lost = name is not None and profiles[name] is None
        found.append(UNREADABLE if lost else mask_row(row.raw, profiles[name] if name is not None else None))
    return found
