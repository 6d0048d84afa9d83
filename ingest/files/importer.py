"""Import a file: streamed, in transactions of some thousand rows, each storing the position reached.

An interrupted import therefore continues after the last committed row. It is identified by the content of its file, its
profile, its source and whether it is live. A file that was finished before is read again from its beginning: its tickets
are ``unchanged`` and its rejects are the same rejects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlmodel import Session, col

from app.errors import Conflict
from app.logging import get_logger
from app.models import ImportRun, Reject, Source
from app.runtime import Runtime
from app.services.core.reference import touch
from app.services.core.unit_of_work import UnitOfWork
from app.services.intake import rejects
from app.store import reference as reference_store
from ingest.child_process import ProcessDied
from ingest.files.reader_process import FileTask, ReaderProcess, can_help
from ingest.formats.base import FileLimits
from ingest.rows.ahead import ahead
from ingest.rows.garbage import collect_young, gc_paused
from ingest.rows.prepare import Follow, IngestContext, RowOutcome
from ingest.rows.profile import Profile
from ingest.rows.row import CHUNK, Chunk, InputRow, file_chunks
from ingest.rows.validate import MappedFile, open_mapped
from ingest.rows.write import RowCounts, commit_rows, prepare_chunks

log = get_logger("duban.intake")

CHILD_PROCESS_BYTES = 2**20
"""Minimum bytes of a file for reading it in a child process; a shorter one is read before a child is ready."""
_PAGE = 1_000
_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of an import: units of the file consumed and in total, the row reached, and the counts so far."""

    run_id: int
    consumed: int
    total: int
    row: int
    tally: RowCounts


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import. ``resumed_after``: the row after which it continued; 0 for a new import."""

    run_id: int
    tally: RowCounts
    resumed_after: int


def import_file(
    runtime: Runtime,
    path: Path,
    profile: Profile,
    now: datetime,
    *,
    source_code: str | None = None,
    live: bool = False,
    chunk: int = CHUNK,
    on_progress: Callable[[Progress], None] | None = None,
    name: str | None = None,
    by: str | None = None,
    follow: Follow | None = None,
    limits: FileLimits | None = None,
) -> ImportResult:
    """Import the file at ``path`` by ``profile``, for ``source_code`` (created where missing; default: the profile's).

    ``name``: the original file name; ``by``: the actor of the import, by default the profile; ``follow``: applied to
    existing tickets whose content differs; without it such a row is a reject.

    Raises BadRequest, TooLarge or Invalid for a file that cannot be read: before the first row, or, where it is damaged
    later, after the rows before the damage; Conflict where another process is importing the same file; Busy where the
    turn of ``limits`` is not granted in time.
    """
    with ExitStack() as stack:
        # A file that does not fit the profile is refused before a run is stored.
        file = stack.enter_context(open_mapped(path, profile, limits=limits))
        code = source_code or profile.source.code
        run, earlier = _begin(
            runtime, path, profile, code, live, now, name=name or path.name, by=by or f"import:{profile.name}",
            columns=file.file.columns,
        )  # fmt: skip
        assert run.id is not None, "it has been stored"
        origin = rejects.RejectOrigin("import", run.source_id, run.id, profile.name, earlier)
        context = IngestContext(origin, code, f"import:{profile.name}", history=True, live=live, follow=follow)
        state = _State(run.id, run.position, RowCounts(run.created, run.unchanged, run.rejected))
        stack.enter_context(gc_paused())
        chunks = stack.enter_context(_chunks(file, path, profile, now, run.position, chunk))
        prepared_chunks = stack.enter_context(ahead(prepare_chunks(runtime, context, chunks, now)))
        for count, (prepared, (_, consumed, total)) in enumerate(prepared_chunks, 1):
            rejected = state.tally.rejected
            for rows, outcomes in commit_rows(runtime, prepared, state.advance):
                state.committed(rows, outcomes)
                if on_progress is not None:
                    on_progress(Progress(state.run_id, consumed, total, state.position, state.tally))
            if state.tally.rejected > rejected or count % 10 == 0:  # cycles come mostly from errors
                collect_young()
        with runtime.database.write() as session:
            session.execute(update(ImportRun).where(col(ImportRun.id) == run.id).values(state="done", finished_at=now))
    return ImportResult(run.id, state.tally, run.position)


def finished(runtime: Runtime, run_id: int | None) -> ImportResult | None:
    """Return the result of a finished run; None where there is none or it is unfinished.

    Check it before resuming an import whose process died: the process may have died after its last commit.
    """
    if run_id is None:
        return None
    with runtime.database.read() as session:
        run = session.get(ImportRun, run_id)
        if run is None or run.state != "done":
            return None
        return ImportResult(run_id, RowCounts(run.created, run.unchanged, run.rejected), run.position)


class _State:
    """The position and counts of a run, in memory and, with each transaction, in its row."""

    def __init__(self, run_id: int, position: int, tally: RowCounts) -> None:
        self.run_id = run_id
        self.position = position
        self.tally = tally

    def advance(self, uow: UnitOfWork, rows: Sequence[InputRow], outcomes: Sequence[RowOutcome]) -> None:
        """Store the position after these rows. Raises Conflict where another process has moved it."""
        tally = self.tally.count(outcomes)
        done = uow.session.execute(
            update(ImportRun)
            .where(col(ImportRun.id) == self.run_id, col(ImportRun.position) == self.position)
            .values(
                position=rows[-1].number,
                created=tally.created,
                unchanged=tally.unchanged,
                rejected=tally.rejected,
            )
        )
        if done.rowcount != 1:  # type: ignore[attr-defined]
            raise Conflict(
                "另一个进程正在导入同一个文件，请等待其结束",
                "another process is importing the same file; wait until it has finished",
            )

    def committed(self, rows: Sequence[InputRow], outcomes: Sequence[RowOutcome]) -> None:
        """Update position and counts after these rows have been committed."""
        self.position = rows[-1].number
        self.tally = self.tally.count(outcomes)


@contextmanager
def _chunks(
    file: MappedFile, path: Path, profile: Profile, now: datetime, after: int, size: int
) -> Iterator[Iterator[Chunk]]:
    """Yield the chunks after row ``after``, read by a child process where the file is long enough."""
    reader = _second_reader(file, path)
    if reader is None:
        yield file_chunks(file, now, after=after, size=size)
        return
    known = {"encoding": file.file.encoding, "delimiter": file.file.delimiter}
    known_profile = profile.model_copy(update={"file": profile.file.model_copy(update=known)})
    task = FileTask(path.absolute(), known_profile, replace(file.file.limits, turns=None), now, after, size)
    with closing(reader):
        yield _read_apart(reader, task, file)


def _second_reader(file: MappedFile, path: Path) -> ReaderProcess | None:
    """Start a reader process where the file is long enough and the machine can run one; else None. Spreadsheets
    have their own child process (``ingest.formats.sheets``)."""
    if not can_help() or file.file.format == "xlsx" or path.stat().st_size < CHILD_PROCESS_BYTES:
        return None
    try:
        return ReaderProcess()
    except ProcessDied:
        log.warning("reader process not available; reading in-process")
        return None


def _read_apart(reader: ReaderProcess, task: FileTask, file: MappedFile) -> Iterator[Chunk]:
    """Yield the chunks that the child reads; if it dies, read the rest in this process."""
    here = file_chunks(file, task.now, after=task.after, size=task.size)
    after = task.after
    while not reader.is_ready():
        if (first := next(here, None)) is None:
            return
        after = first.rows[-1].number
        yield first
        del first  # before the next is made
    try:
        for chunk in reader.chunks(replace(task, after=after)):
            after = chunk.rows[-1].number
            yield chunk
            del chunk  # before the next is made
    except ProcessDied:
        log.warning("reader process died; reading in-process", after_row=after)
        yield from replace(task, after=after).chunks()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex; memory is bounded."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ):
            digest.update(piece)
    return digest.hexdigest()


def profile_key(profile: Profile) -> str:
    """Return a profile's name with a hash of its content: a file under a changed profile is another import."""
    content = hashlib.sha256(profile.model_dump_json().encode()).hexdigest()
    return f"{profile.name}@{content[:12]}"


def _begin(
    runtime: Runtime,
    path: Path,
    profile: Profile,
    source_code: str,
    live: bool,
    now: datetime,
    *,
    name: str,
    by: str,
    columns: Sequence[str],
) -> tuple[ImportRun, tuple[int, ...]]:
    """Return the run to resume or a new one, and the ids of the earlier runs of this file."""
    digest, key = file_digest(path), profile_key(profile)
    with runtime.database.write() as session:
        source = reference_store.by_code(session, Source, source_code)
        if source is None:
            source = _make_source(session, profile, source_code)
        assert source.id is not None, "it has been flushed"
        same = (
            col(ImportRun.file_sha256) == digest,
            col(ImportRun.profile) == key,
            col(ImportRun.source_id) == source.id,
            col(ImportRun.live) == live,
        )
        before = list(session.execute(select(ImportRun).where(*same).order_by(col(ImportRun.id))).scalars())
        if before and before[-1].state == "running":
            run = before.pop()
        else:
            run = ImportRun(
                file_name=name[-255:], file_sha256=digest, profile=key, source_id=source.id, live=live,
                started_at=now, actor=by[:100], columns=list(columns),
            )  # fmt: skip
            session.add(run)
        session.flush()
        return run, tuple(earlier.id for earlier in before if earlier.id is not None)


def _make_source(session: Session, profile: Profile, code: str) -> Source:
    own = code == profile.source.code
    row = Source(code=code, name=profile.source.zh if own else code, name_en=profile.source.en if own else None)
    session.add(row)
    session.flush()
    touch(session)
    return row


def rejects_of(runtime: Runtime, run_id: int) -> Iterator[tuple[int | None, list[dict[str, Any]]]]:
    """Yield row number and errors of every reject of a run, in file order, one page in memory at a time."""
    row, last = 0, 0
    while True:
        with runtime.database.read() as session:
            query = (
                select(col(Reject.row), col(Reject.id), col(Reject.errors))
                .where(col(Reject.run_id) == run_id)
                .where((col(Reject.row) > row) | ((col(Reject.row) == row) & (col(Reject.id) > last)))
                .order_by(col(Reject.row), col(Reject.id))
                .limit(_PAGE)
            )
            page = session.execute(query).all()
        if not page:
            return
        for number, _, errors in page:
            yield number, errors
        row, last = page[-1][0] or 0, page[-1][1]
