"""The child process that reads one spreadsheet by calamine for ``ingest.formats.sheets``, and may die of it.

A few hundred bytes of XLSX, XLS or ODS can ask for a cell at the far corner of a sheet, and so for terabytes; the system
ends a process that allocates those. So a child does it, within limits of memory and time that it sets itself, and the
service goes on. It imports nothing that is slow to load, and its answers are plain values.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ingest.child_process import ProcessDied, limit_resources, pipes_to_parent

DAMAGED, TOO_LARGE, TOO_MANY, ENCRYPTED = "damaged", "too large", "too many", "encrypted"
"""What is wrong, where there is no answer."""
_WEIGHT = 4 * 2**20
"""Approximate maximum characters of one response, plus one row: the caller holds a response in memory."""
_OF_A_CELL = 32
"""What a cell costs besides its characters."""


class OpenWorkbook:
    """One workbook, and the sheet whose rows are being taken; read within so many bytes and seconds."""

    def __init__(self, path: str, memory: int, seconds: int) -> None:
        limit_resources(memory, seconds)
        import python_calamine as calamine  # noqa: PLC0415 - within the limits, and not in the parent

        self._book = calamine.CalamineWorkbook.from_path(path)
        self._shown = calamine.SheetVisibleEnum.Visible
        self._rows: Iterator[list[Any]] = iter(())

    def sheets(self) -> list[tuple[str, bool]]:
        """Every sheet, and whether a person sees it."""
        return [(each.name, each.visible == self._shown) for each in self._book.sheets_metadata]

    def open(self, name: str) -> tuple[int, int]:
        """Turn to a sheet; its height and its width."""
        sheet = self._book.get_sheet_by_name(name)
        self._rows = sheet.iter_rows()
        return sheet.height, sheet.width

    def take(self, count: int, columns: int, longest: int) -> tuple[list[list[Any]], list[int]]:
        """The next rows, fewer where they are fat, none at the end; of each the first ``columns``. And which of them
        are longer than ``longest`` characters: of those the first cells that are not."""
        rows: list[list[Any]] = []
        cut: list[int] = []
        weight = 0
        while len(rows) < count and weight < _WEIGHT:
            cells = next(self._rows, None)
            if cells is None:
                break
            del cells[columns:]
            lengths = [len(cell) if isinstance(cell, str) else 0 for cell in cells]
            if sum(lengths) > longest:
                cells = _beginning(cells, lengths, longest)
                cut.append(len(rows))
            weight += min(sum(lengths), longest) + _OF_A_CELL * len(cells)
            rows.append(cells)
        return rows, cut


def _beginning(cells: list[Any], lengths: list[int], longest: int) -> list[Any]:
    kept: list[Any] = []
    for cell, length in zip(cells, lengths, strict=True):
        kept.append(cell[:longest] if length > longest else cell)
        longest -= length
        if longest <= 0:
            break
    return kept


def what_is_wrong(error: BaseException) -> str:
    """The word for it. What is not known is the file's fault, also what the reader's own panic raises."""
    if isinstance(error, MemoryError):
        return TOO_LARGE
    if type(error).__name__ == "PasswordError":
        return ENCRYPTED
    return TOO_MANY if "Cell limit exceeded" in str(error) else DAMAGED


def main() -> None:
    """Answer questions about one workbook, until the parent closes the pipe. The first names it and lists its sheets."""
    pipe = pipes_to_parent()[0]
    book: OpenWorkbook | None = None
    with contextlib.suppress(ProcessDied):
        while True:
            method, *arguments = pipe.receive()
            wrong: str | None = None
            answer: Any = None
            try:
                if book is None:
                    book = OpenWorkbook(*arguments)
                    answer = book.sheets()
                else:
                    answers: dict[str, Callable[..., Any]] = {"open": book.open, "take": book.take}
                    answer = answers[method](*arguments)
            except BaseException as error:  # noqa: BLE001 - every error is reported to the parent
                wrong = what_is_wrong(error)
            pipe.send((wrong, answer))


if __name__ == "__main__":
    main()
