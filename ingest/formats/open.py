"""A file of any supported kind → rows. The kind is detected from the content; the file name is not trusted.

plain, gzip or zip  →  CSV (any delimiter, any encoding), NDJSON, JSON array
XLSX, XLS, ODS      →  one sheet
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from app.errors import BadRequest, TooLarge
from ingest.formats.base import FileLimits, SourceRow
from ingest.formats.delimited import DelimitedRows
from ingest.formats.encoding import ESCAPE, detect_encoding
from ingest.formats.header import HeaderRule
from ingest.formats.json_rows import JsonRows
from ingest.formats.sheets import SheetRows
from ingest.formats.unpack import OLD_EXCEL_MAGIC, ZIP_MAGIC, CountedFile, unpacked_stream

_LOOK = 65_536
"""Characters searched for the first mark that distinguishes JSON from a table."""
_CONTROL = tuple(chr(code) for code in (*range(1, 9), *range(14, 26), *range(28, 32), 127))
"""Characters that text has none of. NUL is left to the rows: exports of some systems are strewn with it."""
_MARKUP = re.compile(r"[\s\ufeff]*<(?:\?xml|!doctype|html|head|meta|style|table|body|workbook)\b", re.IGNORECASE)
_WORKBOOK = re.compile(rb"PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/|xl/|docProps/|mimetype)", re.DOTALL)


class RowFile:
    """An open file of rows; use it in a ``with`` statement.

    ``format`` is ``csv``, ``ndjson``, ``json`` or ``xlsx``; ``encoding``, ``delimiter`` and ``sheet`` are none where
    they do not apply; ``sheets`` are those that a person sees in a spreadsheet. Iterating raises ``TooLarge`` past
    ``limits.rows`` and ``BadRequest`` where the file breaks off.
    """

    def __init__(
        self,
        path: Path,
        *,
        wanted: Sequence[str] = (),
        header: HeaderRule | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        sheet: str | None = None,
        limits: FileLimits | None = None,
    ) -> None:
        self.path = path
        self.limits = limits or FileLimits()
        self.encoding: str | None = None
        self.delimiter: str | None = None
        self.sheet: str | None = None
        self.sheets: Sequence[str] = ()
        self._counted: CountedFile | None = None
        self._text: io.TextIOWrapper | None = None
        self._source: DelimitedRows | JsonRows | SheetRows
        self._book: SheetRows | None = None
        if not path.is_file():
            raise BadRequest(f"找不到文件 {path.name}", f"there is no file {path.name}")
        try:
            if _is_workbook(path):
                self.format = "xlsx"
                found = SheetRows(path, sheet=sheet, header=header, limits=self.limits)
                self.sheet, self.sheets = found.sheet, found.sheets
                self._source = self._book = found
            else:
                self._open_text(wanted, header, encoding, delimiter)
        except BaseException:
            self.close()
            raise

    def _open_text(
        self, wanted: Sequence[str], header: HeaderRule | None, encoding: str | None, delimiter: str | None
    ) -> None:
        self.encoding = encoding = encoding or self._detected()
        start = self._open_as(encoding).read(_LOOK)
        _refuse_what_is_no_text(start)
        mark = start.lstrip("\ufeff \t\r\n")[:1]
        text = self._open_as(encoding)
        if mark in ("[", "{"):
            self.format = "json" if mark == "[" else "ndjson"
            self._source = JsonRows(text, wanted, array=mark == "[", limits=self.limits)
        elif not mark:
            raise BadRequest("文件是空的", "the file is empty")
        else:
            self.format = "csv"
            rows = DelimitedRows(text, delimiter=delimiter, header=header, limits=self.limits)
            self.delimiter = rows.delimiter
            self._source = rows

    def _detected(self) -> str:
        stream, _ = unpacked_stream(self.path, self.limits)
        with stream:
            return detect_encoding(stream)

    def _open_as(self, encoding: str) -> io.TextIOWrapper:
        if self._text is not None:
            self._text.close()
        stream, self._counted = unpacked_stream(self.path, self.limits)
        try:
            self._text = io.TextIOWrapper(stream, encoding=encoding, errors=ESCAPE, newline="")
        except LookupError as error:
            stream.close()
            raise BadRequest(f"不认识的编码 {encoding}", f"unknown encoding {encoding}") from error
        return self._text

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, in order."""
        return self._source.columns

    @property
    def consumed(self) -> int:
        """Bytes of the packed file (rows of a spreadsheet) read so far."""
        return (self._counted or self._of_book()).consumed

    @property
    def total(self) -> int:
        """Bytes of the packed file (rows of a spreadsheet) in all."""
        return (self._counted or self._of_book()).total

    def _of_book(self) -> SheetRows:
        assert self._book is not None, "what is no text is a spreadsheet"
        return self._book

    def rows(self) -> Iterator[SourceRow]:
        """Every row, in order, once."""
        most = self.limits.rows
        for row in self._source.rows():
            if row.number > most:
                raise TooLarge(f"超过 {most} 行，请分成几个文件", f"more than {most} rows; split the file")
            yield row
        if self._counted is not None:
            self._counted.consumed = self._counted.total  # what follows the data in an archive is no one's progress

    def close(self) -> None:
        """Let go of the file."""
        if self._text is not None:
            self._text.close()
        if self._book is not None:
            self._book.close()

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_what_is_no_text(start: str) -> None:
    """A page, a picture, a document or a program is not a table, whatever its name says."""
    strange = sum(map(start.count, _CONTROL))
    if _MARKUP.match(start):
        raise BadRequest(
            "这是网页或 XML（有些系统把它存成 .xls）；请用 Excel 或 WPS 打开，另存为 XLSX 或 CSV 后导入",
            "this is a web page or XML, which some systems call .xls; open it in a spreadsheet program and save it as "
            "XLSX or CSV",
        )
    if start.startswith("%PDF-") or strange > max(8, len(start) // 100):
        raise BadRequest(
            "这不是表格文件；可用 CSV、XLSX（XLS、ODS）、NDJSON 或 JSON，可以打包为 gz 或 zip",
            "this is no table; take CSV, XLSX (XLS, ODS), NDJSON or JSON, packed as gz or zip where you like",
        )


def _is_workbook(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(256)
    if start.startswith(OLD_EXCEL_MAGIC):
        return True
    return start.startswith(ZIP_MAGIC) and _WORKBOOK.match(start) is not None
