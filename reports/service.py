"""Use cases of reports, called by pages, the API, the command line and the scheduled jobs.

produce(runtime, who, kind, period, …)  →  PublishedReport     compute, store, and report whether it is new
list_reports / get / figures / tickets / download              read, within what ``who`` may see
clear_out(…)                                                   a month's list with its mutable part

A report is computed in a read session, which may take seconds, and stored in a short write session, so that no push
waits for a report. Nothing here commits; only ``produce`` opens sessions. Everything here blocks: run it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlmodel import Session, col

from app.errors import Invalid, NotFound
from app.models import ClearOutList, Report, Ticket
from app.runtime import Runtime
from app.security.permissions import require
from app.security.principal import Principal
from app.services.core.reference import Node, Reference
from app.services.core.views import counted_view, moment, ticket_view
from app.store import tickets as store
from app.store.scope import covers, find, own_unit, sees, visible
from reports.clear_out import ledger
from reports.editions import store as editions
from reports.editions.make import make
from reports.editions.store import RUNNING, UnsealedReport
from reports.figures.body import tickets_behind
from reports.period import Period, parse_period
from reports.render import file_name, render

_SHOWN = ("id", "kind", "period", "scope", "edition", "start_at", "end_at", "as_of", "definitions_version", "hash",
          "created_at", "created_by")  # fmt: skip


@dataclass(frozen=True, slots=True)
class PublishedReport:
    """The result of ``produce``: the report's id and document, and whether it is new (else an equal edition existed)."""

    id: int
    document: dict[str, Any]
    created: bool


@dataclass(frozen=True, slots=True)
class TicketsBehind:
    """One page of the tickets that a figure counts. ``total`` is the figure's count; ``next`` the id to continue after."""

    items: list[dict[str, Any]]
    total: int
    next: int | None


# ------------------------------------------------------------------------------------------------------------ producing


def produce(
    runtime: Runtime,
    who: Principal,
    kind: str,
    period: str,
    *,
    now: datetime,
    unit: str | None = None,
    as_of: datetime | None = None,
) -> PublishedReport:
    """Compute and store the report of ``kind`` and ``period``.

    ``period``: ``2024-03-15``, ``2024-W11``, ``2024-03`` or ``2024-03-01..2024-03-15``. ``unit``: the code of a unit, with
    its subtree. ``as_of`` defaults to ``now``; before the period's end it gives a running report. Raises Forbidden, Invalid
    (``/kind``, ``/period``, ``/scope``, ``/as_of``), BalanceBroken.
    """
    require(who, "reports.make")
    wanted = _period(kind, period, runtime, now, as_of)
    with runtime.metrics.report_seconds.labels(wanted.kind).time(), snapshot(runtime) as (session, ref):
        root = _unit(ref, unit)
        if wanted.kind == "clear-out":
            return _clear_out_list(runtime, session, ref, wanted, root, now, as_of, who)
        draft = make(session, ref, wanted, as_of or now, unit=root, relapse_days=runtime.settings.relapse_days)
    with runtime.database.write() as session:
        report, created = publish(session, draft, now, who.actor)
        return _published(report, created)


def _published(report: Report, created: bool) -> PublishedReport:
    assert report.id is not None
    return PublishedReport(report.id, editions.document(report), created)


@contextmanager
def snapshot(runtime: Runtime) -> Iterator[tuple[Session, Reference]]:
    """Open a session that sees one state of the data in all its queries, with the reference data in force."""
    with runtime.database.read() as session:
        if runtime.database.is_postgresql:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session, runtime.reference.get(session)


def _period(kind: str, period: str, runtime: Runtime, now: datetime, as_of: datetime | None) -> Period:
    wanted = parse_period(kind, period, runtime.settings.time_zone)
    if as_of is not None and as_of > now:
        raise Invalid.at("/as_of", "统计时点不能晚于现在", "as_of cannot be later than now")
    if (as_of or now).astimezone(UTC) < wanted.start.astimezone(UTC):
        raise Invalid.at(
            "/as_of" if as_of else "/period",
            f"统计时点早于期初 {wanted.start.isoformat()}，尚无可统计",
            f"as_of is before the period's start {wanted.start.isoformat()}: nothing to count yet",
        )
    return wanted


