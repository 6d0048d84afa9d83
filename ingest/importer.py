"""Taking a file in: streamed, in transactions of some thousand rows, each with the position it has reached.

So an import that was interrupted, however hard, goes on behind the last row whose fate is committed. It is known again
by the content of its file, its profile, its source and whether it is live. A file that was finished before is read from
its beginning: every ticket is there (`unchanged`), and its rejects are the same rejects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlmodel import Session, col

from app.domain.errors import BadRequest, Conflict, TooLarge
from app.models import ImportRun, Reject, Source
from app.runtime import Runtime
from app.services import rejects
from app.services.reference import touch
from app.store import reference as reference_store
from ingest.ahead import ahead
from ingest.chunks import Door, Fate, Follow, Line, Tally, take_in
from ingest.garbage import held_off, sweep_young
from ingest.pipeline import Mapped, MappedFile, Rejected, map_rows, open_mapped
from ingest.profile import Profile
from ingest.sources.base import Limits, raw_text, weight_of

CHUNK = 2_500
"""Rows of one transaction: enough that a commit costs nothing, few enough that a push waits for a tenth of a second."""
WEIGHT = 5 * 2**20
"""About how many bytes of rows one transaction takes at most: a file of fat rows needs no more memory than others. Three
chunks are held at a time (``ingest.ahead``)."""
_PAGE = 1_000
_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import has got: units of the file read of those there are, the row reached, and the tally so far."""

    run_id: int
    consumed: int
    total: int
    row: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to. ``resumed_after``: the row behind which it went on, 0 where it began anew."""

    run_id: int
    tally: Tally
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
    limits: Limits | None = None,
) -> Imported:
    """Take the file at ``path`` in by ``profile``, from ``source_code`` (made where missing; else the profile's own).
    ``name``: what the file is called where it came from; ``by``: who takes it in, the profile itself unless said;
    ``follow``: what is done about a ticket that is there and reads otherwise now; without it such a row is a reject.

    Raises BadRequest, TooLarge or Invalid for a file that cannot be read, before the first row or, where it breaks off
    later, after all that stands before; Conflict where another process is importing the same file; Busy where ``limits``
    has a turn that does not come.
    """
    with ExitStack() as stack:
        file = stack.enter_context(
            open_mapped(path, profile, limits=limits)
        )  # what is no file of this profile is refused first
        code = source_code or profile.source.code
        run, earlier = _begin(
            runtime, path, profile, code, live, now, name=name or path.name, by=by or f"import:{profile.name}",
            columns=file.file.columns,
        )  # fmt: skip
        assert run.id is not None, "it has been stored"
        place = rejects.Place("import", run.source_id, run.id, profile.name, earlier)
        door = Door(place, code, f"import:{profile.name}", history=True, live=live, follow=follow)
        state = _State(run.id, run.position, Tally(run.created, run.unchanged, run.rejected))
        stack.enter_context(held_off())
        for lines in stack.enter_context(ahead(_chunks(_lines(file, now, after=run.position), chunk))):
            for part, fates in take_in(runtime, door, lines, now, state.advance):
                state.committed(part, fates)
                if on_progress is not None:
                    on_progress(
                        Progress(state.run_id, file.file.consumed, file.file.total, state.position, state.tally)
                    )
            sweep_young()
        with runtime.database.write() as session:
            session.execute(update(ImportRun).where(col(ImportRun.id) == run.id).values(state="done", finished_at=now))
    return Imported(run.id, state.tally, run.position)


def finished(runtime: Runtime, run_id: int | None) -> Imported | None:
    """What the run came to, where it has come to its end: to be asked by whoever goes on with an import whose process
    died, which may have been behind its last commit. None where there is no such run, or it is to go on."""
    if run_id is None:
        return None
    with runtime.database.read() as session:
        run = session.get(ImportRun, run_id)
        if run is None or run.state != "done":
            return None
        return Imported(run_id, Tally(run.created, run.unchanged, run.rejected), run.position)


class _State:
    """The position and tally of a run, in memory and, with each transaction, in its row."""

    def __init__(self, run_id: int, position: int, tally: Tally) -> None:
        self.run_id = run_id
        self.position = position
        self.tally = tally

    def advance(self, session: Session, lines: Sequence[Line], fates: Sequence[Fate]) -> None:
        """Write where these lines lead to. Whoever finds another position than its own is not alone with the file."""
        tally = self.tally.count(fates)
        done = session.execute(
            update(ImportRun)
            .where(col(ImportRun.id) == self.run_id, col(ImportRun.position) == self.position)
            .values(
                position=lines[-1].number,
                created=tally.created,
                unchanged=tally.unchanged,
                rejected=tally.rejected,
            )
        )
        if done.rowcount != 1:  # type: ignore[attr-defined]
            raise Conflict(
                "另一个进程正在导入同一个文件；请等它结束",
                "another process is importing the same file; wait for its end",
            )

    def committed(self, lines: Sequence[Line], fates: Sequence[Fate]) -> None:
        """Take note that these lines are stored."""
        self.position = lines[-1].number
        self.tally = self.tally.count(fates)


_Weighed = tuple[Line, int]


def _lines(source: MappedFile, now: datetime, *, after: int) -> Iterator[_Weighed]:
    columns = source.file.columns
    for result in map_rows(source, now=now, after=after):
        if isinstance(result, Mapped):
            line = Line(result.row.number, result.ticket, (), _raw_of(result, columns))
        else:
            line = Line(result.row.number, None, result.errors, _said(result))
        yield line, weight_of(result.row)


def _raw_of(result: Mapped, columns: Sequence[str]) -> Callable[[], str]:
    row = (
        result.row if result.row.line is None else result.row._replace(cells=())
    )  # what it was parsed to is much larger
    return lambda: raw_text(row, columns)


def _said(result: Rejected) -> Callable[[], str]:
    raw = result.raw
    return lambda: raw


def _chunks(lines: Iterator[_Weighed], size: int) -> Iterator[list[Line]]:
    """Chunks of ``size``, or of less where they weigh more. Where the file breaks off, what stands before comes first,
    and then the error."""
    chunk: list[Line] = []
    held = 0
    broken: BadRequest | TooLarge | None = None
    while broken is None:
        try:
            line, weight = next(lines, (None, 0))
        except (BadRequest, TooLarge) as error:
            line, weight, broken = None, 0, error
        if line is not None:
            chunk.append(line)
            held += weight
        if chunk and (line is None or len(chunk) == size or held > WEIGHT):
            yield chunk
            chunk, held = [], 0
        if line is None and broken is None:
            return
    raise broken


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hex, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ):
            digest.update(piece)
    return digest.hexdigest()


def profile_key(profile: Profile) -> str:
    """A profile's name with a mark of its content: a file under a mended profile is another import."""
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
    """The run to go on with, or a new one; and the earlier runs of this file."""
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
    """Row number and reasons of every reject of a run, in the order of the file, a page in memory at a time."""
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
