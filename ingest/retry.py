"""A reject tried again, as it came or corrected: by the profile that its file was read by, or as a ticket as pushed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session

from app.domain.errors import BadRequest, Conflict, Invalid, NotFound
from app.models import ImportRun, Reject
from app.runtime import Runtime
from app.security.principal import Principal
from app.services import rejects
from app.services.reference import SourceInfo
from ingest.chunks import Door, Fate, Line, write_lines
from ingest.feed_updates import FEED, feed_profile, following
from ingest.mapping import Mapper
from ingest.profile import Profile, load_profile
from ingest.schema import HistoricalTicket, TicketIn, future_problem, parse_json, validate_ticket
from ingest.sources.base import Row
from ingest.sources.jsonrows import row_of

PAGE = 200
"""Rejects tried again in one transaction, when many are."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What came of trying many again: how many are tickets now, and how many are still refused."""

    taken: int
    refused: int


def own_profiles(runtime: Runtime) -> list[Path]:
    """The folders of profiles besides the bundled ones: ``profiles`` in the data directory, where there is one."""
    folder = runtime.settings.data_dir / "profiles"
    return [folder] if folder.is_dir() else []


def retry(
    runtime: Runtime, who: Principal, reject_id: int, corrected: Mapping[str, Any] | str | None, now: datetime
) -> int:
    """Take a reject in after all, from its own content or from ``corrected`` (a row as an object, or its raw text);
    the id of its ticket.

    Raises Invalid with the reasons where it is still refused: it then stays as it is. Raises NotFound, and Conflict for
    one that is settled already.
    """
    ids = runtime.ids.take(1)
    with runtime.writing() as (session, ref):
        reject = rejects.get(session, who, reject_id, lock=True)
        if reject.state != "open":
            raise Conflict(f"该拒收记录已处理（{reject.state}）", f"this reject is settled already ({reject.state})")
        line = _line(runtime, reject, reject.raw if corrected is None else corrected, now)
        source = ref.sources.get(reject.source_id) if reject.source_id is not None else None
        fate = _write(runtime, session, reject, line, source, who, ids, now)
        if fate.ticket_id is None or fate.status == "rejected":
            raise Invalid(fate.errors)
        rejects.settle(session, reject, "retried", who, now, fate.ticket_id)
        return fate.ticket_id


def retry_all(runtime: Runtime, who: Principal, chosen: rejects.Filter, now: datetime) -> Retried:
    """Try every open reject of a filter again as it came; those that are still refused stay."""
    taken = refused = after = 0
    while True:
        with runtime.database.read() as session:
            page = rejects.oldest_ids(session, who, chosen, after=after, limit=PAGE)
        if not page:
            return Retried(taken, refused)
        for reject_id in page:
            try:
                retry(runtime, who, reject_id, None, now)
                taken += 1
            except (Invalid, BadRequest, Conflict, NotFound):
                refused += 1
        after = page[-1]


def _line(runtime: Runtime, reject: Reject, content: Mapping[str, Any] | str, now: datetime) -> Line:
    found: TicketIn | None = None
    errors: Sequence[Any] = ()
    if reject.profile is None:
        found = validate_ticket(content, now=now)
    else:
        mapped = map_again(_profile(runtime, reject.profile), content)
        if isinstance(mapped, HistoricalTicket):
            found, early = mapped, future_problem(mapped, now)
            errors = (early,) if early else ()
        else:
            errors = mapped
    return Line(reject.row or 1, None if errors else found, errors, lambda: reject.raw)


def _profile(runtime: Runtime, name: str) -> Profile:
    if name.startswith(FEED):
        return feed_profile(runtime, name.removeprefix(FEED))
    try:
        return load_profile(name, own_profiles(runtime))
    except NotFound as error:
        raise Invalid.at(
            "/profile",
            f"找不到读取该行所用的映射配置 {name}，请把它放进数据目录的 profiles 文件夹",
            f"the profile {name}, by which this row was read, is not there; put it into `profiles` in the data directory",
        ) from error


def map_again(profile: Profile, content: Mapping[str, Any] | str) -> HistoricalTicket | Sequence[Any]:
    """A row mapped once more: an object by column names, or its raw text. The ticket, or what is wrong with it."""
    row = parse_json(content) if isinstance(content, str) else content
    if not isinstance(row, Mapping):
        raise Invalid.at(
            "/row",
            "此行无法按列名读取，请以对象形式给出更正后的各列",
            "this row cannot be read by column names; give the corrected columns as an object",
        )
    if any(isinstance(value, dict) for value in row.values()):  # JSON from its beginning: members reached by path
        columns, made = row_of(1, dict(row), profile.column_names())
    else:
        columns, made = list(row), Row(1, list(row.values()))
    return Mapper(profile, columns).map(made)


def _write(
    runtime: Runtime,
    session: Session,
    reject: Reject,
    line: Line,
    source: SourceInfo | None,
    who: Principal,
    ids: Iterable[int],
    now: datetime,
) -> Fate:
    if source is None:
        raise Invalid.at("/source", "该行没有来源，无法接收", "the row has no source to be taken in from")
    run = session.get(ImportRun, reject.run_id) if reject.run_id is not None else None
    profile = reject.profile
    of_feed = profile is not None and profile.startswith(FEED)
    actor = who.actor if profile is None else profile if of_feed else f"import:{profile}"
    live = run.live if run else of_feed
    place = rejects.Place(reject.door, source.id, reject.run_id, profile)
    door = Door(
        place, source.code, actor, history=profile is not None, live=live, follow=following(actor) if of_feed else None
    )
    return write_lines(runtime, session, door, [line], list(ids), now)[0]