def _unit(ref: Reference, code: str | None) -> Node | None:
    if not code:
        return None
    node = ref.unit_by_code(code)
    if node is None:
        raise Invalid.at("/scope", f"没有编码为 {code!r} 的责任单位", f"no unit has the code {code!r}")
    return node


# ----------------------------------------------------------------------------------------------------------- storing


def publish(session: Session, draft: UnsealedReport, now: datetime, actor: str) -> tuple[Report, bool]:
    """Store ``draft``: (the report, whether it is new).

    If an edition of the same kind, period and scope has the same facts and figures, it is returned and nothing is written.
    If later data changed them, edition n+1 is stored beside it as a correction (更正), with the difference. A running
    report has number 0, is no edition, and is replaced by the next one.
    """
    _wait_for_turn(session, draft)
    query = select(Report).where(
        col(Report.kind) == draft.period.kind, col(Report.period) == draft.period.key, col(Report.scope) == draft.scope
    )
    kept = list(session.execute(query.order_by(col(Report.edition).desc())).scalars())
    running = next((report for report in kept if report.edition == RUNNING), None)
    if draft.running:
        sealed = editions.seal(draft, RUNNING, now, actor)
        if running is None:
            return _add(session, sealed), True
        same = editions.difference(running, draft) is None
        for name in ("as_of", "definitions_version", "hash", "body", "facts", "created_at", "created_by"):
            setattr(running, name, getattr(sealed, name))
        return _add(session, running), not same
    before = [report for report in kept if report.edition > RUNNING]
    differences = []
    for report in before:
        changed = editions.difference(report, draft)
        if changed is None:
            return report, False
        differences.append(changed)
    edition = before[0].edition + 1 if before else 1
    return _add(session, editions.seal(draft, edition, now, actor, differences[0] if differences else None)), True


def _add(session: Session, report: Report) -> Report:
    session.add(report)
    session.flush()
    return report


def _wait_for_turn(session: Session, draft: UnsealedReport) -> None:
    """Serialize processes that publish the same report (on SQLite all writers are serialized)."""
    if session.get_bind().dialect.name == "postgresql":
        key = f"report {draft.period.kind} {draft.period.key} {draft.scope}"
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def _clear_out_list(
    runtime: Runtime,
    session: Session,
    ref: Reference,
    period: Period,
    root: Node | None,
    now: datetime,
    as_of: datetime | None,
    who: Principal,
) -> PublishedReport:
    """Freeze the month's list if it is not frozen yet; for a unit, seal its part of the list separately."""
    whole = ledger.frozen(session, period.key)
    created = False
    if whole is None:
        listed = ledger.draft(session, ref, period, as_of or now, relapse_days=runtime.settings.relapse_days)
        session.rollback()  # End the read: on SQLite an open reader blocks the checkpoint of the write-ahead log.
        with runtime.database.write() as writing:
            if listed.report.running:
                part = _part(listed.report, root, ref) if root else listed.report
                return _published(*publish(writing, part, now, who.actor))
            whole, created = ledger.freeze(writing, listed, now, who.actor)
    if root is not None:
        sealed = UnsealedReport(period, whole.as_of, "", dict(whole.body), editions.from_parquet(whole.facts))
        with runtime.database.write() as writing:
            whole, created = publish(writing, _part(sealed, root, ref), now, who.actor)
    with runtime.database.read() as reading:
        document = ledger.overlay(reading, editions.document(whole), now, runtime.settings.zone)
    assert whole.id is not None
    return PublishedReport(whole.id, document, created)


def _part(draft: UnsealedReport, root: Node, ref: Reference) -> UnsealedReport:
    body = ledger.narrowed(draft.body, root, ref)
    wanted = [item["ticket_id"] for item in body["items"]]
    return UnsealedReport(
        draft.period, draft.as_of, root.code, body, draft.facts[draft.facts["ticket_id"].isin(wanted)]
    )


