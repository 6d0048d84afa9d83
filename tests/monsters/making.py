"""The files: each some kilobytes on disk, or a few megabytes, and gigabytes to whoever takes it at its word."""

from __future__ import annotations

import gzip
import io
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

MIB = 2**20
LARGE = int(os.environ.get("DUBAN_MONSTER_MIB", "96"))
"""Mebibytes of what is as large as a gigabyte."""
HEADER = "编号,标题,备注\n".encode()
GOOD = "G1,路灯不亮,x\n".encode()
LAST = "G2,井盖破损,x\n".encode()


def packed(*parts: tuple[bytes, int]) -> bytes:
    """Each part so many times over, as one gzip file: its members follow each other, so that a gigabyte costs nothing to
    make. Packed weakly, so that it is no bomb by its ratio."""
    return b"".join(_member(part) * times for part, times in parts)


def _member(part: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(part) + packer.flush()


def csv_field() -> bytes:
    """One field of a gigabyte."""
    return packed((HEADER + GOOD + b"B,", 1), (b"x" * 16 * MIB, LARGE // 16), (b",x\n" + LAST, 1))


def csv_open_quotes() -> bytes:
    """A quote never closed before lines that end in one which begins the next."""
    return packed((HEADER + GOOD + b'B,"x\n', 1), (b'a","b\n' * 100_000, 10), (LAST, 1))


def csv_wide() -> bytes:
    """A header of a million columns, and rows of as many."""
    return packed((b"a," * 500_000 + b"b\n", 6))


def csv_fat_rows() -> bytes:
    """Rows of a mebibyte each, that are none the worse for it."""
    filling = ",".join(["y" * 120_000] * 8)
    rows = [f"F{n},路灯不亮,x,{filling}\n".encode() for n in range(120)]
    head = HEADER.rstrip() + b",a,b,c,d,e,f,g,h\n"
    return _member(head + b"".join(rows[:1])) + b"".join(map(_member, rows[1:]))


def csv_line_without_end() -> bytes:
    """A gigabyte without a line end."""
    return packed((b"x" * 16 * MIB, LARGE // 16))


def ndjson_line() -> bytes:
    """One line of a gigabyte."""
    good = '{"编号": "G1", "标题": "路灯不亮"}\n'.encode()
    return packed((good + b'{"x": "', 1), (b"x" * 16 * MIB, LARGE // 16), (b'"}\n' + good.replace(b"G1", b"G2"), 1))


def ndjson_fat() -> bytes:
    """Lines of a mebibyte, each a third of a million lists."""
    lines = [f'{{"编号": "F{n}", "标题": "x", "更多": ['.encode() + b"[]," * 330_000 + b"1]}\n" for n in range(8)]
    return b"".join(map(_member, lines))


def json_element() -> bytes:
    """An array with an element of a gigabyte."""
    return packed(('[{"编号": "G1", "标题": "x"}, {"x": "'.encode(), 1), (b"x" * 16 * MIB, LARGE // 16), (b'"}]', 1))


def json_deep() -> bytes:
    """An array nested ten million deep."""
    return packed((b"[" * MIB, 10))


def json_many_behind_a_long_one() -> bytes:
    """A long element, and a third of a million short ones."""
    return b'[{"x": "' + b"y" * 900_000 + b'"}' + b",{}" * 340_000 + b"]"


def gzip_bomb() -> bytes:
    """A thousand to one."""
    return gzip.compress(b"0" * 64 * MIB)


def gzip_in_gzip() -> bytes:
    """A bomb packed once more."""
    return gzip.compress(gzip_bomb())


def zip_of(parts: Mapping[str, Iterable[bytes]]) -> bytes:
    """A zip of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            with archive.open(name, "w", force_zip64=True) as part:
                for piece in content:
                    part.write(piece)
    return made.getvalue()


def zip_bomb() -> bytes:
    """A thousand to one."""
    return zip_of({"a.csv": [b"0" * MIB] * 64})


def zip_in_zip() -> bytes:
    """A bomb packed once more."""
    return zip_of({"a.zip": [zip_bomb()]})


def zip_lying() -> bytes:
    """Says that it holds a hundred bytes, and holds 64 MiB."""
    return lying(zip_bomb(), "a.csv", 100)


def zip_of_many() -> bytes:
    """A directory of a hundred thousand files, none of which is there."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 100_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65_535, 65_535, len(directory), 30, 0)
    return b"PK\3\4" + b"\0" * 26 + directory + end


def lying(archive: bytes, name: str, size: int) -> bytes:
    """``archive``, whose directory says that the file ``name`` has ``size`` bytes, with the checksum of so many."""
    found = bytearray(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as there, there.open(name) as part:
        begin = part.read(size)
    at = found.find(b"PK\1\2")
    while bytes(found[at + 46 : at + 46 + len(name)]) != name.encode():
        at = found.find(b"PK\1\2", at + 4)
    struct.pack_into("<L", found, at + 16, zlib.crc32(begin))
    struct.pack_into("<L", found, at + 24, size)
    return bytes(found)


# ------------------------------------------------------------------------------------------------------- spreadsheets

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


def ods(table: str, before: str = "") -> bytes:
    """An OpenDocument spreadsheet of one table."""
    ns = "urn:oasis:names:tc:opendocument:xmlns:"
    content = (
        f'<?xml version="1.0"?>{before}<office:document-content xmlns:office="{ns}office:1.0" xmlns:table="{ns}table:1.0" '
        f'xmlns:text="{ns}text:1.0"><office:body><office:spreadsheet><table:table table:name="a">{table}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        archive.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{ns}manifest:1.0"/>')
        archive.writestr("content.xml", content)
    return made.getvalue()


def ods_repeated() -> bytes:
    """One cell, repeated over a whole sheet."""
    cell = '<table:table-cell table:number-columns-repeated="16384" office:value-type="float" office:value="1"/>'
    return ods(f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>')


def monsters() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Each file by its name; it is made when it is asked for."""
    for make in (
        csv_field, csv_open_quotes, csv_wide, csv_fat_rows, csv_line_without_end, ndjson_line, ndjson_fat, json_element,
        json_deep, json_many_behind_a_long_one, gzip_bomb, gzip_in_gzip, zip_bomb, zip_in_zip, zip_lying, zip_of_many,
        xlsx_far_corner, xlsx_far_corner_quoted_otherwise, xlsx_far_corner_elsewhere, xlsx_far_row_of_nameless_cells,
        xlsx_strings, xlsx_sheet, xlsx_lying, xlsx_deep, xlsx_entities, xlsx_external, ods_repeated,
    ):  # fmt: skip
        yield make.__name__, make


def write(folder: Path, name: str, make: Callable[[], bytes]) -> Path:
    """The file in ``folder``."""
    path = folder / name
    path.write_bytes(make())
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], dict(monsters())[sys.argv[2]])
