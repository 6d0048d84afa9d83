"""A reject as a form: its raw row split into columns, each with its errors, and reassembled from the corrected input."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.formats.delimited import DELIMITERS
from ingest.rows.profile import NUMBER_FIELDS, Profile, column_key
from ingest.rows.values import text_of

_KEY = "cell:"
MOST_CELLS = 400
"""Columns beyond which a row is shown as text."""


@dataclass(slots=True)
class RejectColumn:
    """One column of a reject: its path in the row, its original value (and as text), and its errors."""

    path: tuple[str, ...]
    was: Any
    text: str
    wrong: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the column."""
        return ".".join(self.path)

    @property
    def key(self) -> str:
        """The field's name in the form."""
        return _KEY + json.dumps(self.path, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class RejectForm:
    """A reject split into cells.

    ``cells`` is empty if the row can only be shown as text; ``surplus`` holds cells beyond the columns of its file;
    ``general`` holds errors that belong to no column.
    """

    cells: list[RejectColumn]
    surplus: list[str]
    general: list[str]
    as_text: bool


def reject_form(
    raw: str,
    errors: Sequence[Mapping[str, Any]],
    lang: str,
    profile: Profile | None,
    columns: Sequence[str] | None,
) -> RejectForm:
    """Split the reject ``raw`` into a form. ``columns``: those of its file, if known."""
    messages = [(str(e["pointer"]), str(e["en" if lang == "en" else "zh"])) for e in errors]
    cells, surplus = _cells(raw, columns)
    if cells is None or len(cells) > MOST_CELLS:
        return RejectForm([], [], [text for _, text in messages], as_text=True)
    general = []
    for pointer, text in messages:
        places = _places(pointer, profile, cells)
        if profile is None and not places and pointer.count("/") >= 1 and pointer != "/":
            cells.append(RejectColumn(tuple(_steps(pointer)), None, ""))  # a required field that is missing
            places = [cells[-1]]
        if not places:
            general.append(text)
        for cell in places:
            cell.wrong.append(text)
    return RejectForm(cells, surplus, general, as_text=False)


def _cells(raw: str, columns: Sequence[str] | None) -> tuple[list[RejectColumn] | None, list[str]]:
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        content = _split(raw, columns)
    if isinstance(content, list):
        if not columns:
            return None, []
        texts = [text_of(cell) for cell in content]
        padded = [*texts, *[""] * (len(columns) - len(texts))]
        return [RejectColumn((name,), None, text) for name, text in zip(columns, padded, strict=False)], texts[
            len(columns) :
        ]
    if not isinstance(content, dict):
        return None, []
    return [RejectColumn(path, value, _shown(value)) for path, value in _leaves(content)], []


def _split(line: str, columns: Sequence[str] | None) -> list[str] | None:
    """Split a line that is not a valid record, by the delimiter whose cell count is nearest to the columns."""
    if not columns or len(columns) < 2 or line.lstrip()[:1] in ("{", "["):
        return None
    best: list[str] = []
    for delimiter in DELIMITERS:
        try:
            cells = next(csv.reader([line.replace('"', "").rstrip("\r\n")], delimiter=delimiter), [])
        except csv.Error:
            continue
        if not best or abs(len(cells) - len(columns)) < abs(len(best) - len(columns)):
            best = cells
    return best if len(best) > 1 else None


def _leaves(content: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and value and len(above) < 4:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else text_of(value)


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _places(pointer: str, profile: Profile | None, cells: Sequence[RejectColumn]) -> list[RejectColumn]:
    """Return the cells that a pointer into the ticket refers to."""
    steps = _steps(pointer)
    if not steps or not steps[0]:
        return []
    if profile is None:
        return [cell for cell in cells if list(cell.path) == steps[: len(cell.path)]]
    keys = {column_key(name) for name in _columns_of(".".join(steps), steps, profile)}
    return [cell for cell in cells if column_key(cell.name) in keys]


def _columns_of(target: str, steps: Sequence[str], profile: Profile) -> list[str]:
    """Return the columns that the profile reads for a field of the ticket."""
    if steps[0] == "attributes" and len(steps) > 1:
        place = profile.attributes.get(steps[1])
        return list(place.all_names) if place else [steps[1]]
    if steps[0] in ("source_flag", "source_verdict") and profile.verdict:
        return [*profile.verdict.on_time.column.all_names, *profile.verdict.late.column.all_names]
    found = profile.fields.get(target) or profile.fields.get(steps[0])
    if found:
        return list(found.all_names)
    tree = getattr(profile, steps[0], None) if steps[0] in ("unit", "category", "grid") else None
    levels = tree.levels if tree else ()
    return [name for level in levels for place in (level.code, level.name) if place for name in place.all_names]


def corrected(found: RejectForm, typed: Mapping[str, str], profile: Profile | None) -> dict[str, Any] | str:
    """Reassemble the row from the form.

    Untouched values stay as they were, others become text (a pushed ticket's numbers become numbers, also where they were
    sent as text). A row shown as text is returned as text.
    """
    if found.as_text:
        return typed.get("raw", "").replace("\r\n", "\n")
    row: dict[str, Any] = {}
    known = {cell.key for cell in found.cells}
    added = [RejectColumn(path, None, "") for path in _paths(typed, known)] if profile is None else []
    for cell in (*found.cells, *added):
        text = typed.get(cell.key, cell.text).replace("\r\n", "\n")
        as_it_was = text == cell.text.replace("\r\n", "\n") and cell.was is not None
        if as_it_was and not (profile is None and cell.path[-1] in NUMBER_FIELDS):
            value: Any = cell.was
        elif profile is None:
            value = _as_pushed(cell, text)
        else:
            value = text
        if profile is None and value == "" and cell.was is None:
            continue  # still left out
        _put(row, cell.path, value)
    return row


def _paths(typed: Mapping[str, str], known: set[str]) -> Iterator[tuple[str, ...]]:
    """Return the form's fields that no column has: those that an earlier attempt reported missing."""
    for key in typed:
        if not key.startswith(_KEY) or key in known:
            continue
        try:
            path = json.loads(key.removeprefix(_KEY))
        except ValueError:
            continue
        if isinstance(path, list) and path and all(isinstance(step, str) for step in path):
            yield tuple(path)


def _as_pushed(cell: RejectColumn, text: str) -> Any:
    if cell.path[-1] in NUMBER_FIELDS or (isinstance(cell.was, int | float | bool | list) and text):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(row: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        inner = row.get(step)
        if not isinstance(inner, dict):
            inner = row[step] = {}
        row = inner
    row[path[-1]] = value
