"""Files uploaded by the browser: streamed to the data directory, bounded, removed once imported or after a day.

    uploads/TOKEN/file        the uploaded file
    uploads/TOKEN/job.json    its name, who uploaded it, and the progress of its import

The web processes of one installation share the folder, so that any of them can show the progress of another.
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
"""Limits of a file read by a page: a spreadsheet is held in memory of a process that serves other requests. Two are read
at a time; few may wait, since each waiting one occupies a thread."""
PROCESS_LIMITS = replace(LIMITS, turns=None)
"""The same limits for the background import of an accepted upload, one file at a time."""
RETENTION = timedelta(hours=24)
"""How long an upload is stored that nobody imports."""
RECORD_RETENTION = timedelta(days=7)
"""How long the result of an upload is stored after its file was removed."""
State = Literal["ready", "queued", "importing", "done", "failed"]
RUNNING = ("queued", "importing")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16}")
_FILE, _JOB = "file", "job.json"


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file and its import: ``consumed`` of ``total`` is the share of the file that has been read."""

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
    """An incoming file. ``write`` raises TooLarge past the limit; ``keep`` makes it an upload, ``drop`` discards it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._limit = limit
        self.size = 0
        self.token = secrets.token_urlsafe(12)
        self._folder = folder / self.token
        self._folder.mkdir(parents=True, mode=0o700)
        self._file: IO[bytes] = (self._folder / _FILE).open("wb")

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._folder / _FILE

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes. Raises TooLarge."""
        self.size += len(chunk)
        if self.size > self._limit:
            raise TooLarge(
                f"文件超过 {self._limit // MIB} MiB；请压缩成 gz 或 zip，或用命令 duban import 导入",
                f"the file is over {self._limit // MIB} MiB; pack it as gz or zip, or import it with duban import",
            )
        self._file.write(chunk)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def keep(self, name: str, by: str, now: datetime) -> Upload:
        """Store the file as an upload and return it. Raises BadRequest for an empty file."""
        self._file.close()
        if not self.size:
            self.drop()
            raise BadRequest("文件是空的", "the file is empty")
        base = re.split(r"[\\/]", name)[-1].strip() or "file"
        upload = Upload(self.token, "".join(c for c in base if c.isprintable())[-255:] or "file", self.size, by, now)
        _write_job(self._folder, upload)
        return upload

    def drop(self) -> None:
        """Remove the received bytes."""
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Uploads:
    """The uploads in ``folder``."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def begin(self, now: datetime) -> IncomingFile:
        """Begin receiving a file; expired uploads are removed first."""
        self.sweep(now)
        return IncomingFile(self.folder, self.limit)

    def get(self, token: str) -> Upload:
        """Return the upload of ``token``. Raises NotFound for an unknown or removed one."""
        found = _read_job(self.folder / token) if _TOKEN.fullmatch(token) else None
        if found is None:
            raise NotFound(
                "上传的文件已不存在（超过一天未导入的文件会被删除），请重新上传",
                "the uploaded file no longer exists (uploads are removed after a day); upload it again",
            )
        return found

    def file_of(self, upload: Upload) -> Path:
        """Return the path of an upload's file. Raises NotFound once it has been imported."""
        path = self.folder / upload.token / _FILE
        if not path.is_file():
            raise NotFound("该文件已导入并删除，请重新上传", "this file was imported and removed; upload it again")
        return path

    def change(self, upload: Upload, **changes: Any) -> Upload:
        """Store changes of an upload and return it."""
        changed = replace(upload, **changes)
        _write_job(self.folder / upload.token, changed)
        return changed

    def remove_file(self, upload: Upload) -> None:
        """Remove the file of an upload; its result is stored for a week."""
        (self.folder / upload.token / _FILE).unlink(missing_ok=True)

    def remove(self, upload: Upload) -> None:
        """Remove an upload and its record."""
        shutil.rmtree(self.folder / upload.token, ignore_errors=True)

    def all(self) -> Iterator[Upload]:
        """Iterate over the uploads, in no order."""
        if self.folder.is_dir():
            for place in self.folder.iterdir():
                found = _read_job(place)
                if found is not None:
                    yield found

    def sweep(self, now: datetime) -> None:
        """Remove files not imported within a day, records older than a week, and aborted uploads."""
        if not self.folder.is_dir():
            return
        for place in self.folder.iterdir():
            found = _read_job(place)
            if found is None:
                try:
                    abandoned = now.timestamp() - place.stat().st_mtime > RETENTION.total_seconds()
                except FileNotFoundError:
                    continue  # another process was faster
                if abandoned:
                    shutil.rmtree(place, ignore_errors=True)
            elif (
                found.at < now - (RECORD_RETENTION if found.state == "done" else RETENTION)
                and found.state not in RUNNING
            ):
                self.remove(found)


def _write_job(folder: Path, upload: Upload) -> None:
    part = folder / f"{_JOB}.{secrets.token_hex(4)}.part"
    part.write_bytes(orjson.dumps(asdict(upload)))
    os.replace(part, folder / _JOB)  # noqa: PTH105 - atomic: a reader sees the old or the new content


def _read_job(folder: Path) -> Upload | None:
    try:
        document = orjson.loads((folder / _JOB).read_bytes())
    except (OSError, ValueError):
        return None
    known = {each.name for each in fields(Upload)}
    content = {name: value for name, value in document.items() if name in known}
    error = content.pop("error", None)
    return Upload(**{**content, "at": datetime.fromisoformat(content["at"])}, error=tuple(error) if error else None)
