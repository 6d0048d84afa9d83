"""Zip archives, honest ones and such as lie."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping


def zip_of(parts: Mapping[str, Iterable[bytes]]) -> bytes:
    """A zip of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            with archive.open(name, "w", force_zip64=True) as part:
                for piece in content:
                    part.write(piece)
    return made.getvalue()


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
