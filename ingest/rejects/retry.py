"""A reject tried again, as it came or corrected: by the profile that its file was read by, or as a ticket as pushed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from app.errors import BadRequest, Conflict, FieldProblem, Invalid, NotFound
from app.models import ImportRun, Reject
from app.runtime import Runtime
from app.security.principal import Principal
from app.services.core.unit_of_work import UnitOfWork
from app.services.intake import rejects
from app.store import db_errors
from ingest.feeds.updates import FEED, feed_profile, following
from ingest.formats.base import SourceRow
from ingest.formats.json_rows import row_of
from ingest.profile_wizard.saved import profile_folders
from ingest.rows.mapper import Mapper
from ingest.rows.prepare import IngestContext, RowOutcome
from ingest.rows.profile import Profile, load_profile
from ingest.rows.row import InputRow
from ingest.rows.ticket_in import HistoricalTicket, TicketIn, future_problem, parse_json, validate_ticket
from ingest.rows.write import write_rows

_Kind = tuple[str, int | None, int | None, str | None]
PAGE = 200
"""Rejects tried again in one transaction, when many are."""


@dataclass(frozen=True, slots=True)
class RetryResult:
    """What came of trying many again: how many are tickets now, how many are still refused, and, where it was stopped
    before the end, the id after which it goes on."""

    taken: int
    refused: int
    after: int | None = None


def retry(
    runtime: Runtime, who: Principal, reject_id: int, corrected: Mapping[str, Any] | str | None, now: datetime
) -> int:
    """Take a reject in after all, from its own content or from ``corrected`` (a row as an object, or its raw text);
    the id of its ticket.

    Raises Invalid with the reasons where it is still refused: it then stays as it is. Raises NotFound, and Conflict for
    one that is settled already.
    """
    ids = runtime.ids.take(1)
    with runtime.writing(now) as uow:
        reject = rejects.get(uow.session, who, reject_id, lock=True)
        if reject.state != "open":
            raise Conflict(f"该拒收记录已处理（{reject.state}）", f"this reject is settled already ({reject.state})")
        profile = None if reject.profile is None else profile_of_reject(runtime, reject.profile)
        line = _line(reject, reject.raw if corrected is None else corrected, profile, now)
        (fate,) = _write(runtime, uow, [reject], [line], who, ids)
        if fate.ticket_id is None or fate.status == "rejected":
            raise Invalid(fate.errors)
        rejects.settle(uow.session, reject, "retried", who, now, fate.ticket_id)
        return fate.ticket_id


def retry_all(
    runtime: Runtime,
    who: Principal,
    chosen: rejects.RejectFilter,
    now: datetime,
    *,
    after: int = 0,
    most: int | None = None,
) -> RetryResult:
    """Try every open reject of a filter again as it came, the oldest first, beyond the id ``after`` and up to ``most``
    of them. Those that are still refused stay, with the reasons that they are refused for now."""
    taken = refused = 0
    while most is None or taken + refused < most:
        with runtime.database.read() as session:
            page = rejects.oldest_ids(session, who, chosen, after=after, limit=PAGE)
        if not page:
            return RetryResult(taken, refused)
        done = _retry_page(runtime, who, page, now)
        taken, refused, after = taken + done, refused + len(page) - done, page[-1]
    return RetryResult(taken, refused, after)


def _retry_page(runtime: Runtime, who: Principal, page: Sequence[int], now: datetime) -> int:
    """Try some rejects again, those of one file or batch in one transaction; how many are tickets now."""
    with runtime.database.read() as session:
        kinds: dict[_Kind, list[int]] = {}
        query = select(Reject).where(col(Reject.id).in_(page)).order_by(col(Reject.id))
        for reject in session.execute(query).scalars():
            assert reject.id is not None, "it has been read"
            kinds.setdefault((reject.door, reject.source_id, reject.run_id, reject.profile), []).append(reject.id)
    taken = 0
    for kind, ids in kinds.items():
        try:
            profile = None if kind[3] is None else profile_of_reject(runtime, kind[3])
            taken += _retry_together(runtime, who, ids, profile, now)
        except (Invalid, NotFound):
            continue  # the profile is not there, or the source: nothing of these can be read
        except DBAPIError as error:
            if not db_errors.is_of_a_row(error):
                raise
            taken += sum(_retry_alone(runtime, who, reject_id, now) for reject_id in ids)
    return taken


def _retry_alone(runtime: Runtime, who: Principal, reject_id: int, now: datetime) -> bool:
    try:
        retry(runtime, who, reject_id, None, now)
    except (Invalid, BadRequest, Conflict, NotFound):
        return False
    except DBAPIError as error:
        if not db_errors.is_of_a_row(error):
            raise
        return False
    return True


def _retry_together(
    runtime: Runtime, who: Principal, ids: Sequence[int], profile: Profile | None, now: datetime
) -> int:
    new_ids = runtime.ids.take(len(ids))
    taken = 0
    with runtime.writing(now) as uow:
        session = uow.session
        query = select(Reject).where(col(Reject.id).in_(ids), col(Reject.state) == "open").order_by(col(Reject.id))
        waiting = list(session.execute(query.with_for_update()).scalars())
        lines = [_line_or_reasons(reject, profile, now) for reject in waiting]
        if not waiting:
            return 0
        for reject, fate in zip(waiting, _write(runtime, uow, waiting, lines, who, new_ids), strict=True):
            if fate.ticket_id is not None and fate.status != "rejected":
                rejects.settle(session, reject, "retried", who, now, fate.ticket_id)
                taken += 1
            elif fate.errors:
                reject.errors = rejects.errors_json(fate.errors)
                reject.reason = fate.errors[0].code[: rejects.REASON_LENGTH]
                session.add(reject)
    return taken


def _line_or_reasons(reject: Reject, profile: Profile | None, now: datetime) -> InputRow:
    """The line of a reject; what cannot be read any better than before keeps its reasons."""
    try:
        return _line(reject, reject.raw, profile, now)
    except (Invalid, BadRequest) as error:
        known = tuple(FieldProblem(e["pointer"], e["zh"], e["en"], e["code"]) for e in reject.errors)
        reasons = error.problems if isinstance(error, Invalid) and profile is None else known
        return InputRow(reject.row or 1, None, reasons, lambda: reject.raw)


def _line(reject: Reject, content: Mapping[str, Any] | str, profile: Profile | None, now: datetime) -> InputRow:
    found: TicketIn | None = None
    errors: Sequence[FieldProblem] = ()
    if profile is None:
        found = validate_ticket(content, now=now)
    else:
        mapped = map_row(profile, content)
        if isinstance(mapped, HistoricalTicket):
            found, early = mapped, future_problem(mapped, now)
            errors = (early,) if early else ()
        else:
            errors = mapped
    return InputRow(reject.row or 1, None if errors else found, errors, lambda: reject.raw)


def profile_of_reject(runtime: Runtime, name: str) -> Profile:
    """The profile by which a reject was read. Raises Invalid where it is not there any more."""
    if name.startswith(FEED):
        return feed_profile(runtime, name.removeprefix(FEED))
    try:
        return load_profile(name, profile_folders(runtime))
    except NotFound as error:
        raise Invalid.at(
            "/profile",
            f"找不到读取该行所用的映射配置 {name}，请把它放进数据目录的 profiles 文件夹",
            f"the profile {name}, by which this row was read, is not there; put it into `profiles` in the data directory",
        ) from error


def map_row(profile: Profile, content: Mapping[str, Any] | str) -> HistoricalTicket | Sequence[Any]:
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
        columns, made = list(row), SourceRow(1, list(row.values()))
    return Mapper(profile, columns).map(made)


def _write(
    runtime: Runtime,
    uow: UnitOfWork,
    some: Sequence[Reject],
    lines: Sequence[InputRow],
    who: Principal,
    ids: Iterable[int],
) -> Sequence[RowOutcome]:
    """Write the lines of rejects that came in together."""
    first = some[0]
    source = uow.ref.sources.get(first.source_id) if first.source_id is not None else None
    if source is None:
        raise Invalid.at("/source", "该行没有来源，无法接收", "the row has no source to be taken in from")
    run = uow.session.get(ImportRun, first.run_id) if first.run_id is not None else None
    profile = first.profile
    of_feed = profile is not None and profile.startswith(FEED)
    actor = who.actor if profile is None else profile if of_feed else f"import:{profile}"
    live = run.live if run else of_feed
    place = rejects.RejectOrigin(first.door, source.id, first.run_id, profile)
    door = IngestContext(
        place, source.code, actor, history=profile is not None, live=live, follow=following(actor) if of_feed else None
    )
    return write_rows(runtime, uow, door, lines, list(ids))
