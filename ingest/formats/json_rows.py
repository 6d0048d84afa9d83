"""NDJSON and JSON arrays of objects, streamed: one element in memory at a time, whatever the size of the file.

An object has no columns of its own, so the reader is given the columns to read; nested objects are reached by dotted names
(``reporter.phone``), and whatever is not asked for stays together under ``REST``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from app.errors import BadRequest, FieldProblem
from app.validation import problem
from ingest.formats.base import FileLimits, SourceRow

REST = "…"
"""The column that holds, as an object, the members that no other column names."""
_CHUNK = 64 * 1024
_SPACE = " \t\r\n"


class JsonRows:
    """The rows of NDJSON (``array=False``) or of one JSON array, over the wanted ``columns`` and ``REST``."""

    def __init__(self, text: TextIO, columns: Sequence[str], *, array: bool, limits: FileLimits | None = None) -> None:
        self._text = text
        self._limits = limits or FileLimits()
        self._array = array
        self._wanted = tuple(columns)
        self.columns: Sequence[str] = (*self._wanted, REST)

    def rows(self) -> Iterator[SourceRow]:
        """Every element. Raises ``BadRequest`` where an array breaks off or is not JSON beyond some point."""
        return self._array_rows() if self._array else self._line_rows()

    def _line_rows(self) -> Iterator[SourceRow]:
        longest = self._limits.record
        number = 0
        while line := self._text.readline(longest):
            number += 1
            if len(line) >= longest and not line.endswith("\n"):
                skipped = self._skip_line()
                yield SourceRow(number, (), problem("record_too_long", limit=longest), f"{line}… (+{skipped})")
                continue
            line = line.strip()
            if not line:
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                yield SourceRow(number, (), problem("json_invalid"), line)
                continue
            yield self._row(number, value, line)

    def _skip_line(self) -> int:
        skipped = 0
        while part := self._text.readline(self._limits.record):
            skipped += len(part)
            if part.endswith("\n"):
                break
        return skipped

    def _array_rows(self) -> Iterator[SourceRow]:
        for number, (value, fault, line) in enumerate(self._elements(), 1):
            yield SourceRow(number, (), fault, line) if fault is not None else self._row(number, value, line)

    def _elements(self) -> Iterator[tuple[Any, FieldProblem | None, str]]:
        decoder = json.JSONDecoder()
        buffer = _Buffer(self._text, self._limits.record)
        buffer.expect("[")
        number = 0
        while True:
            mark = buffer.peek()
            if mark == "]" and number == 0:
                break
            number += 1
            yield buffer.element(decoder, number)
            mark = buffer.peek()
            if mark == "]":
                break
            buffer.expect(",", number)
        buffer.expect("]", number)
        if buffer.peek():
            raise BadRequest("JSON 数组之后还有内容", "there is more after the JSON array")

    def _row(self, number: int, value: Any, line: str) -> SourceRow:
        if not isinstance(value, dict):
            return SourceRow(number, (), problem("model_type"), line)
        return SourceRow(number, _cells(value, self._wanted), None, line)


def row_of(number: int, value: Mapping[str, Any], wanted: Sequence[str]) -> tuple[Sequence[str], SourceRow]:
    """One object as a row, with its columns: as it would be read from a file of them."""
    return (*wanted, REST), SourceRow(number, _cells(value, wanted))


def _cells(value: Mapping[str, Any], wanted: Sequence[str]) -> list[Any]:
    rest = dict(value)
    cells = [_take(rest, name) for name in wanted]
    return [*cells, {key: left for key, left in rest.items() if left not in (None, {})}]


def _take(rest: dict[str, Any], name: str) -> Any:
    if name in rest:
        return rest.pop(name)
    head, dot, tail = name.partition(".")
    inner = rest.get(head) if dot else None
    if not isinstance(inner, dict):
        return None
    inner = dict(inner)
    rest[head] = inner
    return _take(inner, tail)


class _Buffer:
    """A window on the text, grown until the element at its beginning is whole and dropped once it is taken."""

    def __init__(self, text: TextIO, longest: int) -> None:
        self._text = text
        self._longest = longest
        self._window = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is not white space, or nothing at the end."""
        while True:
            while self._at < len(self._window) and self._window[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._more():
                return ""

    def expect(self, mark: str, after: int = 0) -> None:
        """Step over ``mark``. Raises ``BadRequest`` where the next character is another."""
        found = self.peek()
        if found != mark:
            raise BadRequest(
                f"JSON 数组在第 {after} 个元素之后损坏：应为 {mark}，实为 {found or '文件结尾'}",
                f"the JSON array is broken after element {after}: expected {mark}, found {found or 'the end'}",
            )
        self._at += 1

    def element(self, decoder: json.JSONDecoder, number: int) -> tuple[Any, FieldProblem | None, str]:
        """The element that begins here, with its text."""
        while True:
            try:
                value, end = decoder.raw_decode(self._window, self._at)
            except RecursionError:
                raise _broken(number, "嵌套过深", "it is nested too deeply") from None
            except ValueError as error:
                # A partial element looks like an invalid one: only more text decides. Doubling keeps the retries few.
                self._drop_taken()
                wanted = max(_CHUNK, 2 * len(self._window))
                if len(self._window) > self._longest:
                    raise _broken(
                        number, f"超过 {self._longest} 个字", f"it is longer than {self._longest} characters"
                    ) from error
                if not self._more(wanted):
                    raise _broken(number, "不是合法的 JSON", "it is not valid JSON") from error
                continue
            # A number at the very end of the window may go on in the next chunk.
            if end == len(self._window) and self._more():
                continue
            begin, self._at = self._at, end
            return value, None, self._window[begin:end]

    def _drop_taken(self) -> None:
        """Free the text before the element; only where there is more to read, since it copies the rest."""
        self._window = self._window[self._at :]
        self._at = 0

    def _more(self, count: int = _CHUNK) -> bool:
        chunk = self._text.read(count)
        if self._at and self._at == len(self._window):
            self._window, self._at = "", 0
        self._window += chunk
        return bool(chunk)


def _broken(number: int, zh: str, en: str) -> BadRequest:
    return BadRequest(
        f"JSON 数组的第 {number} 个元素无法读取：{zh}",
        f"element {number} of the JSON array cannot be read: {en}",
        reason="json-broken",
    )
