"""Spreadsheets in a zip, some kilobytes each: XLSX and ODS that claim, repeat, refer to or unpack to more than a machine has."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

from tests.monsters.archives import lying, zip_of

MIB = 2**20
_TYPES = (
    b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default '
    b'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default '
    b'Extension="xml" ContentType="application/xml"/></Types>'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_BOOK = (
    f'<?xml version="1.0"?><workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets><sheet name="a" sheetId="1" '
    'r:id="rId1"/></sheets></workbook>'
).encode()
BEGIN, END = f'<worksheet xmlns="{_MAIN}"><sheetData>'.encode(), b"</sheetData></worksheet>"
_HEAD = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>编号</t></is></c><c r="B1" t="inlineStr"><is><t>标题</t></is></c></row>'
).encode()


def _related(target: str, kind: str) -> bytes:
    return (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/{kind}" Target="{target}"/></Relationships>'
    ).encode()


def xlsx(
    *sheet: bytes, part: str = "worksheets/sheet1.xml", strings: Iterable[bytes] = (), before: bytes = b""
) -> bytes:
    """A workbook whose one sheet stands at ``part``; ``before``: what stands before its first element."""
    parts: dict[str, Iterable[bytes]] = {
        "[Content_Types].xml": [_TYPES],
        "_rels/.rels": [_related("xl/workbook.xml", "officeDocument")],
        "xl/workbook.xml": [_BOOK],
        "xl/_rels/workbook.xml.rels": [_related(part, "worksheet")],
        f"xl/{part}": [before, BEGIN, _HEAD, *sheet, END],
    }
    if strings:
        parts["xl/sharedStrings.xml"] = [f'<sst xmlns="{_MAIN}">'.encode(), *strings, b"</sst>"]
    return zip_of(parts)


def xlsx_plain() -> bytes:
    """As it should be."""
    return xlsx(_text(""))


def xlsx_wide() -> bytes:
    """A table of sixteen thousand columns."""
    row = "".join(f'<c t="inlineStr"><is><t>列{n}</t></is></c>' for n in range(16_384))
    return xlsx(*[f"<row>{row}</row>".encode()] * 20)


def xlsx_fat_rows() -> bytes:
    """Rows of thirty million characters, all of them one shared string."""
    row = b'<row><c t="inlineStr"><is><t>F</t></is></c>' + b'<c t="s"><v>0</v></c>' * 900 + b"</row>"
    return xlsx(*[row] * 12, strings=[b"<si><t>", b"x" * 32_767, b"</t></si>"])


_FAR = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'


def xlsx_far_corner() -> bytes:
    """A cell at the far corner."""
    return xlsx(_FAR)


def xlsx_far_corner_quoted_otherwise() -> bytes:
    """The same in the other quotation marks."""
    return xlsx(_FAR.replace(b'"', b"'"))


def xlsx_far_corner_elsewhere() -> bytes:
    """The same in a part that is not called a sheet."""
    return xlsx(_FAR, part="evil.xml")


def xlsx_far_row_of_nameless_cells() -> bytes:
    """A wide row at the far end whose cells do not say where they stand."""
    return xlsx(b'<row r="1048576">' + b"<c><v>1</v></c>" * 16_000 + b"</row>")


def xlsx_strings() -> bytes:
    """Shared strings that are nothing, by the million."""
    return xlsx(strings=[b"<si><t/></si>" * 100_000] * 20)


def xlsx_sheet() -> bytes:
    """A sheet that unpacks to more than a quarter of a gigabyte."""
    return xlsx(*[b"<!--" + b" " * MIB + b"-->"] * 260)


def xlsx_lying() -> bytes:
    """A sheet said to have a thousand bytes that unpacks to half a gigabyte of cells."""
    rows = b"<row>" + b'<c t="inlineStr"><is><t>' + b"x" * 1000 + b"</t></is></c>" * 1 + b"</row>"
    return lying(xlsx(*[rows * 1000] * 500), "xl/worksheets/sheet1.xml", 1000)


def xlsx_deep() -> bytes:
    """Elements half a million deep."""
    return xlsx(b"<a>" * 500_000, b"</a>" * 500_000)


def xlsx_entities() -> bytes:
    """Ten to the ninth laughs."""
    return xlsx(_text("&j;"), before=laughs("worksheet"))


def xlsx_external() -> bytes:
    """An entity that stands in a file of this machine."""
    return xlsx(_text("&a;"), before=b'<!DOCTYPE worksheet [<!ENTITY a SYSTEM "file:///etc/hostname">]>')


def laughs(root: str) -> bytes:
    """A document type whose entity ``j`` is ten to the ninth times ten bytes."""
    entities = ['<!ENTITY a "hahahahaha">']
    entities += [f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)]
    return f"<!DOCTYPE {root} [{''.join(entities)}]>".encode()


def _text(content: str) -> bytes:
    return (
        f'<row r="2"><c r="A2" t="inlineStr"><is><t>B1</t></is></c><c r="B2" t="inlineStr"><is><t>x{content}</t></is></c>'
        "</row>"
    ).encode()


_NS = "urn:oasis:names:tc:opendocument:xmlns:"


def ods(table: str, before: str = "") -> bytes:
    """An OpenDocument spreadsheet of one table, below its header; ``before``: what stands before its first element."""
    content = (
        f'<?xml version="1.0"?>{before}<office:document-content xmlns:office="{_NS}office:1.0" xmlns:table="{_NS}table:1.0" '
        f'xmlns:text="{_NS}text:1.0"><office:body><office:spreadsheet><table:table table:name="a">'
        f"{_row(_word('编号') + _word('标题'))}{_row(_word('A1') + _word('路灯不亮'))}{table}</table:table>"
        "</office:spreadsheet></office:body></office:document-content>"
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        archive.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{_NS}manifest:1.0"/>')
        archive.writestr("content.xml", content)
    return made.getvalue()


def _word(text: str, times: int = 1) -> str:
    return (
        f'<table:table-cell table:number-columns-repeated="{times}" office:value-type="string"><text:p>{text}</text:p>'
        "</table:table-cell>"
    )


def _row(cells: str, times: int = 1) -> str:
    return f'<table:table-row table:number-rows-repeated="{times}">{cells}</table:table-row>'


def ods_plain() -> bytes:
    """As spreadsheet programs write it: its last row and cell repeated, empty, to the end of the sheet."""
    nothing = '<table:table-cell table:number-columns-repeated="16384"/>'
    return ods(_row(_word("A2") + _word("井盖破损") + nothing) + _row(nothing, 1_048_573))


def ods_sheet_of_one_cell() -> bytes:
    """One cell, repeated over a whole sheet."""
    return ods(_row(_word("x", 16_384), 1_048_576))


def ods_million_columns() -> bytes:
    """One cell, repeated a million times in each of a thousand rows."""
    return ods(_row(_word("x", 1_000_000), 1_000))


def ods_million_rows() -> bytes:
    """One row, repeated a million times."""
    return ods(_row(_word("A1") + _word("路灯不亮"), 1_000_000))


def ods_spaces() -> bytes:
    """Two thousand million spaces."""
    return ods(_row(_word("A2") + _word('x<text:s text:c="2000000000"/>')))


def ods_entities() -> bytes:
    """Ten to the ninth laughs."""
    return ods(_row(_word("A2") + _word("&j;")), before=laughs("office:document-content").decode())
