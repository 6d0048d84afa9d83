"""Old binary spreadsheets (BIFF8 in a compound file), by hand: one that is as it should be, and some that lie.

A compound file is a file system of sectors of 512 bytes: a header, a table that chains sectors (FAT), a directory, and here
one stream, ``Workbook``, of records: a number, a length, and so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

SECTOR = 512
END, FREE, FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_BOF, _EOF, _SHEET, _SIZE, _LABEL, _NUMBER, _STRINGS = 0x0809, 0x000A, 0x0085, 0x0200, 0x0204, 0x0203, 0x00FC


def _record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<2H", kind, len(content)) + content


def _begin(kind: int) -> bytes:
    return _record(_BOF, struct.pack("<4H2L", 0x0600, kind, 0, 1996, 0, 6))


def label(row: int, column: int, text: str) -> bytes:
    """A cell of text."""
    return _record(_LABEL, struct.pack("<4HB", row, column, 0, len(text), 1) + text.encode("utf-16-le"))


def number(row: int, column: int) -> bytes:
    """A cell of a number."""
    return _record(_NUMBER, struct.pack("<3Hd", row, column, 0, 1.0))


TABLE = label(0, 0, "编号") + label(0, 1, "标题") + label(1, 0, "A1") + label(1, 1, "路灯不亮")


def book(cells: bytes = TABLE, *, size: tuple[int, int] = (2, 2), before: bytes = b"") -> bytes:
    """A ``Workbook`` stream of one sheet, which says that it is of this ``size``; ``before``: records of the whole book."""
    name = struct.pack("<2B", 1, 0) + b"a"
    start = len(_begin(5) + before + _record(_SHEET, bytes(6) + name) + _record(_EOF))
    sheet = _begin(0x10) + _record(_SIZE, struct.pack("<2L3H", 0, size[0], 0, size[1], 0)) + cells + _record(_EOF)
    return _begin(5) + before + _record(_SHEET, struct.pack("<LH", start, 0) + name) + _record(_EOF) + sheet


def strings(said: int) -> bytes:
    """A table of shared strings that says how many it has, and has one."""
    return _record(_STRINGS, struct.pack("<2LHB", said, said, 1, 0) + b"x")


def compound(
    stream: bytes,
    *,
    name: str = "Workbook",
    size: int | None = None,
    chain: Sequence[int] | None = None,
    directory: int = END,
    more: int = END,
) -> bytes:
    """A compound file of one stream of this ``name``, said to be of ``size`` bytes.

    ``chain``: which sector follows each of the stream's, counted from its first; ``directory``: which follows that of the
    directory; ``more``: where the table goes on."""
    stream = stream.ljust(4096, b"\0")  # shorter ones stand elsewhere
    sectors = -(-len(stream) // SECTOR)
    follow = [*range(1, sectors), END] if chain is None else list(chain)
    table = [FAT, directory, *(each if each >= FREE - 2 else each + 2 for each in follow)]
    assert len(table) <= SECTOR // 4, "one sector holds the table"
    header = struct.pack(
        "<8s16s5H6x7L2L", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, END, 0, more, 0
    )  # fmt: skip
    header += struct.pack("<109L", 0, *[FREE] * 108)
    root = _entry("Root Entry", 5, child=1, start=END, size=0)
    entries = root + _entry(name, 2, child=FREE, start=2, size=len(stream) if size is None else size)
    return (
        header
        + struct.pack("<128L", *table, *[FREE] * (128 - len(table)))
        + entries.ljust(SECTOR, b"\0")
        + stream.ljust(sectors * SECTOR, b"\0")
    )


def _entry(name: str, kind: int, *, child: int, start: int, size: int) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    return text.ljust(64, b"\0") + struct.pack("<H2B3L36xLQ", len(text), kind, 1, FREE, FREE, child, start, size)


def xls_plain() -> bytes:
    """As it should be."""
    return compound(book())


def xls_far_corner() -> bytes:
    """A cell at the far corner."""
    return compound(book(TABLE + number(65_535, 255)))


def xls_many_far_corners() -> bytes:
    """A thousand sheets, all of them the same that has a cell at the far corner."""
    once = book(TABLE + number(65_535, 255))
    name = struct.pack("<2B", 1, 0) + b"a"
    start = len(_begin(5)) + 1_000 * len(_record(_SHEET, bytes(6) + name)) + len(_record(_EOF))
    sheet = once[once.index(_begin(0x10)) :]
    return compound(_begin(5) + _record(_SHEET, struct.pack("<LH", start, 0) + name) * 1_000 + _record(_EOF) + sheet)


def xls_dimensions() -> bytes:
    """A sheet that says that it has four thousand million rows of 65,535 columns, and has two of two."""
    return compound(book(size=(2**32 - 1, 65_535)))


def xls_strings() -> bytes:
    """Four thousand million shared strings, of which one is there."""
    return compound(book(before=strings(2**32 - 1)))


def xls_loop() -> bytes:
    """A stream of two gigabytes whose sectors follow each other in a circle."""
    return compound(book(), size=2**31, chain=[1, 2, 3, 4, 5, 6, 7, 0])


def xls_cut() -> bytes:
    """A stream of two gigabytes that ends after three sectors, in the middle of its table."""
    rows = b"".join(label(n, 0, f"A{n}") + label(n, 1, "路灯不亮") for n in range(2, 400))
    return compound(book(TABLE + rows), size=2**31, chain=[1, 2, END])


def xls_beyond() -> bytes:
    """A stream that goes on in a sector far behind the end of the file."""
    return compound(book(), size=2**31, chain=[1, 0xFFFFFF00])


def xls_directory_loop() -> bytes:
    """A directory that follows itself."""
    return compound(book(), directory=1)


def xls_table_loop() -> bytes:
    """A table that goes on in a sector that says that it goes on there."""
    return compound(book().ljust(4096 - 4, b"\0") + struct.pack("<L", 9), more=9)


def xls_password() -> bytes:
    """One that is encrypted, as old programs do it."""
    return compound(book(before=_record(0x002F, struct.pack("<3H", 1, 1, 1))))


def xls_password_of_a_new_one() -> bytes:
    """An XLSX with a password, which is a compound file."""
    return compound(bytes(4096), name="EncryptedPackage")
