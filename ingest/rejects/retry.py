"""Retry rejects, unchanged or corrected: by the profile of their file or feed, or as a pushed ticket.

A retry acts with the name and the rights of the caller. It may change only the record that was rejected, or create one
that does not exist yet; a caller who may not import files sets no state, verdict or new reference data by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from app.domain.tickets.fields import LIFE
from app.errors import BadRequest, Conflict, FieldProblem, Invalid, NotFound
from app.models import ImportRun, Reject
from app.runtime import Runtime
from app.security.permissions import may
from app.security.principal import Principal
from app.services.core.unit_of_work import UnitOfWork
from app.services.intake import rejects
from app.services.intake.history import ReferenceFinder, missing_places
from app.store import db_errors
from ingest.feeds.updates import FEED, feed_profile, follow
from ingest.formats.base import SourceRow
from ingest.formats.json_rows import row_of
from ingest.profile_wizard.saved import profile_folders
from ingest.rejects.masked_rows import restored
from ingest.rows.mapper import Mapper
from ingest.rows.prepare import Follow, IngestContext, RowOutcome
from ingest.rows.profile import Profile, load_profile
from ingest.rows.row import InputRow
from ingest.rows.ticket_in import HistoricalTicket, TicketIn, future_problem, parse_json, validate_ticket
from ingest.rows.write import write_rows

_Kind = tuple[str, int | None, int | None, str | None]
_NOT_ALLOWED = "not_allowed"
_PUSHED_STATES = ("received", "dispatched")
"""States that a push gives a ticket as well."""
_OTHER_RECORD = FieldProblem(
    "/external_id",
    "此编号属于另一工单；重试只能处理被拒收的记录，或新建工单",
    "belongs to another ticket: a retry may change only the rejected record, or create a ticket",
    "other_record",
)
PAGE = 200
"""Maximum rejects retried in one transaction."""


@dataclass(frozen=True, slots=True)
class RetryResult:
    """The result of a bulk retry: how many became tickets, how many are still rejected, and, where it stopped before the
    end, the id after which to continue."""

    accepted: int
    refused: int
    after: int | None = None


def retry(
    runtime: Runtime, who: Principal, reject_id: int, corrected: Mapping[str, Any] | str | None, now: datetime
) -> int:
    """Import a reject from its own content or from ``corrected`` (a row as an object, or its raw text); return the id of
    its ticket.

    Raises Invalid with the reasons where it is still rejected (it is left unchanged), NotFound, and Conflict for one
    that is settled already.
    """
    ids = runtime.ids.take(1)
    with runtime.writing(now) as uow:
        reject = rejects.get(uow.session, who, reject_id, lock=True)
        if reject.state != "open":
            raise Conflict(f"该拒收记录已处理（{reject.state}）", f"this reject is settled already ({reject.state})")
        profile = None if reject.profile is None else profile_of_reject(runtime, reject.profile)
        row = _allowed(uow, who, _input_row(reject, _content(reject, corrected, profile), profile, now))
        (outcome,) = _write(runtime, uow, [reject], [row], who, ids)
        if outcome.ticket_id is None or outcome.status == "rejected":
            raise Invalid(outcome.errors)
        rejects.settle(uow.session, reject, "retried", who, now, outcome.ticket_id)
        return outcome.ticket_id


def retry_all(
    runtime: Runtime,
    who: Principal,
    chosen: rejects.RejectFilter,
    now: datetime,
    *,
    after: int = 0,
    most: int | None = None,
) -> RetryResult:
    """Retry every open reject of a filter unchanged, the oldest first, from the id ``after`` on and at most ``most`` of
    them. Those still rejected remain open, with their current reasons."""
    accepted = refused = 0
    while most is None or accepted + refused < most:
        with runtime.database.read() as session:
            page = rejects.oldest_ids(session, who, chosen, after=after, limit=PAGE)
        if not page:
            return RetryResult(accepted, refused)
        done = _retry_page(runtime, who, page, now)
        accepted, refused, after = accepted + done, refused + len(page) - done, page[-1]
    return RetryResult(accepted, refused, after)


def _retry_page(runtime: Runtime, who: Principal, page: Sequence[int], now: datetime) -> int:
    """Retry rejects, those of one file or batch in one transaction; return how many became tickets."""
    with runtime.database.read() as session:
        kinds: dict[_Kind, list[int]] = {}
        query = select(Reject).where(col(Reject.id).in_(page)).order_by(col(Reject.id))
        for reject in session.execute(query).scalars():
            assert reject.id is not None, "it has been read"
            kinds.setdefault((reject.door, reject.source_id, reject.run_id, reject.profile), []).append(reject.id)
    accepted = 0
    for kind, ids in kinds.items():
        try:
            profile = None if kind[3] is None else profile_of_reject(runtime, kind[3])
            accepted += _retry_together(runtime, who, ids, profile, now)
        except (Invalid, NotFound):
            continue  # the profile or the source no longer exists: none of these rows can be read
        except DBAPIError as error:
            if not db_errors.is_of_a_row(error):
                raise
            accepted += sum(_retry_alone(runtime, who, reject_id, now) for reject_id in ids)
    return accepted


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
    accepted = 0
    with runtime.writing(now) as uow:
        session = uow.session
        query = select(Reject).where(col(Reject.id).in_(ids), col(Reject.state) == "open").order_by(col(Reject.id))
        open_rejects = list(session.execute(query.with_for_update()).scalars())
        rows = [_allowed(uow, who, _input_row_or_known_errors(reject, profile, now)) for reject in open_rejects]
        if not open_rejects:
            return 0
        for reject, outcome in zip(open_rejects, _write(runtime, uow, open_rejects, rows, who, new_ids), strict=True):
            if outcome.ticket_id is not None and outcome.status != "rejected":
                rejects.settle(session, reject, "retried", who, now, outcome.ticket_id)
                accepted += 1
            elif outcome.errors and all(error.code != _NOT_ALLOWED for error in outcome.errors):
                reject.errors = rejects.errors_json(outcome.errors)
                reject.reason = outcome.errors[0].code[: rejects.REASON_LENGTH]
                session.add(reject)
    return accepted


def _content(
    reject: Reject, corrected: Mapping[str, Any] | str | None, profile: Profile | None
) -> Mapping[str, Any] | str:
    """Return the content to retry: the original row, or the corrected one with unchanged masked values restored."""
    if corrected is None:
        return reject.raw
    row = parse_json(corrected) if isinstance(corrected, str) else corrected
    return restored(row, reject.raw, profile) if isinstance(row, Mapping) else corrected


def _allowed(uow: UnitOfWork, who: Principal, row: InputRow) -> InputRow:
    """Return the row, refused where it sets what ``who`` may not set."""
    ticket = row.ticket
    if not isinstance(ticket, HistoricalTicket) or may(who, "files.import"):
        return row
    problems = [
        FieldProblem(
            f"/{field.name}", "接入方不能设置此项，请由指挥中心处理", "must not be set by an integrator", _NOT_ALLOWED
        )
        for field in LIFE
        if getattr(ticket, field.name) is not None and (field.name != "status" or ticket.status not in _PUSHED_STATES)
    ]
    problems += [
        FieldProblem(f"/{tree}", "没有此编码；接入方不能新建", "is unknown: an integrator may not create it", _NOT_ALLOWED)
        for tree in missing_places(ReferenceFinder(uow.ref), [ticket])
    ]  # fmt: skip
    return row._replace(ticket=None, errors=problems) if problems else row


def _input_row_or_known_errors(reject: Reject, profile: Profile | None, now: datetime) -> InputRow:
    """Return the input row of a reject; one that is still unreadable keeps its known errors."""
    try:
        return _input_row(reject, reject.raw, profile, now)
    except (Invalid, BadRequest) as error:
        known = tuple(FieldProblem(e["pointer"], e["zh"], e["en"], e["code"]) for e in reject.errors)
        reasons = error.problems if isinstance(error, Invalid) and profile is None else known
        return InputRow(reject.row or 1, None, reasons, lambda: reject.raw)


def _input_row(reject: Reject, content: Mapping[str, Any] | str, profile: Profile | None, now: datetime) -> InputRow:
    ticket: TicketIn | None = None
    errors: Sequence[FieldProblem] = ()
    if profile is None:
        ticket = validate_ticket(content, now=now)
    else:
        mapped = map_row(profile, content)
        if isinstance(mapped, HistoricalTicket):
            ticket, early = mapped, future_problem(mapped, now)
            errors = (early,) if early else ()
        else:
            errors = mapped
    return InputRow(reject.row or 1, None if errors else ticket, errors, lambda: reject.raw)


def profile_of_reject(runtime: Runtime, name: str) -> Profile:
    """Return the profile that a reject was read by. Raises Invalid where it no longer exists."""
    if name.startswith(FEED):
        return feed_profile(runtime, name.removeprefix(FEED))
    try:
        return load_profile(name, profile_folders(runtime))
    except NotFound as error:
        raise Invalid.at(
            "/profile",
            f"找不到读取该行所用的映射配置 {name}，请将其放入数据目录的 profiles 文件夹",
            f"the profile {name} of this row was not found; put it into `profiles` in the data directory",
        ) from error


def map_row(profile: Profile, content: Mapping[str, Any] | str) -> HistoricalTicket | Sequence[Any]:
    """Map a row (an object by column names, or its raw text) to a ticket, or to its validation errors."""
    row = parse_json(content) if isinstance(content, str) else content
    if not isinstance(row, Mapping):
        raise Invalid.at(
            "/row",
            "此行无法按列名读取，请以对象形式提供更正后的各列",
            "this row cannot be read by column names; give the corrected columns as an object",
        )
    if any(isinstance(value, dict) for value in row.values()):  # a JSON source: nested members are read by path
        columns, source_row = row_of(1, dict(row), profile.column_names())
    else:
        columns, source_row = list(row), SourceRow(1, list(row.values()))
    return Mapper(profile, columns).map(source_row)


def _write(
    runtime: Runtime,
    uow: UnitOfWork,
    some: Sequence[Reject],
    rows: Sequence[InputRow],
    who: Principal,
    ids: Iterable[int],
) -> Sequence[RowOutcome]:
    """Write the rows of rejects of one file or batch."""
    first = some[0]
    source = uow.ref.sources.get(first.source_id) if first.source_id is not None else None
    if source is None:
        raise Invalid.at("/source", "该行没有来源，无法接收", "the row has no source")
    run = uow.session.get(ImportRun, first.run_id) if first.run_id is not None else None
    profile = first.profile
    of_feed = profile is not None and profile.startswith(FEED)
    live = run.live if run else of_feed
    origin = rejects.RejectOrigin(first.door, source.id, first.run_id, profile)
    context = IngestContext(
        origin, source.code, who.actor, history=profile is not None, live=live,
        follow=_follow_rejected(who, some) if of_feed else None,
    )  # fmt: skip
    return write_rows(runtime, uow, context, rows, list(ids))


def _follow_rejected(who: Principal, rejected: Sequence[Reject]) -> Follow:
    """Return the ``follow`` that updates the tickets of the rejected records, and refuses to update any other."""
    own = {reject.external_id for reject in rejected}

    def follow_one(uow: UnitOfWork, ticket_id: int, incoming: TicketIn) -> RowOutcome:
        assert isinstance(incoming, HistoricalTicket), "a feed maps records to historical tickets"
        if incoming.external_id not in own:
            return RowOutcome("rejected", ticket_id, (_OTHER_RECORD,))
        return follow(uow, ticket_id, incoming, who)

    return follow_one
