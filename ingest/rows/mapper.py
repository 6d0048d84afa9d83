"""Apply a profile to rows: row → ticket. Decisions that depend on the header are made once per file, not per row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from app.domain.tickets.fields import IMPORTED
from app.errors import FieldProblem, Invalid
from app.validation import problem, problems_of
from ingest.formats.base import SourceRow
from ingest.formats.json_rows import REST
from ingest.rows.profile import (
    LENGTHS,
    MOMENT_FIELDS,
    NUMBER_FIELDS,
    ColumnMapping,
    Profile,
    Tree,
    Verdict,
    column_key,
)
from ingest.rows.ticket_in import HistoricalTicket, NewNode
from ingest.rows.values import MomentReader, number_of, plain, text_of

Cells = Sequence[Any]
_Text = Callable[[Cells], str]
_Cell = Callable[[Cells], Any]

CODE_LENGTH = 64
_NAME_LENGTH = 200
_CACHE_SIZE = 100_000
_CODES = frozenset(field.name for field in IMPORTED if field.kind == "identifier")
_NORMALIZED_WIDTH = _CODES | {field.name for field in IMPORTED if field.kind == "digits"}
"""Codes and numbers, where full-width characters are normalized (NFKC). Prose keeps its width."""
_TOTAL_WORDS = frozenset({"合计", "总计", "小计", "共计", "合計", "總計", "小計", "共計"})
"""Words in the identifier column that mark a total row of a spreadsheet."""
_DONE = ("completed", "closed")
_STATUS_OF_MOMENT = (
    ("voided_at", "void"), ("closed_at", "closed"), ("completed_at", "completed"), ("accepted_at", "accepted"),
    ("dispatched_at", "dispatched"),
)  # fmt: skip
"""The status that each moment implies, the last step of the lifecycle first."""


class _Moment(NamedTuple):
    field: str
    column: str
    cell: _Cell


class Mapper:
    """Maps rows with the header ``columns`` by ``profile``. Raises ``Invalid`` where the header lacks a required
    column."""

    def __init__(self, profile: Profile, columns: Sequence[str]) -> None:
        self.profile = profile
        self._positions = {column_key(name): index for index, name in reversed(list(enumerate(columns)))}
        self._missing = frozenset(profile.missing)
        self._read_moment = MomentReader(profile.times, ZoneInfo(profile.time_zone))
        self._require_header(columns)
        self._column_of: dict[str, str] = {}
        self._texts: list[tuple[str, _Text, Mapping[str, str] | None]] = []
        self._moments: list[_Moment] = []
        self._numbers: list[_Moment] = []
        self._whole_title: _Text | None = None
        self._bind_fields()
        self._attributes = [(name, get) for name, place in profile.attributes.items() if (get := self._text(place))]
        self._attribute_columns = {name for place in profile.attributes.values() for name in place.all_names}
        self._rest = self._rest_columns(columns) if profile.keep_rest else []
        self._rest_object = self._positions.get(column_key(REST)) if profile.keep_rest else None
        self._trees = [
            (name, _TreeReader(tree, self._text))
            for name, tree in (("unit", profile.unit), ("category", profile.category), ("grid", profile.grid))
            if tree
        ]
        self._verdict_completes = profile.verdict is not None and profile.verdict.completes
        self._verdict = _VerdictReader(profile.verdict, self._text) if profile.verdict else None

    def map(self, row: SourceRow) -> HistoricalTicket | tuple[FieldProblem, ...]:
        """Return the ticket of ``row``, or all its validation errors."""
        if row.fault is not None:
            return (row.fault,)
        values: dict[str, Any] = dict(self.profile.constants)
        problems: list[FieldProblem] = []
        cells = row.cells
        self._read_texts(cells, values, problems)
        self._read_converted(cells, values, problems)
        for name, reader in self._trees:
            path = reader(cells)
            if path:
                values[name] = path[-1].code
                values[name + "_path"] = path
        attributes = self._read_attributes(cells)
        if self._verdict is not None:
            self._verdict(cells, values, problems)
        self._move_contradicted_times(cells, values, attributes)
        if attributes:
            values["attributes"] = attributes
        if values.get("external_id") in _TOTAL_WORDS:
            return (self._at("external_id", "row_of_sums"),)
        try:
            ticket = HistoricalTicket.model_validate(values)
        except ValidationError as error:
            problems.extend(self._named(each) for each in problems_of(error.errors(include_url=False)))
            return tuple(problems)
        return tuple(problems) if problems else ticket

    def _read_texts(self, cells: Cells, values: dict[str, Any], problems: list[FieldProblem]) -> None:
        reporter: dict[str, str] = {}
        for field, get, words in self._texts:
            text = get(cells)
            if not text:
                continue
            if words is not None:
                mapped = words.get(text)
                if mapped is None:
                    mapped = words.get("*", text if text in words.values() else None)
                if mapped is None:
                    known = ", ".join(list(words)[:20])
                    problems.append(self._at(field, "value_unknown", value=text[:60], known=known))
                    continue
                text = mapped
            if field.startswith("reporter."):
                reporter[field[9:]] = text
            elif text:
                values[field] = text
        if reporter:
            values["reporter"] = reporter
        if self._whole_title is not None and "content" not in values:
            whole = self._whole_title(cells)
            if len(whole) > LENGTHS["title"]:
                values["content"] = whole  # keeps the part that was cut from the title

    def _read_converted(self, cells: Cells, values: dict[str, Any], problems: list[FieldProblem]) -> None:
        by_times = self.profile.status_from_times and "status" not in values
        never_void = not (by_times or self._verdict_completes) and values.get("status") != "void"
        for field, _, get in self._moments:
            if field == "voided_at" and never_void:
                continue
            cell = get(cells)
            if cell is not None:
                try:
                    values[field] = self._read_moment(cell)
                except ValueError as error:
                    problems.append(self._at(field, str(error), value=text_of(cell)[:60]))
        for field, _, get in self._numbers:
            cell = get(cells)
            if cell is not None:
                try:
                    values[field] = number_of(cell)
                except ValueError as error:
                    problems.append(self._at(field, str(error)))
        if by_times:
            values["status"] = next((status for field, status in _STATUS_OF_MOMENT if field in values), "received")

    def _read_attributes(self, cells: Cells) -> dict[str, Any]:
        attributes: dict[str, Any] = {name: text for name, get in self._attributes if (text := get(cells))}
        for name, index in self._rest:
            text = text_of(cells[index])
            if text and text not in self._missing:
                attributes[name] = text
        if self._rest_object is not None and cells[self._rest_object]:
            rest = dict(cells[self._rest_object])
            own = rest.pop("attributes", None)
            attributes.update(own if isinstance(own, dict) else {"attributes": own} if own else {})
            attributes.update(rest)
        return attributes

    def _move_contradicted_times(self, cells: Cells, values: dict[str, Any], attributes: dict[str, Any]) -> None:
        """Store a moment that contradicts the status (a closing time on an open ticket) as an attribute under its
        column's name instead of as the moment of that transition."""
        status = values.get("status", "received")
        for field, column, get in self._moments:
            if not _contradicts(field, status):
                continue
            values.pop(field, None)
            if column not in self._attribute_columns:
                cell = get(cells)
                if cell is not None:
                    attributes.setdefault(column, text_of(cell))

    def _bind_fields(self) -> None:
        for field, place in self.profile.fields.items():
            indexes = self._indexes(place.columns)
            self._column_of[field] = next(
                (name for name in place.all_names if column_key(name) in self._positions), place.all_names[0]
            )
            if field in MOMENT_FIELDS or field in NUMBER_FIELDS:
                if indexes:
                    bound = _Moment(field, self._column_of[field], self._cell(indexes, place))
                    (self._moments if field in MOMENT_FIELDS else self._numbers).append(bound)
                continue
            get = self._text(place)
            if get is None:
                continue
            if field in _NORMALIZED_WIDTH or field in self.profile.values:
                get = _normalized_width(get)
            if place.shorten and field in LENGTHS:
                if field == "title":
                    self._whole_title = get
                get = _shortened(get, LENGTHS[field])
            elif place.shorten and field in _CODES:
                get = _fitted(get)
            words = self.profile.values.get(field)
            self._texts.append((field, get, {plain(k): v for k, v in words.items()} if words else None))

    def _rest_columns(self, columns: Sequence[str]) -> list[tuple[str, int]]:
        used = {column_key(name) for name in self.profile.column_names()}
        return [(name, i) for i, name in enumerate(columns) if column_key(name) not in used and name != REST]

    def _require_header(self, columns: Sequence[str]) -> None:
        missing_fields = [
            field
            for field in ("external_id", "title")
            if not any(column_key(name) in self._positions for name in self.profile.fields[field].all_names)
        ]
        if missing_fields:
            found = ", ".join(list(columns)[:30])
            raise Invalid(
                FieldProblem(
                    f"/fields/{field}",
                    f"文件中没有列 {' / '.join(self.profile.fields[field].all_names)}；现有列：{found}",
                    f"the file has no column {' / '.join(self.profile.fields[field].all_names)}; it has: {found}",
                    "column_missing",
                )
                for field in missing_fields
            )

    def _indexes(self, names: Sequence[str]) -> list[int]:
        """Positions of the columns ``names``: in a table, only the first name that the header has; in JSON, which has
        no header, all of them, since each object may use another name."""
        found = [self._positions[key] for name in names if (key := column_key(name)) in self._positions]
        return found if column_key(REST) in self._positions else found[:1]

    def _text(self, place: ColumnMapping) -> _Text | None:
        """Return a reader of ``place`` as text (empty where missing), or None where the header has none of its columns."""
        missing = self._missing | frozenset(place.missing)
        if place.columns:
            indexes = self._indexes(place.columns)
            if len(indexes) > 1:
                return _first(indexes, missing)
            return _one(indexes[0], missing) if indexes else None
        indexes = [index for name in place.join for index in self._indexes([name])]
        return _joined(indexes, missing, place.separator) if indexes else None

    def _cell(self, indexes: Sequence[int], place: ColumnMapping) -> _Cell:
        missing = self._missing | frozenset(place.missing) | {""}

        def get(cells: Cells) -> Any:
            for index in indexes:
                cell = cells[index]
                if isinstance(cell, str):
                    cell = text_of(cell)
                    if cell in missing:
                        continue
                if cell is not None:
                    return cell
            return None

        return get

    def _at(self, field: str, code: str, **context: Any) -> FieldProblem:
        return self._named(problem(code, field.split("."), **context))

    def _named(self, found: FieldProblem) -> FieldProblem:
        column = self._column_of.get(found.pointer[1:].replace("/", "."))
        if column is None:
            return found
        return FieldProblem(found.pointer, f"{found.zh}（列 {column}）", f"{found.en} (column {column})", found.code)


