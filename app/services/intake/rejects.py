"""Rejects: rows that could not be imported, stored whole with their reasons, listed, grouped by reason, and settled.

Batches, imports and feeds store their rejects here; a single push does not, since its caller has the response and the
ticket. A row that is sent and rejected again is the same reject. ``ingest.rejects.retry`` retries a reject, since that
needs the row's profile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import func, select, update
from sqlmodel import Session, col

from app.errors import FieldProblem, NotFound
from app.models import Reject
from app.schemas.reject import RejectOut
from app.security.principal import Principal
from app.services.core.reference import Reference
from app.store import bulk
from app.store.scope import find, visible

LOOKUP = 500
STATES = ("open", "retried", "deleted", "superseded")
REASON_LENGTH = 64


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One rejected row: its number in its file or batch (from 1), its errors, its raw text, and, for a feed's record, the
    id at its source if readable."""

    row: int | None
    errors: Sequence[FieldProblem]
    raw: str
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class RejectOrigin:
    """The origin of rows. ``door`` (the column of that name): batch, import or feed. ``rerun_of``: earlier imports of the
    same file, whose rejects are reused."""

    door: str
    source_id: int | None
    run_id: int | None = None
    profile: str | None = None
    rerun_of: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RejectFilter:
    """The filter of a list of rejects; None: any."""

    state: str | None = "open"
    door: str | None = None
    source_id: int | None = None
    reason: str | None = None
    run_id: int | None = None


def digest_of(raw: str) -> str:
    """The SHA-256 of a raw row, which identifies a repeated row."""
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()


def reason_of(errors: Sequence[FieldProblem]) -> str:
    """The group of a reject: the code of its first error."""
    return errors[0].code[:REASON_LENGTH]


def errors_json(errors: Sequence[FieldProblem]) -> list[dict[str, Any]]:
    """Errors in their stored form."""
    return [{"pointer": p.pointer, "code": p.code, "zh": p.zh, "en": p.en} for p in errors]


def errors_view(errors: Sequence[Mapping[str, Any]], lang: str) -> list[dict[str, str]]:
    """Stored errors for a response: ``{"pointer", "detail"}`` in ``lang``."""
    return [{"pointer": e["pointer"], "detail": e["en" if lang == "en" else "zh"]} for e in errors]


def store_rejects(session: Session, refused: Sequence[RejectedRow], place: RejectOrigin, now: datetime) -> None:
    """Store rejected rows in the transaction that commits the other rows of the group.

    A row already stored from an earlier run of the same file, batch or feed is not duplicated: it moves to this run.
    """
    if not refused:
        return
    digests = [digest_of(one.raw) for one in refused]
    known = _known(session, place, digests)
    fresh = []
    for one, digest in zip(refused, digests, strict=True):
        before = known.pop((digest, one.row if place.door == "import" else None), None)
        if before is None:
            fresh.append(_row(one, digest, place, now))
        else:
            before.run_id, before.row = place.run_id, one.row
            before.errors = errors_json(one.errors)
            before.reason = reason_of(one.errors)
            session.add(before)
    bulk.insert_rejects(session, fresh)


def _row(one: RejectedRow, digest: str, place: RejectOrigin, now: datetime) -> dict[str, Any]:
    return {
        "source_id": place.source_id,
        "door": place.door,
        "run_id": place.run_id,
        "row": one.row,
        "reason": reason_of(one.errors),
        "errors": errors_json(one.errors),
        "raw": one.raw,
        "digest": digest,
        "external_id": one.external_id,
        "profile": place.profile,
        "state": "open",
        "ticket_id": None,
        "created_at": now,
        "settled_at": None,
        "settled_by": None,
    }


def _known(session: Session, place: RejectOrigin, digests: Sequence[str]) -> dict[tuple[str, int | None], Reject]:
    """The existing rejects of these rows: for a batch, open ones; for a feed, all; for a file, all of its earlier runs,
    since row 17 of the same file is the same row."""
    if place.door == "import" and not place.rerun_of:
        return {}
    found: dict[tuple[str, int | None], Reject] = {}
    for start in range(0, len(digests), LOOKUP):
        query = select(Reject).where(
            col(Reject.source_id) == place.source_id,
            col(Reject.digest).in_(digests[start : start + LOOKUP]),
            col(Reject.door) == place.door,
        )
        if place.door == "import":
            query = query.where(col(Reject.run_id).in_(place.rerun_of))
        elif place.door != "feed":  # a feed's pulls overlap: a settled record returns and remains settled
            query = query.where(col(Reject.state) == "open")
        for reject in session.execute(query).scalars():
            found[(reject.digest, reject.row if place.door == "import" else None)] = reject
    return found


# -- reading -----------------------------------------------------------------------------------------------------------


def _conditions(chosen: RejectFilter) -> list[Any]:
    found: list[Any] = []
    for column, wanted in (
        (col(Reject.state), chosen.state),
        (col(Reject.door), chosen.door),
        (col(Reject.source_id), chosen.source_id),
        (col(Reject.reason), chosen.reason),
        (col(Reject.run_id), chosen.run_id),
    ):
        if wanted is not None:
            found.append(column == wanted)
    return found


