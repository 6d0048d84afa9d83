"""XLSX (and the old XLS, and ODS), by calamine.

Calamine holds a whole sheet in memory, and a sheet may claim a cell at its far corner: so the archive is looked through
first, unpacked size and farthest cell, before it is let near it. A table too large for that is better sent as CSV.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import python_calamine as calamine

from app.domain.errors import BadRequest, TooLarge
from ingest.sources.base import MIB, Limits, Row
from ingest.sources.header import DEEPEST, HEADER_WITHIN, Header, HeaderRule, find_header
from ingest.sources.unpack import damaged

_CELL = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_ROW = re.compile(rb"<(?:\w+:)?row\b")
_OVERLAP = 64


class SheetRows:
    """The rows of one sheet: the one named, or else the first visible with a header that fits, or else the first that
    holds anything."""

    def __init__(
        self,
        path: Path,
        *,
        sheet: str | None = None,
        header: HeaderRule | None = None,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        if zipfile.is_zipfile(path):
            check_workbook(path, limits)
        elif path.stat().st_size > limits.spreadsheet // 8:
            raise _too_large(limits)
        try:
            book = calamine.CalamineWorkbook.from_path(path)
            self.sheets = _visible(book)
            self.sheet, found = _choose(book, sheet, header)
        except (calamine.CalamineError, OSError) as error:
            raise BadRequest("表格文件损坏或不是 Excel 文件", "the spreadsheet is damaged, or is not one") from error
        self._rows = iter(found.iter_rows())
        self._height = found.height
        self._taken = 0
        self._pending: list[list[Any]] = []
        self.columns: Sequence[str] = self._find_header(header)

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


def _header_of(rows: Iterator[list[Any]], rule: HeaderRule | None) -> tuple[list[list[Any]], Header | None]:
    """The rows that were taken to find the header, and the header."""
    above = list(islice(rows, HEADER_WITHIN + DEEPEST - 1))
    named = max((n for cells in above for n, cell in enumerate(cells, 1) if str(cell).strip()), default=0)
    return above, find_header([cells[:named] for cells in above], rule)


def _choose(
    book: calamine.CalamineWorkbook, wanted: str | None, rule: HeaderRule | None
) -> tuple[str, calamine.CalamineSheet]:
    names = book.sheet_names
    if wanted is not None:
        if wanted not in names:
            raise BadRequest(
                f"没有名为“{wanted}”的工作表，现有：{'、'.join(names)}",
                f"there is no sheet {wanted!r}; there are: {', '.join(names)}",
            )
        return wanted, book.get_sheet_by_name(wanted)
    first: tuple[str, calamine.CalamineSheet] | None = None
    for name in _visible(book):
        found = book.get_sheet_by_name(name)
        if not found.height:
            continue
        if rule is None or _fits(found, rule):
            return name, found  # a sheet of instructions may stand before the table
        first = first or (name, found)
    if first is None:
        raise BadRequest("表格文件里没有内容", "the spreadsheet is empty")
    return first


def _fits(sheet: calamine.CalamineSheet, rule: HeaderRule) -> bool:
    _, found = _header_of(sheet.iter_rows(), rule)
    return found is not None and rule.fit(found.names) > 0


def _visible(book: calamine.CalamineWorkbook) -> list[str]:
    shown = calamine.SheetVisibleEnum.Visible
    return [each.name for each in book.sheets_metadata if each.visible == shown] or book.sheet_names


def check_workbook(path: Path, limits: Limits) -> None:
    """Look through every part of the archive without keeping it. Raises ``TooLarge`` for one that would not fit in
    memory, ``BadRequest`` for a damaged one."""
    unpacked = 0
    try:
        with zipfile.ZipFile(path) as archive:
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
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise damaged() from error
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise damaged() from error
        raise


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