# ----------------------------------------------------------------------------------------------------------- reading


def list_reports(
    session: Session,
    ref: Reference,
    who: Principal,
    *,
    kind: str | None = None,
    period: str | None = None,
    scope: str | None = None,
    before: int | None = None,
    limit: int = 50,
    zone: Any = UTC,
) -> list[dict[str, Any]]:
    """Return reports ``who`` may see, newest first, without figures; ``scope``: a unit's code or ``""``; ``before``: an id."""
    require(who, "reports.see")
    columns: list[Any] = [getattr(Report, name) for name in _SHOWN]
    query = select(*columns, col(Report.difference).is_not(None).label("correction")).order_by(col(Report.id).desc())
    for column, value in ((col(Report.kind), kind), (col(Report.period), period), (col(Report.scope), scope)):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(col(Report.id) < before)
    return [_row_view(row, zone) for row in session.execute(visible(query, who, Report).limit(limit)).mappings()]


def _row_view(row: Mapping[str, Any] | Any, zone: Any) -> dict[str, Any]:
    found = {name: row[name] for name in _SHOWN} | {"correction": bool(row["correction"])}
    for name in ("start_at", "end_at", "as_of", "created_at"):
        found[name] = moment(found[name], zone)
    found["start"], found["end"] = found.pop("start_at"), found.pop("end_at")
    found["scope"] = {"unit": found["scope"] or None}
    found["running"] = found["edition"] == RUNNING
    return found


def get(session: Session, ref: Reference, who: Principal, report_id: int) -> Report:
    """Return the report. Raises NotFound if ``who`` may not see it, Forbidden for a role that reads no reports."""
    require(who, "reports.see")
    report = find(session, who, Report, report_id)
    if report is None:
        raise NotFound(f"没有编号为 {report_id} 的报表", f"no report has the id {report_id}")
    return report


def document(session: Session, who: Principal, report: Report, now: datetime, zone: Any) -> dict[str, Any]:
    """Return the contract's document: as sealed; for a clear-out list with the current leader, measures and state."""
    found = editions.document(report)
    return _live_list(session, who, found, now, zone) if report.kind == "clear-out" else found


def _live_list(session: Session, who: Principal, body: dict[str, Any], now: datetime, zone: Any) -> dict[str, Any]:
    """Return a clear-out list with its mutable part; a ticket that ``who`` may no longer see has no title."""
    found = ledger.overlay(session, body, now, zone)
    listed = select(col(Ticket.id)).where(col(Ticket.id).in_([item["ticket_id"] for item in found["items"]]))
    seen = set(session.execute(visible(listed, who, Ticket)).scalars())
    items = [item if item["ticket_id"] in seen else {**item, "title": None} for item in found["items"]]
    return {**found, "items": items}


def view(session: Session, who: Principal, report: Report, now: datetime, zone: Any) -> dict[str, Any]:
    """Return the document and the edition's metadata: id, when and by whom it was made, what it corrects."""
    about = {
        "id": report.id,
        "created_at": moment(report.created_at, zone),
        "created_by": report.created_by,
        "difference": report.difference,
    }
    return {**document(session, who, report, now, zone), **about}


def figures(report: Report, group: str | None = None) -> dict[str, Any]:
    """Return the figures of the whole, or of one ``group`` (``unit:GA``), with those of earlier periods."""
    body = editions.document(report)
    source = editions.row_of(body, group) if group else body
    names = ("kind", "period", "as_of", "scope", "edition", "definitions_version")
    return {
        **{name: body[name] for name in names},
        "group": group or None,
        "figures": source.get("figures") or {},
        "compare": source.get("compare") or {},
    }