def list_rejects(
    session: Session, who: Principal, chosen: RejectFilter, *, before: int | None, limit: int
) -> list[Reject]:
    """Rejects, newest first, below the id ``before``; an integrator sees those of its own source."""
    query = visible(select(Reject).where(*_conditions(chosen)), who, Reject)
    if before is not None:
        query = query.where(col(Reject.id) < before)
    return list(session.execute(query.order_by(col(Reject.id).desc()).limit(limit)).scalars())


def oldest_ids(session: Session, who: Principal, chosen: RejectFilter, *, after: int, limit: int) -> list[int]:
    """Ids of rejects, oldest first, above the id ``after``: for retrying many, a page at a time."""
    query = visible(select(col(Reject.id)).where(*_conditions(chosen), col(Reject.id) > after), who, Reject)
    return [key for (key,) in session.execute(query.order_by(col(Reject.id)).limit(limit)) if key is not None]


def groups(session: Session, who: Principal, chosen: RejectFilter, lang: str) -> list[dict[str, Any]]:
    """The number of rejects by reason, most frequent first, each with one example."""
    count, newest = func.count().label("count"), func.max(col(Reject.id)).label("newest")
    query = (
        select(col(Reject.reason), count, newest)
        .where(*_conditions(chosen))
        .group_by(col(Reject.reason))
        .order_by(count.desc(), col(Reject.reason))
    )
    rows = session.execute(visible(query, who, Reject)).all()
    examples = {
        reject.id: reject
        for reject in session.execute(select(Reject).where(col(Reject.id).in_([row.newest for row in rows]))).scalars()
    }
    return [
        {
            "reason": row.reason,
            "count": row[1],
            "example": {"id": row.newest, "errors": errors_view(examples[row.newest].errors, lang)},
        }
        for row in rows
    ]


def get(session: Session, who: Principal, reject_id: int, *, lock: bool = False) -> Reject:
    """One reject; raises NotFound, also for a source that the caller may not see."""
    found = find(session, who, Reject, reject_id, lock=lock)
    if found is None:
        raise NotFound(f"没有编号为 {reject_id} 的拒收记录", f"no reject has the id {reject_id}")
    return found


def reject_view(reject: Reject, raw: str | None, ref: Reference, lang: str, zone: tzinfo) -> RejectOut:
    """A reject for a response, with its raw row as the reader may see it (``ingest.rejects.raw_rows``)."""
    source = ref.sources.get(reject.source_id) if reject.source_id is not None else None
    return RejectOut.from_row(
        reject, zone, source=source.code if source else None, run=reject.run_id,
        errors=errors_view(reject.errors, lang), raw=raw,
    )  # fmt: skip


# -- settling ----------------------------------------------------------------------------------------------------------


def settle(
    session: Session, reject: Reject, state: str, who: Principal, now: datetime, ticket_id: int | None = None
) -> None:
    """Mark a reject ``retried`` (with its ticket) or ``deleted``. The row is never removed: it documents the input."""
    reject.state = state
    reject.ticket_id = ticket_id
    reject.settled_at = now
    reject.settled_by = who.actor
    session.add(reject)
    session.flush()


def raws_by_profile(session: Session, who: Principal, chosen: RejectFilter, *, limit: int) -> dict[str, list[str]]:
    """Raw rows of files by import profile, newest first."""
    found: dict[str, list[str]] = {}
    for reject in list_rejects(session, who, replace(chosen, door="import"), before=None, limit=limit):
        if reject.profile is not None:
            found.setdefault(reject.profile, []).append(reject.raw)
    return found


def discard(session: Session, who: Principal, chosen: RejectFilter, now: datetime, *, most: int) -> int:
    """Mark up to ``most`` open rejects of a filter as deleted; returns their number."""
    ids = oldest_ids(
        session,
        who,
        RejectFilter("open", chosen.door, chosen.source_id, chosen.reason, chosen.run_id),
        after=0,
        limit=most,
    )
    for start in range(0, len(ids), LOOKUP):
        session.execute(
            update(Reject)
            .where(col(Reject.id).in_(ids[start : start + LOOKUP]), col(Reject.state) == "open")
            .values(state="deleted", settled_at=now, settled_by=who.actor)
        )
    return len(ids)


def next_open(session: Session, who: Principal, chosen: RejectFilter, *, before: int) -> int | None:
    """The id of the next open reject of a filter below ``before``, newest first; none at the end."""
    found = list_rejects(session, who, chosen, before=before, limit=1)
    return found[0].id if found else None


def count_open(session: Session, who: Principal, *, most: int) -> int:
    """The number of open rejects that ``who`` may see, counted up to ``most``."""
    some = visible(select(col(Reject.id)).where(col(Reject.state) == "open"), who, Reject).limit(most).subquery()
    return int(session.execute(select(func.count()).select_from(some)).scalar_one())
