"""A file on disk → a stream of its unpacked bytes, bounded and counted. Plain, gzip or zip, detected by content."""

from __future__ import annotations

import copy
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final, Protocol

from app.errors import BadRequest, TooLarge
from ingest.formats.base import FileLimits

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
OLD_EXCEL_MAGIC = b"\xd0\xcf\x11\xe0"
_BUFFER = 64 * 1024
_NEVER = 2**62
_AT_ONCE = 4 * 1024 * 1024
"""Bytes that are asked for at once: only the directory of an archive is, whole, and one of this size names 50,000 files."""


BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, OverflowError, RuntimeError,
)  # fmt: skip
"""What reading an archive raises that is damaged, packed in a way that nobody knows, or made to mislead."""


class CountedFile(io.RawIOBase):
    """A file on disk that knows how many of its bytes have been handed out: what a progress bar shows."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.total = path.stat().st_size
        self.consumed = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        if size > _AT_ONCE:
            raise TooLarge(
                "压缩包里的文件过多，应只有一个数据文件",
                "the archive holds too many files; it should hold one",
                reason="archive-crowded",
            )
        return super().read(size) or b""

    def readinto(self, buffer: object) -> int:
        count = self._file.readinto(buffer)  # type: ignore[arg-type]
        # The furthest point reached, so that a second look at the beginning does not run the bar backwards.
        self.consumed = max(self.consumed, self._file.tell())
        return count or 0

    def close(self) -> None:
        self._file.close()
        super().close()


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


class _Bounded(io.RawIOBase):
    """Unpacked bytes, refused once they outgrow what a file of this size can honestly hold, or what the archive says."""

    def __init__(
        self, packed: _Readable, counted: CountedFile, limits: FileLimits, declared: tuple[str, int] | None
    ) -> None:
        self._packed = packed
        self._declared = declared
        self._counted = counted
        self._limits = limits
        self._out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        try:
            data = self._packed.read(len(view))
        except BROKEN as error:
            raise damaged() from error
        self._out += len(data)
        check_unpacked(self._out, max(self._counted.consumed, 1), self._limits)
        if self._declared is not None:
            name, size = self._declared
            check_declared(name, self._out, size)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._packed.close()
        self._counted.close()
        super().close()


def damaged() -> BadRequest:
    """Return the error of an archive that is truncated or has a wrong checksum."""
    return BadRequest(
        "压缩文件损坏或不完整，请重新导出或重新上传",
        "the packed file is damaged or breaks off; export or upload it again",
        reason="archive-damaged",
    )


def as_far_as_it_goes(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return the member, to be read to its actual end instead of the size in the archive's directory."""
    found = copy.copy(member)
    found.file_size = _NEVER
    return found


def check_declared(name: str, size: int, declared: int) -> None:
    """Raises ``BadRequest`` where more than the ``declared`` bytes have come out of the member ``name``."""
    if size > declared:
        raise BadRequest(
            f"压缩目录说 {name} 有 {declared} 字节，实际更多：文件损坏，或有意误导；请重新导出或重新打包",
            f"the archive says that {name} has {declared} bytes, and it has more: it is damaged, or made to mislead; export "
            "or pack it again",
            reason="archive-sizes",
        )


def check_unpacked(unpacked: int, packed: int, limits: FileLimits) -> None:
    """Raises ``TooLarge`` where ``unpacked`` bytes out of ``packed`` cannot be an honest file."""
    if unpacked > limits.unpacked:
        raise TooLarge(
            f"解压后超过 {limits.unpacked} 字节的上限，请分成几个文件",
            f"unpacks to more than {limits.unpacked} bytes; split it into several files",
            reason="archive-unpacked",
        )
    if unpacked > limits.ratio_from and unpacked > limits.ratio * packed:
        raise TooLarge(
            f"压缩比超过 {limits.ratio}:1，疑似压缩炸弹；若确为数据，请解压后导入",
            f"packed more than {limits.ratio} to 1, as a zip bomb is; if it is data, unpack it first",
            reason="archive-ratio",
        )


def unpacked_stream(path: Path, limits: FileLimits) -> tuple[io.BufferedReader, CountedFile]:
    """The unpacked bytes of ``path`` from the beginning, and the file that counts what of it has been read; closing
    the first closes both. Raises ``BadRequest`` for a damaged, encrypted or empty archive, or one of several files;
    reading raises ``TooLarge`` for a bomb."""
    counted = CountedFile(path)
    try:
        return _unpacked(counted, limits), counted
    except BaseException:
        counted.close()
        raise


def _unpacked(counted: CountedFile, limits: FileLimits) -> io.BufferedReader:
    start = counted.read(4)
    counted.seek(0)
    declared: tuple[str, int] | None = None
    if start.startswith(GZIP_MAGIC):
        packed: _Readable = gzip.GzipFile(fileobj=io.BufferedReader(counted, _BUFFER))
    elif start == ZIP_MAGIC:
        packed, declared = _zip_member(counted)
    else:
        return io.BufferedReader(counted, _BUFFER)
    found: io.BufferedReader = io.BufferedReader(_Bounded(packed, counted, limits, declared), _BUFFER)
    if found.peek(4).startswith((GZIP_MAGIC, ZIP_MAGIC, OLD_EXCEL_MAGIC)):
        raise BadRequest(
            "压缩包里还是压缩包或表格文件（XLSX、XLS）；请解开这一层后再导入",
            "what is packed is packed once more, or a spreadsheet; unpack it once and bring what comes out",
            reason="archive-nested",
        )
    return found


def _zip_member(counted: CountedFile) -> tuple[IO[bytes], tuple[str, int]]:
    try:
        archive = zipfile.ZipFile(counted)
        members = [m for m in archive.infolist() if not (m.is_dir() or _is_clutter(m.filename))]
    except BROKEN as error:
        raise damaged() from error
    if len(members) != 1:
        names = ", ".join(m.filename for m in members[:5]) or "—"
        raise BadRequest(
            f"压缩包里应只有一个数据文件，现有 {len(members)} 个（{names}），请单独打包",
            f"a zip must hold one data file, this one holds {len(members)} ({names}); pack them one by one",
        )
    if members[0].flag_bits & 1:
        raise BadRequest("压缩包有密码，请去掉密码后再导入", "the zip is encrypted; remove the password first")
    counted.consumed = 0  # the directory is at the end of the file: reading it is not progress
    try:
        return archive.open(as_far_as_it_goes(members[0])), (members[0].filename, members[0].file_size)
    except BROKEN as error:
        raise damaged() from error


def _is_clutter(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1].lower() in ("thumbs.db", "desktop.ini")