def tickets(
    session: Session,
    ref: Reference,
    who: Principal,
    report: Report,
    figure: str,
    *,
    group: str | None = None,
    part: str = "numerator",
    after: int | None = None,
    limit: int = 50,
    now: datetime,
    zone: Any,
) -> TicketsBehind:
    """Return the tickets that ``figure`` counts, by ascending id, each in its current state.

    ``group`` is ``dimension:code``, ``part`` numerator or denominator. Of a clear-out list the figure is ``listed``, the
    group ``reason:overdue`` or ``unit:CODE``. A ticket now assigned to a unit outside ``who``'s scope is still counted
    and listed, without the citizen's text.
    """
    if report.kind == "clear-out":
        ids = _listed_ids(editions.document(report), figure, group)
    else:
        if group:
            editions.row_of(editions.document(report), group)
        sealed = editions.sealed_facts(report)
        ids = tickets_behind(sealed.facts, sealed.period, sealed.as_of, figure, group, part)
    rest = ids if after is None else [key for key in ids if key > after]
    wanted = rest[:limit]
    rows = {row.id: row for row in session.execute(select(Ticket).where(col(Ticket.id).in_(wanted))).scalars()}
    deadlines = store.deadlines_of(session, wanted)
    items = []
    for key in wanted:
        seen = ticket_view(rows[key], deadlines[key], ref, now, zone)
        if not sees(who, rows[key], ref):
            seen = counted_view(seen)
        items.append(seen)
    return TicketsBehind(items, len(ids), wanted[-1] if len(rest) > limit else None)


def _listed_ids(body: Mapping[str, Any], figure: str, group: str | None) -> list[int]:
    if figure != "listed":
        raise Invalid.at("/figure", "清零清单只有 listed 一项", "a clear-out list has the figure `listed` alone")
    dimension, _, code = (group or "").partition(":")
    if dimension == "reason":
        items = [item for item in body["items"] if code in {reason["code"] for reason in item["reasons"]}]
    elif dimension == "unit":
        items = [item for item in body["items"] if (item["unit"]["code"] if item["unit"] else "") == code]
    elif not group:
        items = body["items"]
    else:
        raise Invalid.at(
            "/group", f"“{group}”不是分组", f"{group!r} is not a group; use e.g. unit:CODE or reason:overdue"
        )
    return sorted(item["ticket_id"] for item in items)


def download(
    session: Session, who: Principal, report: Report, format_: str, path: Path, *, lang: str, now: datetime, zone: Any
) -> str:
    """Write the report to ``path`` as json, csv or xlsx (a workbook may take seconds); return its file name.

    Raises Invalid at ``/format``.
    """
    found = document(session, who, report, now, zone)
    facts = editions.sealed_facts(report) if format_ == "xlsx" and report.kind != "clear-out" else None
    render(found, format_, path, lang=lang, behind=facts)
    return file_name(found, format_)


def clear_out(
    session: Session, ref: Reference, who: Principal, month: str, *, unit: str | None = None, now: datetime, zone: Any
) -> dict[str, Any]:
    """Return the frozen list of ``month`` with its mutable part, for pages and the API; a unit sees its subtree.

    ``unit`` narrows it further. Raises Invalid if ``month`` is not a month, NotFound if it has no list yet.
    """
    require(who, "clear_out.see")
    parse_period("clear-out", month, "UTC")
    report = ledger.frozen(session, month)
    if report is None:
        raise NotFound(
            f"{month} 没有清零清单；清单在次月 1 日冻结，也可用 duban report clear-out {month} 生成",
            f"{month} has no clear-out list; it is frozen on the first day of the next month, "
            f"or by `duban report clear-out {month}`",
        )
    found = _live_list(session, who, editions.document(report), now, zone)
    root = _unit(ref, unit)
    if root is not None and not covers(who, root):
        raise NotFound("没有这个范围的清单", "there is no list of that scope")
    root = root or own_unit(who, ref)
    found["id"] = report.id
    return ledger.narrowed(found, root, ref) if root else found


def clear_out_months(session: Session) -> list[str]:
    """Return the months that have a list, latest first."""
    return list(session.execute(select(col(ClearOutList.month)).order_by(col(ClearOutList.month).desc())).scalars())
