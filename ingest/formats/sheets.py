"""XLSX and XLSB, ODS, and the old XLS, read by calamine in a child process.

Calamine holds a whole sheet in memory, and a sheet may claim a cell at its far corner: so the archive is checked first
(``ingest.formats.workbook``), and then read by a child with limits on memory and time
(``ingest.formats.sheet_process``). A table too large for that is better sent as CSV.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from app.errors import BadRequest, Busy, DubanError
from app.turns import Turns
from app.validation import problem
from ingest.child_process import ChildProcess, ProcessDied
from ingest.formats import sheet_process, workbook
from ingest.formats.base import FileLimits, SourceRow
from ingest.formats.header import DEEPEST, HEADER_WITHIN, Header, HeaderRule, find_header, too_many_columns

_AT_ONCE = 500
"""Rows that are asked for at a time: behind a header that was looked for in each of twenty sheets, few are wasted."""
_ENDS_WITHIN = 5
"""Seconds until a child whose pipe broke has ended."""


class _Cells(NamedTuple):
    """The cells of a row; ``cut``: those are but its beginning, since it is longer than a row may be."""

    cells: list[Any]
    cut: bool


class _SheetProcess:
    """The process that reads the workbook at ``path``, whose kind has this ``ending``. Asking raises BadRequest for a
    damaged one, TooLarge for one that would take more than the limits."""

    def __init__(self, path: Path, ending: str, limits: FileLimits) -> None:
        self._limits = limits
        self._sheet: str | None = None
        self._child = ChildProcess("ingest.formats.sheet_process", quiet=True)
        self._pipe = self._child.pipes[0]
        # Calamine goes by the ending of a file's name, and an upload has none, or a wrong one.
        self._folder = tempfile.TemporaryDirectory(prefix="duban-sheet-")
        self._link = Path(self._folder.name, f"book{ending}")
        self._link.symlink_to(path.resolve())

    def sheets(self) -> list[tuple[str, bool]]:
        """Every sheet, and whether a person sees it; to be asked first."""
        found: list[tuple[str, bool]] = self.ask("sheets", str(self._link), self._limits.memory, self._limits.seconds)
        return found

    def ask(self, method: str, *arguments: Any) -> Any:
        """What ``method`` of the child's workbook returns."""
        try:
            self._pipe.send((method, *arguments))
            wrong, answer = self._pipe.receive()
        except ProcessDied as error:  # ended by the system, for what it took
            if self._child.stop(_ENDS_WITHIN) == -signal.SIGXCPU:
                raise workbook.too_slow(self._limits) from error
            raise workbook.too_much_memory(self._sheet, self._limits) from error
        if wrong is not None:
            raise self._refused(wrong)
        return answer

    def _refused(self, wrong: str) -> DubanError:
        if wrong == sheet_process.TOO_LARGE:
            return workbook.too_much_memory(self._sheet, self._limits)
        if wrong == sheet_process.TOO_MANY:
            return workbook.too_many_cells(self._sheet, None, None, self._limits)
        return workbook.encrypted() if wrong == sheet_process.ENCRYPTED else workbook.unreadable(self._sheet)

    def rows(self, sheet: str) -> tuple[int, Iterator[_Cells]]:
        """The height of a sheet, and its rows. One sheet at a time: the rows of the one before end."""
        limits, self._sheet = self._limits, sheet
        height, width = self.ask("open", sheet)
        if height * width > limits.cells:
            raise workbook.too_many_cells(sheet, height, width, limits)

        def take() -> list[_Cells]:
            rows, cut = self.ask("take", _AT_ONCE, limits.columns + 1, limits.record)
            return [_Cells(cells, n in cut) for n, cells in enumerate(rows)]

        return height, chain.from_iterable(iter(take, []))

    def close(self) -> None:
        """End it."""
        self._child.stop()
        self._folder.cleanup()


class SheetRows:
    """The rows of one sheet: the one named, or else the first visible with a header that fits, or else the first that
    holds anything. To be closed. Raises Busy where too many are being read."""

    def __init__(
        self,
        path: Path,
        *,
        sheet: str | None = None,
        header: HeaderRule | None = None,
        limits: FileLimits | None = None,
    ) -> None:
        self._limits = limits = limits or FileLimits()
        self._open = ExitStack()
        try:
            if limits.turns is not None:
                _take_turn(self._open, limits.turns)
            self._reader = _SheetProcess(path, workbook.look_through(path, limits), limits)
            self._open.callback(self._reader.close)
            named = self._reader.sheets()
            self.sheets = [name for name, visible in named if visible] or [name for name, _ in named]
            self.sheet = self._choose([name for name, _ in named], sheet, header)
            self._height, self._rows = self._reader.rows(self.sheet)
            self._taken = 0
            self._pending: list[_Cells] = []
            self.columns: Sequence[str] = self._find_header(header)
            if len(self.columns) > limits.columns:
                raise too_many_columns(limits.columns)
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

    def rows(self) -> Iterator[SourceRow]:
        """Every row below the header that is not blank."""
        width = len(self.columns)
        number = 0
        for cells, cut in self._all_rows():
            number += 1
            if not any(cell not in ("", None) for cell in cells):
                continue
            fault = problem("record_too_long", limit=self._limits.record) if cut else None
            yield SourceRow(number, cells[:width] + [""] * (width - len(cells)), fault)

    def _all_rows(self) -> Iterator[_Cells]:
        yield from self._pending
        for row in self._rows:
            self._taken += 1
            yield row

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


def _header_of(rows: Iterator[_Cells], rule: HeaderRule | None) -> tuple[list[_Cells], Header | None]:
    """The rows that were taken to find the header, and the header."""
    above = list(islice(rows, HEADER_WITHIN + DEEPEST - 1))
    named = max((n for row in above for n, cell in enumerate(row.cells, 1) if str(cell).strip()), default=0)
    return above, find_header([row.cells[:named] for row in above], rule)


def _fits(rows: Iterator[_Cells], rule: HeaderRule) -> bool:
    _, found = _header_of(rows, rule)
    return found is not None and rule.fit(found.names) > 0
