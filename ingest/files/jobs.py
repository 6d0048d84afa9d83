"""Imports started from a page: one at a time in a thread of this process, with the progress where every process sees it.

An import is safe to interrupt: one that its process did not end goes on when a process starts again.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

from sqlalchemy.exc import DBAPIError

from app import clock
from app.errors import Conflict, DubanError, Invalid, NotFound
from app.logging import get_logger
from app.runtime import Runtime
from app.store import db_errors
from ingest.files.importer import Progress, finished, import_file
from ingest.files.uploads import PROCESS_LIMITS, RUNNING, Upload, Uploads
from ingest.profile_wizard.saved import named_profile

log = get_logger("duban.intake")
SAVE_EVERY = 0.25
"""Seconds between two notes of progress."""
_AWAY = (
    "数据库暂不可用；已接收的行都在，稍后点“继续”",
    "the database is unavailable; imported rows are stored: resume later",
)
_UNEXPECTED = (
    "发生了意外错误，已记录；已接收的行都在，可以点“继续”",
    "an internal error was logged; imported rows are stored: the import can be resumed",
)


class _Stopped(Exception):
    """The process ends; the import goes on with the next."""


def uploads_of(runtime: Runtime) -> Uploads:
    """The uploads of this installation."""
    settings = runtime.settings
    return Uploads(settings.data_dir / "uploads", settings.upload_mib * 2**20)


class ImportJobs:
    """Takes uploads in, one after the other."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.uploads = uploads_of(runtime)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="import")
        self._stop = Event()
        self._lock = Lock()
        self._at_work = Lock()

    def resume(self) -> None:
        """Go on with what an earlier process left."""
        for upload in self.uploads.all():
            if upload.state in RUNNING:
                self._pool.submit(self._run, upload)

    def start(self, upload: Upload, profile: str, *, source: str | None, live: bool) -> Upload:
        """Take an upload in by the profile of that name. Raises Conflict where that has been begun, NotFound where the
        file or the profile is not there."""
        named_profile(profile, self._runtime.settings.data_dir / "profiles")
        with self._lock:
            upload = self.uploads.get(upload.token)
            if upload.state not in ("ready", "failed"):
                raise Conflict("该文件已经开始导入", "the import of this file has begun already")
            self.uploads.file_of(upload)
            upload = self.uploads.change(
                upload, state="queued", profile=profile, source=source, live=live, error=None, consumed=0
            )
        self._pool.submit(self._run, upload)
        return upload

    def tell(self) -> None:
        """Begin nothing more, and let the import under way stop at its next commit."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def stop(self, patience: float) -> bool:
        """Wait so many seconds for that commit; whether the import has come to it. What is cut off goes on when a process
        starts again, from the last commit before."""
        self.tell()
        if not self._at_work.acquire(timeout=patience):
            return False
        self._at_work.release()
        return True

    def _run(self, upload: Upload) -> None:
        with self._at_work:
            if not self._stop.is_set():
                self._until_its_end(upload)

    def _until_its_end(self, upload: Upload) -> None:
        try:
            self._take(upload)
        except _Stopped:
            log.info("import interrupted by shutdown", upload=upload.token)
        except DubanError as error:
            self._failed(upload, _sentences(error))
        except DBAPIError as error:
            if not db_errors.is_away(error):
                log.exception("import failed", upload=upload.token)
            self._failed(upload, _AWAY)
        except Exception:
            log.exception("import failed", upload=upload.token)
            self._failed(upload, _UNEXPECTED)

    def _failed(self, upload: Upload, message: tuple[str, str]) -> None:
        try:
            self.uploads.change(self.uploads.get(upload.token), state="failed", error=message)
        except (NotFound, OSError):
            log.warning("upload vanished during import", upload=upload.token)

    def _take(self, upload: Upload) -> None:
        assert upload.profile is not None, "it is set when the import is begun"
        profile = named_profile(upload.profile, self._runtime.settings.data_dir / "profiles")
        last = 0.0
        now = upload

        def note(done: Progress) -> None:
            nonlocal last, now
            if self._stop.is_set():
                raise _Stopped
            if time.monotonic() - last >= SAVE_EVERY:
                last = time.monotonic()
                tally = done.tally
                now = self.uploads.change(
                    now, state="importing", run_id=done.run_id, consumed=done.consumed, total=done.total, row=done.row,
                    created=tally.created, unchanged=tally.unchanged, rejected=tally.rejected,
                )  # fmt: skip

        done = finished(self._runtime, upload.run_id) or import_file(
            self._runtime, self.uploads.file_of(upload), profile, clock.now(), source_code=upload.source,
            live=upload.live, on_progress=note, name=upload.name, by=upload.by, limits=PROCESS_LIMITS,
        )  # fmt: skip
        self.uploads.remove_file(now)
        self.uploads.change(
            now, state="done", run_id=done.run_id, consumed=1, total=1, created=done.tally.created,
            unchanged=done.tally.unchanged, rejected=done.tally.rejected,
        )  # fmt: skip


def _sentences(error: DubanError) -> tuple[str, str]:
    if isinstance(error, Invalid):
        return "；".join(p.zh for p in error.problems[:5]), "; ".join(p.en for p in error.problems[:5])
    return error.message.zh, error.message.en  # a plain tuple: orjson refuses named tuples
