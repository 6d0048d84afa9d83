"""The workbook's charts: native Excel charts, so that they can be edited and printed.

Tree rows list parents before children, but a chart needs its values in adjacent cells; so the charted values are
written to a sheet at the end, "chart data", which also documents what was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.metrics import BY_KEY
from reports.render.book import BLUE, FONT, GREEN, GREY, LINE, NAVY, ORANGE, ReportWorkbook, TableColumn
from reports.render.words import name_of, title_of, word

_AT_MOST = 12
_PAGE_COLUMNS = 20
_PIXELS = {"width": 640, "height": 340}


@dataclass(frozen=True, slots=True)
class Block:
    """The content of one chart, and the row of the data sheet at which it begins."""

    section: str
    rows: Sequence[tuple[str, dict[str, Any]]]
    keys: Sequence[str]
    top: int


class Charts:
    """A report's charts: units, categories, series, sources; a chart without data is omitted."""

    def __init__(self, book: ReportWorkbook, document: dict[str, Any], lang: str) -> None:
        self.book, self.document, self.lang = book, document, lang
        self.sheet_name = word("chart_data", lang)
        series = [(point["period"][-10:], point["figures"]) for point in document["series"]]
        wanted: list[tuple[str, list[tuple[str, dict[str, Any]]], tuple[str, ...]]] = [
            ("unit", _largest(document["by_unit"], lang), ("received", "on_time_rate")),
            ("category", _largest(document["by_category"], lang), ("received", "satisfaction_rate")),
            ("series", series, ("received", "completion_rate", "on_time_rate", "satisfaction_rate")),
            ("source", _largest(document["by_source"], lang), ("received", "on_time_rate")),
        ]
        self.blocks: dict[str, Block] = {}
        top = 0
        for section, rows, keys in wanted:
            if rows:
                self.blocks[section] = Block(section, rows, keys, top)
                top += len(rows) + 2

    def page(self) -> None:
        """Add the sheet with all charts, two by two, on one printed page."""
        sheet = self.book.sheet(word("charts", self.lang))
        self.book.heading(sheet, 0, title_of(self.document, self.lang), _PAGE_COLUMNS - 1, size=14)
        sheet.set_column(0, _PAGE_COLUMNS - 1, 8.5)
        sheet.fit_to_pages(1, 1)
        for place, section in enumerate(self.blocks):
            self.insert(sheet, section, 1 + 18 * (place // 2), (_PAGE_COLUMNS // 2) * (place % 2))

    def insert(self, sheet: Any, section: str, row: int, column: int = 0) -> None:
        """Insert the chart of ``section``, if there is one, with its corner at a cell."""
        block = self.blocks.get(section)
        if block is not None:
            sheet.insert_chart(row, column, self._chart(block), {"x_offset": 4, "y_offset": 8, "object_position": 3})

    def data(self) -> None:
        """Add the sheet that holds the charted values."""
        sheet = self.book.sheet(self.sheet_name, colour=GREY)
        sheet.set_column(0, 0, 30)
        sheet.set_column(1, max((len(block.keys) for block in self.blocks.values()), default=1), 14)
        for block in self.blocks.values():
            columns = [TableColumn(word(block.section, self.lang), 30)]
            columns += [TableColumn(BY_KEY[key].label(self.lang), 14, BY_KEY[key].format) for key in block.keys]
            self.book.header(sheet, block.top, columns)
            for at, (name, figures) in enumerate(block.rows, block.top + 1):
                self.book.row(sheet, at, columns, [name, *(figures[key]["value"] for key in block.keys)])

    def _chart(self, block: Block) -> Any:
        """Draw columns for the first figure on the left axis, ratios on the right one; lines only along time."""
        font = {"name": FONT, "size": 9, "color": "#374151"}
        columns = self.book.workbook.add_chart({"type": "column"})
        columns.add_series(self._values(block, 1) | {"fill": {"color": "#9DB6E3"}, "border": {"none": True}, "gap": 60})
        lines = self.book.workbook.add_chart({"type": "line"})
        for at, (_, colour) in enumerate(zip(block.keys[1:], (ORANGE, GREEN, BLUE), strict=False), 2):
            line = {"color": colour, "width": 2} if block.section == "series" else {"none": True}
            marker = {
                "type": "circle",
                "size": 7 if at == 2 else 5,
                "fill": {"color": colour},
                "border": {"color": colour},
            }
            lines.add_series(self._values(block, at) | {"line": line, "y2_axis": True, "marker": marker})
        columns.combine(lines)
        title = {"name": FONT, "size": 12, "bold": True, "color": NAVY}
        columns.set_title({"name": word(block.section, self.lang), "name_font": title})
        columns.set_x_axis({"num_font": font, "line": {"color": LINE}, "major_tick_mark": "none"})
        columns.set_y_axis({"num_font": font, "num_format": "#,##0", "min": 0, "line": {"none": True},
                            "major_gridlines": {"visible": True, "line": {"color": "#E5E9F0"}}})  # fmt: skip
        lines.set_y2_axis({"num_font": font, "num_format": "0%", "min": 0, "max": 1, "line": {"none": True}})
        columns.set_legend({"position": "bottom", "font": font})
        columns.set_chartarea({"border": {"color": LINE}})
        columns.set_size(_PIXELS)
        columns.show_blanks_as("gap")
        return columns

    def _values(self, block: Block, column: int) -> dict[str, Any]:
        first, last = block.top + 1, block.top + len(block.rows)
        return {
            "name": [self.sheet_name, block.top, column],
            "categories": [self.sheet_name, first, 0, last, 0],
            "values": [self.sheet_name, first, column, last, column],
        }


def _largest(rows: Sequence[dict[str, Any]], lang: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the largest rows; of a tree, those with tickets of their own, so that no bar contains another's tickets."""
    direct = [row for row in rows if row.get("received_directly", row["figures"]["received"]["value"])]
    chosen = sorted(direct, key=lambda row: (-row["figures"]["received"]["value"], row["code"]))[:_AT_MOST]
    return [(name_of(row, lang)[:24], row["figures"]) for row in chosen]
