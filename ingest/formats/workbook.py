"""Inspect a workbook before it is read: its kind, its true size, and the message when a guard refuses it.

Every part of the archive is unpacked to its true end, whatever the directory says of its size, and nothing is kept.
"""

from __future__ import annotations

import mmap
import re
import zipfile
from pathlib import Path
from typing import Final

from app.errors import BadRequest, TooLarge
from ingest.formats.base import MIB, FileLimits
from ingest.formats.unpack import BROKEN, CountedFile, as_far_as_it_goes, check_declared, damaged

_CELL = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_ROW = re.compile(rb"<(?:\w+:)?row\b")
_DOCTYPE = re.compile(rb"(?:\s|\xef\xbb\xbf|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
_OVERLAP = 64
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
"""What a workbook with a password holds instead of itself."""


def look_through(path: Path, limits: FileLimits) -> str:
    """The ending that a file of this kind has: ``.xlsx``, ``.xlsb``, ``.ods`` or ``.xls``. Raises ``TooLarge`` for one
    that would not fit in memory, ``BadRequest`` for a damaged or encrypted one, and one that holds a document type."""
    if not zipfile.is_zipfile(path):
        return _look_at_old(path, limits)
    unpacked = 0
    try:
        with CountedFile(path) as file, zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            for member in archive.infolist():
                unpacked = _look_at_part(archive, member, unpacked, limits)
    except BROKEN as error:
        raise damaged() from error
    if "mimetype" in names:
        return ".ods"
    return ".xlsb" if "xl/workbook.bin" in names else ".xlsx"


def _look_at_part(archive: zipfile.ZipFile, member: zipfile.ZipInfo, unpacked: int, limits: FileLimits) -> int:
    """Go through one part; how many bytes have been unpacked with it."""
    if member.flag_bits & 1:
        raise encrypted()
    name, declared = member.filename, member.file_size
    is_sheet, is_xml = "worksheets/" in name, name.lower().endswith((".xml", ".rels"))
    rows, column, tail, size = 0, 0, b"", 0
    with archive.open(as_far_as_it_goes(member)) as part:
        while chunk := part.read(MIB):
            if is_xml and not size and _DOCTYPE.match(chunk):
                raise _with_doctype(name)
            size += len(chunk)
            if unpacked + size > limits.spreadsheet:
                raise _unpacks_too_large(name, limits)
            check_declared(name, size, declared)
            if is_sheet:
                rows, column = _farthest(tail + chunk, rows, column)
                tail = chunk[-_OVERLAP:]
                if rows * column > limits.cells:
                    raise too_many_cells(name, rows, column, limits)
    return unpacked + size


def _look_at_old(path: Path, limits: FileLimits) -> str:
    if path.stat().st_size > limits.spreadsheet // 8:
        raise TooLarge(
            f"XLS 文件超过 {limits.spreadsheet // 8 // MIB} MiB；请另存为 CSV 后导入",
            f"the XLS file is over {limits.spreadsheet // 8 // MIB} MiB; save it as CSV",
            reason="spreadsheet-size",
        )
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(_ENCRYPTED) >= 0:
            raise encrypted()
    return ".xls"


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


# ------------------------------------------------------------------------------------------------- messages


def _unpacks_too_large(part: str, limits: FileLimits) -> TooLarge:
    most = limits.spreadsheet // MIB
    return TooLarge(
        f"表格解压后超过 {most} MiB（读到 {part}）；请分成几个文件，或另存为 CSV 后导入",
        f"the spreadsheet unpacks to more than {most} MiB (at {part}); split it into several, or save it as CSV",
        reason="spreadsheet-unpacked",
    )


def too_many_cells(sheet: str | None, rows: int | None, columns: int | None, limits: FileLimits) -> TooLarge:
    """Of a sheet that holds, or says that it holds, more cells than may be read at once."""
    zh, en = _named(sheet)
    zh += f"占到第 {rows} 行第 {columns} 列，" if rows else ""
    en += f" reaches to row {rows} and column {columns}, which are" if rows else " has"
    return TooLarge(
        f"{zh}超过 {limits.cells} 个单元格；请删去数据以外的行和列（Ctrl+End 可看到末格），或另存为 CSV 后导入",
        f"{en} more than {limits.cells} cells; delete the rows and columns outside the table (Ctrl+End "
        "shows the last cell), or save it as CSV",
        reason="spreadsheet-cells",
    )


def _named(sheet: str | None) -> tuple[str, str]:
    return (f"工作表“{sheet}”", f"the sheet {sheet!r}") if sheet else ("表格", "the spreadsheet")


def too_much_memory(sheet: str | None, limits: FileLimits) -> TooLarge:
    """Of one whose reader wanted more than it may have."""
    most = limits.memory // MIB
    zh, en = _named(sheet)
    return TooLarge(
        f"读取{zh}需要超过 {most} MiB 内存，可能有单元格远在数据之外；请把数据复制到新表，或另存为 CSV 后导入",
        f"reading {en} takes more than {most} MiB of memory, for example when a cell is far outside the table; "
        "copy the table into a new workbook, or save it as CSV",
        reason="spreadsheet-memory",
    )


def too_slow(limits: FileLimits) -> TooLarge:
    """Of one that its reader came to no end with."""
    return TooLarge(
        f"读取表格超过 {limits.seconds} 秒仍未读完；请分成几个文件，或另存为 CSV 后导入",
        f"reading the spreadsheet takes more than {limits.seconds} seconds; split it into several, or save it as CSV",
        reason="spreadsheet-time",
    )


def encrypted() -> BadRequest:
    """Of one with a password."""
    return BadRequest(
        "表格文件有密码，请去掉密码后另存再导入",
        "the spreadsheet is encrypted; save it without the password",
        reason="spreadsheet-encrypted",
    )


def unreadable(sheet: str | None) -> BadRequest:
    """Of one that is broken, or none."""
    zh, en = (f"其中的工作表“{sheet}”", f"its sheet {sheet!r}") if sheet else ("它", "it")
    return BadRequest(
        f"表格文件损坏或不是 Excel 文件：{zh}无法读取；请用 Excel 或 WPS 打开后另存为 XLSX 或 CSV",
        f"the spreadsheet is damaged, or is not one: {en} cannot be read; open it in a spreadsheet program and save it as XLSX "
        "or CSV",
        reason="spreadsheet-damaged",
    )


def _with_doctype(part: str) -> BadRequest:
    return BadRequest(
        f"表格文件的 {part} 含有文档类型声明（<!DOCTYPE>），可借此引用实体或别的文件，"
        "表格软件不会写出；请用 Excel 或 WPS 打开后另存再导入",
        f"{part} of the spreadsheet holds a document type (<!DOCTYPE>), by which entities and other files are drawn in, and "
        "which no spreadsheet program writes; open it in one and save it again",
        reason="spreadsheet-doctype",
    )