class _TreeReader:
    """Reads the path of one tree, root first; the first spelling of each code is its name."""

    def __init__(self, tree: Tree, bind: Callable[[ColumnMapping], _Text | None]) -> None:
        self._by_path = tree.codes == "path"
        self._levels = [
            (bind(level.code) if level.code else None, bind(level.name) if level.name else None)
            for level in tree.levels
        ]
        self._names: dict[str, str] = {}
        self._known: dict[tuple[str, ...], tuple[NewNode, ...]] = {}

    def __call__(self, cells: Cells) -> tuple[NewNode, ...]:
        values = tuple(get(cells) if get else "" for level in self._levels for get in level)
        path = self._known.get(values)
        if path is None:
            path = self._build(values)
            if len(self._known) >= _CACHE_SIZE:  # bounds memory for any file
                self._known.clear()
                self._names.clear()
            self._known[values] = path
        return path

    def _build(self, values: tuple[str, ...]) -> tuple[NewNode, ...]:
        path: list[NewNode] = []
        for code, name in zip(values[::2], values[1::2], strict=True):
            own = plain(code or name)
            if not own:
                continue  # an empty level: the next level's parent is the level above
            full = f"{path[-1].code}/{own}" if self._by_path and path else own
            full = fitting_code(full)
            first = self._names.setdefault(full, name[:_NAME_LENGTH]) if name else self._names.get(full)
            path.append(NewNode(full, first or own[:_NAME_LENGTH]))
        return tuple(path)


