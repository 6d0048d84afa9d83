"""Read import runs: files imported by ``duban import`` or on the import page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Session, col

from app.models import ImportRun, Reject
from app.security.principal import Principal
from app.store.scope import find, visible


@dataclass(frozen=True, slots=True)
class ImportRunSummary:
    """An imported file, with the number of its open rejects."""

    run: ImportRun
    open_rejects: int


def recent(session: Session, who: Principal, limit: int) -> list[ImportRunSummary]:
    """The last runs that ``who`` may see, newest first."""
    query = visible(select(ImportRun), who, ImportRun).order_by(col(ImportRun.id).desc())
    return _with_rejects(session, session.execute(query.limit(limit)).scalars())


def by_ids(session: Session, who: Principal, ids: Sequence[int]) -> dict[int, ImportRun]:
    """The runs with these ids that ``who`` may see."""
    rows = session.execute(visible(select(ImportRun).where(col(ImportRun.id).in_(ids)), who, ImportRun)).scalars()
    return {run.id: run for run in rows if run.id is not None}


def one(session: Session, who: Principal, run_id: int) -> ImportRunSummary | None:
    """One run; None if there is none that ``who`` may see."""
    found = find(session, who, ImportRun, run_id)
    return _with_rejects(session, [found])[0] if found else None


def _with_rejects(session: Session, rows: Iterable[ImportRun]) -> list[ImportRunSummary]:
    runs = list(rows)
    query = (
        select(col(Reject.run_id), func.count())
        .where(col(Reject.run_id).in_([run.id for run in runs]), col(Reject.state) == "open")
        .group_by(col(Reject.run_id))
    )
    waiting = {row[0]: row[1] for row in session.execute(query)}
    return [ImportRunSummary(run, waiting.get(run.id, 0)) for run in runs]
