"""The process that reads one spreadsheet for ``ingest.formats.sheets``, by calamine, and may die of it.

A few hundred bytes of XLSX, XLS or ODS can ask for a cell at the far corner of a sheet, and so for terabytes; whoever
asks the system for those is ended by it. So it is this process that asks, within bounds of memory and of time that it
sets itself, and the service goes on. Run as a program: PATH, the descriptor of a pipe, bytes, seconds.

It imports nothing of Duban: it starts in a few hundredths of a second, and what it answers are plain values.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

DAMAGED, TOO_LARGE, TOO_MANY, ENCRYPTED = "damaged", "too large", "too many", "encrypted"
"""What it says instead of an answer."""
_WEIGHT = 4 * 2**20
"""About how many characters one answer holds, and one row besides: whoever asks holds an answer in memory."""
_OF_A_CELL = 32
"""What a cell costs besides its characters."""


def bound(memory: int, seconds: int) -> None:
    """Take no more than so much, where the system can see to that."""
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not every system has it

        for what, most, after in (
            (resource.RLIMIT_AS, memory, 0),
            (resource.RLIMIT_CPU, seconds, 1),  # the signal that comes at first says why
            (resource.RLIMIT_CORE, 0, 0),
        ):
            hard = resource.getrlimit(what)[1]
            ends = most + after if hard == resource.RLIM_INFINITY else min(most + after, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (min(most, ends), ends))


class OpenWorkbook:
    """One workbook, and the sheet whose rows are being taken."""

    def __init__(self, path: str) -> None:
        import python_calamine as calamine  # noqa: PLC0415 - within the bounds, and not in the process that starts this

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


def serve(pipe: Connection, path: str) -> None:
    """Answer until nobody asks any more."""
    book: OpenWorkbook | None = None
    while True:
        try:
            what, *given = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            book = book or OpenWorkbook(path)
            answers: dict[str, Callable[..., Any]] = {"sheets": book.sheets, "open": book.open, "take": book.take}
            pipe.send((None, answers[what](*given)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told, and the one who asks goes on
            pipe.send((what_is_wrong(error), None))


if __name__ == "__main__":
    bound(int(sys.argv[3]), int(sys.argv[4]))
    serve(Connection(int(sys.argv[2])), sys.argv[1])
