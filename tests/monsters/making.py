"""The files that are text, and what packs them.

Each is some kilobytes on disk, or a few megabytes, and gigabytes to whoever takes it at its word.
"""

from __future__ import annotations

import gzip
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.monsters import old_excel, sheets
from tests.monsters.archives import lying, zip_of

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


def monsters() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Each file by its name; it is made when it is asked for."""
    for make in (
        csv_field, csv_open_quotes, csv_wide, csv_fat_rows, csv_line_without_end, ndjson_line, ndjson_fat, json_element,
        json_deep, json_many_behind_a_long_one, gzip_bomb, gzip_in_gzip, zip_bomb, zip_in_zip, zip_lying, zip_of_many,
    ):  # fmt: skip
        yield make.__name__, make
    for module in (sheets, old_excel):
        for name, make in vars(module).items():
            if name.startswith(("xlsx_", "ods_", "xls_")):
                yield name, make


def write(folder: Path, name: str, make: Callable[[], bytes]) -> Path:
    """The file in ``folder``."""
    path = folder / name
    path.write_bytes(make())
    return path


if __name__ == "__main__":
    for one in sys.argv[2:]:
        write(Path(sys.argv[1]), one, dict(monsters())[one])
