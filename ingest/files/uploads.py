"""Files brought by the browser: streamed to the data directory, bounded, and gone once taken in or a day old.

    uploads/TOKEN/file        the file as it came
    uploads/TOKEN/job.json    its name, who brought it, and how far its import has got

The folder is shared by the web processes of one installation, so that any of them can show what another is doing.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal

import orjson

from app.errors import BadRequest, NotFound, TooLarge
from app.turns import Turns
from ingest.formats.base import MIB, FileLimits

LIMITS = FileLimits(
    spreadsheet=256 * MIB, cells=2_000_000, memory=1024 * MIB, seconds=60, turns=Turns(5.0, places=2, queue=8)
)
"""What a page takes: a spreadsheet is held in memory, and here others are waiting for the same process. Two are read at
once; few may wait, since each that does keeps a thread that other pages need."""
BY_ITSELF = replace(LIMITS, turns=None)
"""The same for what a page has let in and a process takes in afterwards, one file at a time."""
KEPT = timedelta(hours=24)
"""How long an upload waits for somebody to take it in."""
RECORD_KEPT = timedelta(days=7)
"""How long it is told what became of one whose file is gone."""
State = Literal["ready", "queued", "importing", "done", "failed"]
RUNNING = ("queued", "importing")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16}")
_FILE, _JOB = "file", "job.json"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file brought, and its import: ``consumed`` of ``total`` is the share of the file that has been read."""

    token: str
    name: str
    size: int
    by: str
    at: datetime
    state: State = "ready"
    profile: str | None = None
    source: str | None = None
    live: bool = False
    run_id: int | None = None
    consumed: int = 0
    total: int = 0
    row: int = 0
    created: int = 0
    unchanged: int = 0
    rejected: int = 0
    error: tuple[str, str] | None = None


class IncomingFile:
    """A file on its way in. ``write`` raises TooLarge past the limit; ``keep`` makes it an upload, ``drop`` undoes it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._limit = limit
        self.size = 0
        self.token = secrets.token_urlsafe(12)
        self._folder = folder / self.token
        self._folder.mkdir(parents=True, mode=0o700)
        self._file: IO[bytes] = (self._folder / _FILE).open("wb")

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return self._folder / _FILE

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        if self.size > self._limit:
            raise TooLarge(
                f"文件超过 {self._limit // MIB} MiB；请压缩成 gz 或 zip，或用命令 duban import 导入",
                f"the file is over {self._limit // MIB} MiB; pack it as gz or zip, or take it in with duban import",
            )
        self._file.write(chunk)

    def close(self) -> None:
        """No more comes."""
        self._file.close()

    def keep(self, name: str, by: str, now: datetime) -> Upload:
        """The upload that it has become. Raises BadRequest for an empty file."""
        self._file.close()
        if not self.size:
            self.drop()
            raise BadRequest("文件是空的", "the file is empty")
        base = re.split(r"[\\/]", name)[-1].strip() or "file"
        upload = Upload(self.token, "".join(c for c in base if c.isprintable())[-255:] or "file", self.size, by, now)
        _write_job(self._folder, upload)
        return upload

    def drop(self) -> None:
        """Remove what has come."""
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Uploads:
    """The uploads in ``folder``."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def begin(self, now: datetime) -> IncomingFile:
        """Make place for a file; what has lain too long is removed first."""
        self.sweep(now)
        return IncomingFile(self.folder, self.limit)

    def get(self, token: str) -> Upload:
        """The upload of ``token``. Raises NotFound for one that is gone."""
        found = _read_job(self.folder / token) if _TOKEN.fullmatch(token) else None
        if found is None:
            raise NotFound(
                "上传的文件已不在（超过一天未导入的文件会删除），请重新上传",
                "the uploaded file is not there any more (after a day it is removed); upload it again",
            )
        return found

    def file_of(self, upload: Upload) -> Path:
        """Where the file of an upload is. Raises NotFound once it was taken in."""
        path = self.folder / upload.token / _FILE
        if not path.is_file():
            raise NotFound("该文件已导入并删除，请重新上传", "this file was taken in and removed; upload it again")
        return path

    def change(self, upload: Upload, **changes: Any) -> Upload:
        """Write down what has become of an upload."""
        changed = replace(upload, **changes)
        _write_job(self.folder / upload.token, changed)
        return changed

    def let_go(self, upload: Upload) -> None:
        """Remove the file of an upload; what became of it stays known for a week."""
        (self.folder / upload.token / _FILE).unlink(missing_ok=True)

    def remove(self, upload: Upload) -> None:
        """Remove an upload altogether."""
        shutil.rmtree(self.folder / upload.token, ignore_errors=True)

    def all(self) -> Iterator[Upload]:
        """Every upload, in no order."""
        if self.folder.is_dir():
            for place in self.folder.iterdir():
                found = _read_job(place)
                if found is not None:
                    yield found

    def sweep(self, now: datetime) -> None:
        """Remove files that nobody took in for a day, records of a week ago, and what broke off while it came."""
        if not self.folder.is_dir():
            return
        for place in self.folder.iterdir():
            found = _read_job(place)
            if found is None:
                try:
                    broken_off = now.timestamp() - place.stat().st_mtime > KEPT.total_seconds()
                except FileNotFoundError:
                    continue  # another process was faster
                if broken_off:
                    shutil.rmtree(place, ignore_errors=True)
            elif found.at < now - (RECORD_KEPT if found.state == "done" else KEPT) and found.state not in RUNNING:
                self.remove(found)


def _write_job(folder: Path, upload: Upload) -> None:
    part = folder / f"{_JOB}.{secrets.token_hex(4)}.part"
    part.write_bytes(orjson.dumps(asdict(upload)))
    os.replace(part, folder / _JOB)  # noqa: PTH105 - whoever reads sees the old or the new, never half of either


def _read_job(folder: Path) -> Upload | None:
    try:
        content = orjson.loads((folder / _JOB).read_bytes())
    except (OSError, ValueError):
        return None
    known = {each.name for each in fields(Upload)}
    said = {name: value for name, value in content.items() if name in known}
    error = said.pop("error", None)
    return Upload(**{**said, "at": datetime.fromisoformat(said["at"])}, error=tuple(error) if error else None)
