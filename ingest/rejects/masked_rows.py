"""A raw row with the reporter masked, and a masked row that comes back with the masked values restored.

The profile that read the row (of its file or feed) names the columns of the reporter; a pushed row has it under
``reporter``. A row that cannot be read by column names is hidden completely.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.security.masking import MASKS
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


def restored(given: Mapping[str, Any], raw: str, profile: Profile | None) -> Mapping[str, Any]:
    """Return ``given``, a corrected row, with the original values of ``raw`` where it repeats them masked."""
    try:
        original = json.loads(raw)
    except (ValueError, RecursionError):
        return given
    if not isinstance(original, dict):
        return given
    found: Mapping[str, Any] = _restored(given, _masked(original, (), _parts(profile), set()), original)
    return found


def _restored(given: Any, masked: Any, original: Any) -> Any:
    if given == masked:
        return original
    if not all(isinstance(one, dict) for one in (given, masked, original)):
        return given
    return {
        name: _restored(value, masked[name], original[name]) if name in original else value
        for name, value in given.items()
    }
