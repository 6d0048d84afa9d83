"""A workbook in the house style: fonts, formats, tables with a header, and the page set-up.

XlsxWriter in constant-memory mode keeps one row at a time, so everything is written from top to bottom. Text is
written by ``write_string`` and is never parsed as a formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import xlsxwriter

FONT = "微软雅黑"
"""Named, not embedded; a machine without it shows its own Chinese font."""
NAVY, BLUE, PALE, GREY, LINE = "#1F3864", "#2F5597", "#EAF0F9", "#6B7280", "#C9D3E3"
ORANGE, GREEN, RED = "#D9822B", "#2E8B57", "#C0392B"
ROWS_PER_SHEET = 1_000_000
"""Excel takes 1,048,576 rows; a longer list goes on in another sheet."""
_PAPER_A4 = 9


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A table's column: heading, width in characters, number format (empty: text), and whether it is centred."""

    heading: str
    width: float = 12
    number: str = ""
    centred: bool = False


Cell = str | int | float | datetime | None


class ReportWorkbook:
    """A workbook being written. ``footer`` is printed at the left of every page, ``page`` at its right."""

    def __init__(self, path: Path, *, title: str, created: datetime, footer: str, page: str) -> None:
        self.workbook = xlsxwriter.Workbook(
            path, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        )
        self.title = title
        self.footer = footer
        self.page = page
        self._formats: dict[tuple[tuple[str, Any], ...], Any] = {}
        # A fixed moment, so that one edition gives the same bytes whenever it is downloaded.
        self.workbook.set_properties({"title": title, "created": created.replace(tzinfo=None)})
        self.workbook.formats[0].set_font_name(FONT)
        self.workbook.formats[0].set_font_size(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.workbook.close()

    def format(self, **properties: Any) -> Any:
        """Return a cell format, created once for each set of properties."""
        key = tuple(sorted(properties.items()))
        if key not in self._formats:
            dress = {"font_name": FONT, "font_size": 10, "valign": "vcenter"} | properties
            self._formats[key] = self.workbook.add_format(dress)
        return self._formats[key]

    def sheet(self, name: str, *, landscape: bool = True, colour: str = BLUE) -> Any:
        """Add a sheet set up for printing on A4, one page wide, with title, footer and page number."""
        sheet = self.workbook.add_worksheet(name)
        sheet.set_paper(_PAPER_A4)
        if landscape:
            sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.5, right=0.5, top=0.75, bottom=0.7)
        sheet.center_horizontally()
        sheet.set_header(f'&C&"{FONT},Regular"&9{_plain(self.title)} · {_plain(name)}')
        sheet.set_footer(f'&L&"{FONT},Regular"&8{_plain(self.footer)}&R&"{FONT},Regular"&8{self.page}')
        sheet.hide_gridlines(2)
        sheet.set_tab_color(colour)
        return sheet

    def heading(self, sheet: Any, row: int, text: str, last_column: int, *, size: int = 16) -> None:
        """Write a title across columns 0 to ``last_column`` (at least 1)."""
        sheet.set_row(row, size * 2)
        sheet.merge_range(row, 0, row, last_column, "", self.format(bold=True, font_size=size, font_color=NAVY))
        sheet.write_string(row, 0, text, self.format(bold=True, font_size=size, font_color=NAVY))

    def note(self, sheet: Any, row: int, text: str, last_column: int) -> None:
        """Write a line of small print across columns 0 to ``last_column``."""
        dress = self.format(font_size=9, font_color=GREY)
        sheet.merge_range(row, 0, row, last_column, "", dress)
        sheet.write_string(row, 0, text, dress)

    def columns(self, sheet: Any, columns: Sequence[TableColumn]) -> None:
        """Set the column widths."""
        for at, column in enumerate(columns):
            sheet.set_column(at, at, column.width)

    def header(self, sheet: Any, row: int, columns: Sequence[TableColumn]) -> None:
        """Write a table's headings at ``row``, repeated on every printed page."""
        dress = self.format(bold=True, bg_color=NAVY, font_color="#FFFFFF", align="center", text_wrap=True, border=1,
                            border_color=NAVY)  # fmt: skip
        sheet.set_row(row, 32)
        for at, column in enumerate(columns):
            sheet.write_string(row, at, column.heading, dress)
        sheet.repeat_rows(row)

    def row(self, sheet: Any, row: int, columns: Sequence[TableColumn], cells: Sequence[Cell], **dress: Any) -> None:
        """Write one row of a table; None is a dash in a number column and empty in a text column.

        An ``indent`` in the format properties applies to the first cell only: it shows the row's depth in a tree.
        """
        indent = dress.pop("indent", 0)
        for at, (column, cell) in enumerate(zip(columns, cells, strict=True)):
            self.cell(sheet, row, at, cell, column, **dress, **({"indent": indent} if indent and at == 0 else {}))

    def cell(self, sheet: Any, row: int, at: int, cell: Cell, column: TableColumn, **dress: Any) -> None:
        """Write one cell in its column's number format and alignment."""
        align = {"align": "center"} if column.centred else {"align": "right"} if column.number else {"align": "left"}
        line = {"bottom": 1, "bottom_color": LINE}
        if cell is None:
            missing = "–" if column.number else ""
            sheet.write_string(row, at, missing, self.format(**(align | line | {"font_color": GREY} | dress)))
        elif isinstance(cell, str):
            wrap = {} if column.number or column.centred else {"text_wrap": True}
            sheet.write_string(row, at, cell, self.format(**(align | line | wrap | dress)))
        elif isinstance(cell, datetime):
            dated = self.format(**(line | {"align": "center", "num_format": column.number} | dress))
            sheet.write_datetime(row, at, cell.replace(tzinfo=None), dated)
        else:
            sheet.write_number(row, at, cell, self.format(**(align | line | {"num_format": column.number} | dress)))

    def table(self, sheet: Any, first: int, columns: Sequence[TableColumn], rows: Iterable[Sequence[Cell]]) -> int:
        """Write a header at ``first``, rows below, a filter and a frozen header; return the row after the last."""
        self.columns(sheet, columns)
        self.header(sheet, first, columns)
        at = first + 1
        for cells in rows:
            self.row(sheet, at, columns, cells)
            at += 1
        sheet.autofilter(first, 0, max(at - 1, first), len(columns) - 1)
        sheet.freeze_panes(first + 1, 1)
        return at


def _plain(text: str) -> str:
    """Escape text for a header or footer, where & begins a code, and cut it to the limit of 255 characters."""
    return text.replace("&", "&&")[:110]
