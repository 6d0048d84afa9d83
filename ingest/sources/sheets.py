"""XLSX (and the old XLS, and ODS), by calamine, in a process of its own.

Calamine holds a whole sheet in memory, and a sheet may claim a cell at its far corner: so the archive is looked through
first, unpacked size and farthest cell, and what passes all the same is read where it can do no harm
(``ingest.sources.sheet_reader``). A table too large for that is better sent as CSV.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from app.domain.errors import BadRequest, Busy, TooLarge
from app.turns import Turns
from ingest.sources import sheet_reader
from ingest.sources.base import MIB, Limits, Row
from ingest.sources.header import DEEPEST, HEADER_WITHIN, Header, HeaderRule, find_header
from ingest.sources.unpack import BROKEN, CountedFile, damaged

_CELL = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_ROW = re.compile(rb"<(?:\w+:)?row\b")
_OVERLAP = 64
_AT_ONCE = 500
"""Rows that are asked for at a time: behind a header that was looked for in each of twenty sheets, few are wasted."""


class _Reader:
    """The process that reads the workbook at ``path``. Asking raises BadRequest for a damaged one, TooLarge for one that
    would take more than the limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this program
                [
                    sys.executable, "-I", str(sheet_reader.__file__), str(path.resolve()), str(theirs.fileno()),
                    str(limits.memory), str(limits.seconds),
                ],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._pipe = Connection(ours.detach())

    def ask(self, what: str, *given: Any) -> Any:
        """What it answers."""
        try:
            self._pipe.send((what, *given))
            wrong, answer = self._pipe.recv()
        except (EOFError, OSError) as error:  # it was ended: by the system, for what it asked for
            raise _too_large(self._limits) from error
        if wrong is not None:
            raise _too_large(self._limits) if wrong == sheet_reader.TOO_LARGE else _no_workbook()
        return answer

    def rows(self, sheet: str) -> tuple[int, Iterator[list[Any]]]:
        """The height of a sheet, and its rows. One sheet at a time: the rows of the one before end."""
        height: int = self.ask("open", sheet)
        return height, chain.from_iterable(iter(lambda: self.ask("take", _AT_ONCE), []))

    def close(self) -> None:
        """End it."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()


class SheetRows:
    """The rows of one sheet: the one named, or else the first visible with a header that fits, or else the first that
    holds anything. To be closed. Raises Busy where too many are being read."""

    def __init__(
        self,
        path: Path,
        *,
        sheet: str | None = None,
        header: HeaderRule | None = None,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._open = ExitStack()
        try:
            if limits.turns is not None:
                _take_turn(self._open, limits.turns)
            if zipfile.is_zipfile(path):
                check_workbook(path, limits)
            elif path.stat().st_size > limits.spreadsheet // 8:
                raise _too_large(limits)
            self._reader = _Reader(path, limits)
            self._open.callback(self._reader.close)
            named: list[tuple[str, bool]] = self._reader.ask("sheets")
            self.sheets = [name for name, visible in named if visible] or [name for name, _ in named]
            self.sheet = self._choose([name for name, _ in named], sheet, header)
            self._height, self._rows = self._reader.rows(self.sheet)
            self._taken = 0
            self._pending: list[list[Any]] = []
            self.columns: Sequence[str] = self._find_header(header)
            if len(self.columns) > limits.columns:
                raise BadRequest(f"表头超过 {limits.columns} 列", f"the header has more than {limits.columns} columns")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()

    @property
    def consumed(self) -> int:
        """Rows read so far."""
        return self._taken

    @property
    def total(self) -> int:
        """Rows of the sheet."""
        return self._height

    def rows(self) -> Iterator[Row]:
        """Every row below the header that is not blank."""
        width = len(self.columns)
        number = 0
        for cells in self._all_rows():
            number += 1
            if not any(cell not in ("", None) for cell in cells):
                continue
            yield Row(number, cells[:width] + [""] * (width - len(cells)))

    def _all_rows(self) -> Iterator[list[Any]]:
        yield from self._pending
        for cells in self._rows:
            self._taken += 1
            yield cells

    def _find_header(self, rule: HeaderRule | None) -> Sequence[str]:
        above, found = _header_of(self._rows, rule)
        self._taken += len(above)
        if found is None:
            raise BadRequest(f"工作表“{self.sheet}”是空的", f"the sheet {self.sheet!r} is empty")
        self._pending = above[found.end :]
        return found.names

    def _choose(self, names: Sequence[str], wanted: str | None, rule: HeaderRule | None) -> str:
        if wanted is not None:
            if wanted not in names:
                raise BadRequest(
                    f"没有名为“{wanted}”的工作表，现有：{'、'.join(names)}",
                    f"there is no sheet {wanted!r}; there are: {', '.join(names)}",
                )
            return wanted
        first: str | None = None
        for name in self.sheets:
            height, rows = self._reader.rows(name)
            if not height:
                continue
            if rule is None or _fits(rows, rule):
                return name  # a sheet of instructions may stand before the table
            first = first or name
        if first is None:
            raise BadRequest("表格文件里没有内容", "the spreadsheet is empty")
        return first


def _take_turn(stack: ExitStack, turns: Turns) -> None:
    try:
        stack.enter_context(turns)
    except TimeoutError as error:
        raise Busy(
            f"正在读取的表格已有 {turns.places} 个，这是上限；请稍后再试",
            f"{turns.places} spreadsheets are being read, which is the most at a time; try again in a moment",
            retry_after=5,
        ) from error


def _header_of(rows: Iterator[list[Any]], rule: HeaderRule | None) -> tuple[list[list[Any]], Header | None]:
    """The rows that were taken to find the header, and the header."""
    above = list(islice(rows, HEADER_WITHIN + DEEPEST - 1))
    named = max((n for cells in above for n, cell in enumerate(cells, 1) if str(cell).strip()), default=0)
    return above, find_header([cells[:named] for cells in above], rule)


def _fits(rows: Iterator[list[Any]], rule: HeaderRule) -> bool:
    _, found = _header_of(rows, rule)
    return found is not None and rule.fit(found.names) > 0


def _no_workbook() -> BadRequest:
    return BadRequest("表格文件损坏或不是 Excel 文件", "the spreadsheet is damaged, or is not one")


def check_workbook(path: Path, limits: Limits) -> None:
    """Look through every part of the archive without keeping it. Raises ``TooLarge`` for one that would not fit in
    memory, ``BadRequest`` for a damaged one."""
    unpacked = 0
    try:
        with CountedFile(path) as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.flag_bits & 1:
                    raise BadRequest("表格文件有密码", "the spreadsheet is encrypted")
                with archive.open(member) as part:
                    is_sheet = "worksheets/" in member.filename
                    rows, column, tail = 0, 0, b""
                    while chunk := part.read(MIB):
                        unpacked += len(chunk)
                        if unpacked > limits.spreadsheet:
                            raise _too_large(limits)
                        if is_sheet:
                            rows, column = _farthest(tail + chunk, rows, column)
                            tail = chunk[-_OVERLAP:]
                            if rows * column > limits.cells:
                                raise _too_large(limits)
    except BROKEN as error:
        raise damaged() from error


def _farthest(xml: bytes, row: int, column: int) -> tuple[int, int]:
    """The farthest row and column named in a stretch of a sheet's XML."""
    places = _CELL.findall(xml)
    column = max([column, 1, *map(_column_number, {letters for letters, _ in places})])
    row = max([row, len(_ROW.findall(xml)), *map(int, {digits for _, digits in places})])
    return row, column


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(
        f"表格过大（超过 {limits.cells} 个单元格或 {limits.spreadsheet // MIB} MiB），请另存为 CSV 后导入",
        f"the spreadsheet is too large (over {limits.cells} cells or {limits.spreadsheet // MIB} MiB); save it as CSV",
    )
