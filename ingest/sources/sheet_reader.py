"""The process that reads one spreadsheet for ``ingest.sources.sheets``, by calamine, and may die of it.

A few hundred bytes of XLSX, XLS or ODS can ask for a cell at the far corner of a sheet, and so for terabytes; whoever
asks the system for those is ended by it. So it is this process that asks, within bounds of memory and of time that it
sets itself, and the service goes on. Run as a program: PATH, the descriptor of a pipe, bytes, seconds.

It imports nothing of Duban: it starts in a few hundredths of a second, and what it answers are plain values.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

DAMAGED, TOO_LARGE = "damaged", "too large"
"""What it says instead of an answer."""


def bound(memory: int, seconds: int) -> None:
    """Take no more than so much, where the system can see to that."""
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not every system has it

        for what, most in (
            (resource.RLIMIT_AS, memory),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.getrlimit(what)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (most, most))


class Book:
    """One workbook, and the sheet whose rows are being taken."""

    def __init__(self, path: str) -> None:
        import python_calamine as calamine  # noqa: PLC0415 - within the bounds, and not in the process that starts this

        self._book = calamine.CalamineWorkbook.from_path(path)
        self._shown = calamine.SheetVisibleEnum.Visible
        self._rows: Iterator[list[Any]] = iter(())

    def sheets(self) -> list[tuple[str, bool]]:
        """Every sheet, and whether a person sees it."""
        return [(each.name, each.visible == self._shown) for each in self._book.sheets_metadata]

    def open(self, name: str) -> int:
        """Turn to a sheet; its height."""
        sheet = self._book.get_sheet_by_name(name)
        self._rows = sheet.iter_rows()
        return sheet.height

    def take(self, count: int) -> list[list[Any]]:
        """The next rows; none at the end."""
        return list(islice(self._rows, count))


def serve(pipe: Connection, path: str) -> None:
    """Answer until nobody asks any more."""
    book: Book | None = None
    while True:
        try:
            what, *given = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            book = book or Book(path)
            answers: dict[str, Callable[..., Any]] = {"sheets": book.sheets, "open": book.open, "take": book.take}
            pipe.send((None, answers[what](*given)))
        except MemoryError:
            pipe.send((TOO_LARGE, None))
        except BaseException:  # noqa: BLE001 - also what the reader's own panic raises: the file is at fault
            pipe.send((DAMAGED, None))


if __name__ == "__main__":
    bound(int(sys.argv[3]), int(sys.argv[4]))
    serve(Connection(int(sys.argv[2])), sys.argv[1])
