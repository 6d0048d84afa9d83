"""CSV and its kin, streamed: the delimiter found, the header found, bad records set aside and the next one found again.

The one thing that loses neighbours in CSV is a quote never closed: the parser swallows line after line until something
breaks. Here the swallowed lines are put back: the first is refused, and reading goes on with the second.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TextIO

from app.errors import BadRequest, FieldProblem
from app.validation import problem
from ingest.formats.base import FileLimits, SourceRow
from ingest.formats.header import DEEPEST, HEADER_WITHIN, HeaderRule, find_header, too_many_columns

_Record = tuple[list[str], FieldProblem | None, str | None]

DELIMITERS = (",", "\t", ";", "|", "，")
_PROBE_LINES = 20
_TWICE, _TO_BEGIN_WITH = 8, 4 * 1024 * 1024
"""How many characters may be read in vain, for quotes never closed: so many for each that was read, and these."""
_OF_A_LINE = 32
"""What a line costs besides its characters."""


class _RunsOn(csv.Error):
    """A quoted record goes on for longer than it may."""


class _Lines:
    """Physical lines for the csv parser: bounded in length, remembered while a record is being put together.

    A record of several lines may be as long as a single one; less where quotes never closed have been many, since
    every line that such a one has swallowed is read again: else a file made of them would take for ever.
    """

    def __init__(self, text: TextIO, longest: int) -> None:
        self._text = text
        self._longest = longest
        self._waiting: deque[str] = deque()
        self._credit = _TO_BEGIN_WITH
        self._held = 0
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.taken and self._held > min(self._longest, self._credit):
            raise _RunsOn
        line = self._next()
        if not line:
            raise StopIteration
        self.taken.append(line)
        self._held += len(line)
        return line

    def begin(self) -> None:
        """A record begins."""
        self.taken.clear()
        self._held = 0

    def _next(self) -> str:
        if self._waiting:
            return self._waiting.popleft()
        line = self._text.readline(self._longest)
        self._credit += _TWICE * len(line)
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        """``lines`` come again, before what is still unread."""
        self._credit -= sum(map(len, lines)) + _OF_A_LINE * len(lines)
        self._waiting.extendleft(reversed(lines))

    def skip_line(self) -> int:
        """Pass over the rest of a line that is longer than allowed; the number of characters left out."""
        skipped = 0
        while True:
            part = self._next()
            skipped += len(part)
            if not self.too_long(part):
                return skipped

    def too_long(self, line: str) -> bool:
        return len(line) >= self._longest and not line.endswith(("\n", "\r"))


class DelimitedRows:
    """The rows of a delimited text; ``columns`` is read at once. Raises ``BadRequest`` where no header is found."""

    def __init__(
        self,
        text: TextIO,
        *,
        delimiter: str | None = None,
        header: HeaderRule | None = None,
        limits: FileLimits | None = None,
    ) -> None:
        self._limits = limits or FileLimits()
        self._lines = _Lines(text, self._limits.record)
        self.delimiter = delimiter or self._find_delimiter()
        self._records: Iterator[_Record] = self._read_records(self._lines)
        self._number = 0
        self._width: int | None = None
        self.columns: Sequence[str] = self._find_header(header)
        self._width = len(self.columns)

    def rows(self) -> Iterator[SourceRow]:
        """Every row below the header."""
        width = len(self.columns)
        for cells, fault, line in self._records:
            self._number += 1
            if fault is not None:
                yield SourceRow(self._number, (), fault, line)
            elif not any(cells):
                continue  # a blank row: counted, as a spreadsheet counts it, and nothing else
            elif len(cells) == width:
                yield SourceRow(self._number, cells)
            else:
                yield self._uneven(cells, width)

    def _uneven(self, cells: list[str], width: int) -> SourceRow:
        if len(cells) > width and not any(cells[width:]):
            return SourceRow(self._number, cells[:width])  # delimiters left over at the end of a line say nothing
        return SourceRow(self._number, cells, problem("column_count", expected=width, actual=len(cells)))

    def _find_delimiter(self) -> str:
        probe: list[str] = []
        while len(probe) < _PROBE_LINES and (line := next(self._lines, "")):
            probe.append(line)
            self._lines.begin()
        self._lines.begin()
        if probe and probe[0].lower().startswith("sep=") and len(probe[0].rstrip("\r\n")) == 5:
            self._lines.put_back(probe[1:])  # the hint that Excel writes and reads
            return probe[0][4]
        self._lines.put_back(probe)
        return max(DELIMITERS, key=lambda each: _evenness(probe, each))

    def _find_header(self, rule: HeaderRule | None) -> list[str]:
        above: list[_Record] = []
        came: list[str] = []
        until: list[int] = []  # where in ``came`` each record ends
        most = self._limits.columns
        for cells, fault, line in self._records:
            record = (cells[: most + 1], fault, line)
            above.append(record)
            came += self._lines.taken
            until.append(len(came))
            if len(above) >= HEADER_WITHIN + DEEPEST - 1 or _cut(record):
                break
        found = find_header([cells for cells, _, _ in above], rule)
        if found is None:
            fault = next((fault for _, fault, _ in above if fault), None)
            zh, en = (f"：{fault.zh}", f": {fault.en}") if fault else ("", "")
            raise BadRequest(f"文件中没有表头行{zh}", f"the file has no header row{en}", reason="header-missing")
        if len(found.names) > most:
            raise too_many_columns(most)
        # Rows below the header are read again now that the width is known; but a record that was cut
        # off is not there any more to be read, and comes as it was.
        last = [above.pop()] if _cut(above[-1]) else []
        again = came[until[found.end - 1] : until[len(above) - 1]]
        if last:
            before = self._read_records(_Lines(io.StringIO("".join(again), newline=""), self._limits.record))
            self._records = chain(before, last, self._records)
        else:
            self._lines.put_back(again)
            self._records = self._read_records(self._lines)
        return found.names

    def _read_records(self, lines: _Lines) -> Iterator[_Record]:
        """Records with, for those that cannot be read, the reason and the physical line refused."""
        parser = self._parser(lines)
        while True:
            lines.begin()
            fault: FieldProblem | None = None
            cells: list[str] = []
            try:
                cells = next(parser)
            except StopIteration:
                return
            except csv.Error:
                fault = problem("record_unreadable")
            if fault is None and not self._runs_on(cells, lines):
                yield cells, None, None
                continue
            if len(lines.taken) == 1 and lines.too_long(lines.taken[0]):
                skipped = lines.skip_line()
                yield (
                    [],
                    problem("record_too_long", limit=self._limits.record),
                    f"{lines.taken[0]}… (+{skipped})",
                )
            else:
                first, *swallowed = lines.taken
                lines.put_back(swallowed)
                lines.taken = [first]
                yield self._alone(first)
            parser = self._parser(lines)

    def _parser(self, lines: Iterable[str], *, strict: bool = True) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.delimiter, strict=strict)

    def _runs_on(self, cells: list[str], lines: _Lines) -> bool:
        """The record runs over several lines and does not come out at the header's width, or over a line too long."""
        taken = lines.taken
        if len(taken) > 1 and self._width is not None and len(cells) != self._width:
            return True
        return lines.too_long(taken[-1])

    def _alone(self, line: str) -> _Record:
        """A line that began a record which came to nothing, read by itself: text after a closing quote is let pass,
        as other readers do; a quote that the line does not close is not."""
        try:
            cells = next(self._parser([line], strict=False), [])
        except csv.Error:
            return [], problem("record_unreadable"), line
        if line.count('"') % 2:
            return [], problem("quote_unclosed"), line
        return cells, None, None


def _cut(record: _Record) -> bool:
    """Whether part of the record has been let go, so that it cannot be read again."""
    return record[1] is not None and record[1].code == "record_too_long"


def _evenness(probe: Sequence[str], delimiter: str) -> tuple[float, int]:
    """How well ``delimiter`` splits the probe: the share of records with the commonest width, and that width."""
    try:
        widths = [len(cells) for cells in csv.reader(probe, delimiter=delimiter) if cells]
    except csv.Error:
        return 0.0, 0
    wide = [width for width in widths if width > 1]
    if not wide:
        return 0.0, 0
    commonest = max(set(wide), key=lambda width: (wide.count(width), width))
    return wide.count(commonest) / len(widths), commonest