class _VerdictReader:
    """Reads the source's flags into ``source_flag`` and, where Duban adopts them, ``source_verdict``."""

    def __init__(self, verdict: Verdict, bind: Callable[[ColumnMapping], _Text | None]) -> None:
        self._verdict = verdict
        self._on_time = bind(verdict.on_time.column)
        self._late = bind(verdict.late.column)

    def __call__(self, cells: Cells, values: dict[str, Any], problems: list[FieldProblem]) -> None:
        verdict = self._verdict
        on_time = self._on_time is not None and self._on_time(cells) in verdict.on_time.words
        late = self._late is not None and self._late(cells) in verdict.late.words
        if on_time and late:
            problems.append(problem("verdict_both", ["source_flag"]))
            return
        flag = "on_time" if on_time else ("late" if late else None)
        if flag:
            values["source_flag"] = flag
        if verdict.completes:
            values["status"] = "completed" if flag else verdict.otherwise
        times_decide = "completed_at" in values and "source_due_at" in values
        if flag and verdict.use == "rest" and values.get("status") in _DONE and not times_decide:
            values["source_verdict"] = flag


def _contradicts(field: str, status: str) -> bool:
    if field in ("completed_at", "closed_at"):
        return status not in _DONE
    return field == "voided_at" and status != "void"


def _one(index: int, missing: frozenset[str]) -> _Text:
    def get(cells: Cells) -> str:
        text = text_of(cells[index])
        return "" if text in missing else text

    return get


def _first(indexes: Sequence[int], missing: frozenset[str]) -> _Text:
    def get(cells: Cells) -> str:
        return next((text for index in indexes if (text := text_of(cells[index])) and text not in missing), "")

    return get


def _joined(indexes: Sequence[int], missing: frozenset[str], separator: str) -> _Text:
    def get(cells: Cells) -> str:
        texts = (text_of(cells[index]) for index in indexes)
        return separator.join(dict.fromkeys(text for text in texts if text and text not in missing))

    return get


def _normalized_width(get: _Text) -> _Text:
    return lambda cells: plain(get(cells))


def _shortened(get: _Text, length: int) -> _Text:
    def shorten(cells: Cells) -> str:
        text = get(cells)
        return text if len(text) <= length else text[: length - 1] + "…"

    return shorten


def _fitted(get: _Text) -> _Text:
    return lambda cells: fitting_code(get(cells))


def fitting_code(text: str) -> str:
    """Return ``text``, or, where it is longer than ``CODE_LENGTH``, its beginning followed by a hash of the whole."""
    if len(text) <= CODE_LENGTH:
        return text
    return f"{text[: CODE_LENGTH - 9]}~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
