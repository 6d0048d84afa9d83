"""The clear-out ledger (清零): a month's list is computed, frozen once, and settled by the next month's list.

draft()  →  freeze()  →  overlay(): the sealed list with the current leader, measures, condition and state
amend():   set a row's leader, measures or clearing condition
The next freeze() settles the rows of the previous list: cleared, carried over or put back.

``app.domain.tickets.clear_out`` decides which tickets are listed and why; the facts state what was open when.
The state of a row is derived from the ticket's events until the next list settles it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from app.domain.tickets.clear_out import OpenTicket, Rules, outcome, reasons, settle, times_listed
from app.domain.words import CLEAR_OUT_REASON, STAGE, say
from app.errors import Conflict, Invalid, NotFound, Stale
from app.models import ClearOutEntry, ClearOutList, Report
from app.security.permissions import require
from app.security.principal import Principal
from app.services.core.reference import Node, Reference
from app.services.core.views import moment
from reports.clear_out.rows import ClearOutRow, clear_out_rows, outcomes_since
from reports.editions import store as editions
from reports.editions.store import UnsealedReport
from reports.facts.gather import gather
from reports.metrics import definitions_version
from reports.period import Period

DEFAULT_RULES = Rules(overdue_working_days=5, suspended_days=10)
"""N and M of the domain: overdue by more than 5 working days, suspended for more than 10 days."""
TEXT_LENGTH = {"leader": 100, "measures": 2000, "condition": 2000}
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ListDraft:
    """A computed list that is not frozen yet. ``report`` holds its document and facts; ``entries`` its rows."""

    report: UnsealedReport
    entries: tuple[ClearOutEntry, ...]
    settings: Mapping[str, Any]
    last: ClearOutList | None
    outcomes: Mapping[int, tuple[str, datetime | None]]
    """What became of each ticket of the list before, and when it was cleared."""


# ----------------------------------------------------------------------------------------------------- computation


def draft(
    session: Session,
    ref: Reference,
    period: Period,
    as_of: datetime,
    *,
    relapse_days: int,
    rules: Rules = DEFAULT_RULES,
) -> ListDraft:
    """Compute the list of the month ``period`` (kind ``clear-out``): tickets open at its end, or at ``as_of`` if earlier.

    Events after that moment are ignored, so a list frozen late equals the one that was missed. Writes nothing.
    """
    ended = as_of.astimezone(UTC) >= period.end.astimezone(UTC)
    cut = period.end.astimezone(UTC) if ended else as_of.astimezone(UTC)
    until = cut if ended else cut + _INSTANT
    facts = gather(session, ref, period, cut, relapse_days=relapse_days)
    last = session.execute(
        select(ClearOutList)
        .where(col(ClearOutList.month) < period.key)
        .order_by(col(ClearOutList.month).desc())
        .limit(1)
    ).scalar_one_or_none()
    earlier = _earlier_entries(session, period.key)
    last_rows = {} if last is None else {e.ticket_id: e for e in earlier if e.month == last.month}
    outcomes = {} if last is None else outcomes_since(session, last_rows.values(), last.as_of, until)
    earlier_lists = Counter(entry.ticket_id for entry in earlier)
    facts = facts[facts["end_state"] == "open"]
    found = []
    for row in clear_out_rows(session, ref, facts, cut=cut, until=until, relapse_days=relapse_days):
        key = row.ticket_id
        ticket = OpenTicket(**row.as_open_ticket_fields(), earlier_lists=earlier_lists[key], on_last=key in last_rows)
        why = reasons(ticket, rules)
        if why:
            plan = last_rows.get(key)
            entry = ClearOutEntry(
                month=period.key,
                ticket_id=key,
                reasons=[reason.as_json() for reason in why],
                unit_id=row.unit.id if row.unit else None,
                stage=row.stage,
                unit_seconds=row.unit_seconds,
                citizen_seconds=row.citizen_seconds,
                lists=times_listed(ticket),
                leader=plan.leader if plan else None,
                measures=plan.measures if plan else None,
                condition=plan.condition if plan else None,
            )
            found.append((entry, row))
    found.sort(key=lambda pair: (-pair[0].lists, -pair[0].citizen_seconds, pair[0].ticket_id))
    items = [_item(entry, row, ref) for entry, row in found]
    settings = {**asdict(rules), "relapse_days": relapse_days}
    body = {
        "kind": period.kind,
        "period": period.key,
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "as_of": moment(cut, period.start.tzinfo or UTC),
        "time_zone": period.zone,
        "scope": {"unit": None},
        "running": not ended,
        "edition": None,
        "definitions_version": definitions_version(),
        "settings": settings,
        "summary": summary_of(items, _account_by_unit(last, last_rows.values(), outcomes, ref)),
        "items": items,
    }
    listed = facts[facts["ticket_id"].isin([entry.ticket_id for entry, _ in found])]
    return ListDraft(
        UnsealedReport(period, cut, "", body, listed), tuple(entry for entry, _ in found), settings, last, outcomes
    )


def _earlier_entries(session: Session, month: str) -> list[ClearOutEntry]:
    return list(session.execute(select(ClearOutEntry).where(col(ClearOutEntry.month) < month)).scalars())


def _named(node: Node | None) -> dict[str, Any] | None:
    return None if node is None else {"code": node.code, "name": node.name, "name_en": node.name_en}


def _item(entry: ClearOutEntry, row: ClearOutRow, ref: Reference) -> dict[str, Any]:
    """The frozen part of a row."""
    return {
        "ticket_id": entry.ticket_id,
        "number": row.number,
        "title": row.title,
        "unit": _named(row.unit),
        "category": _named(ref.category_by_code(row.category) if row.category else None),
        "reasons": entry.reasons,
        "stage": {"code": entry.stage, "name": say(STAGE, entry.stage), "name_en": say(STAGE, entry.stage, "en")},
        "unit_seconds": entry.unit_seconds,
        "citizen_seconds": entry.citizen_seconds,
        "lists": entry.lists,
    }


# ------------------------------------------------------------------------------------------------------- summary


def _account_by_unit(
    last: ClearOutList | None,
    rows: Iterable[ClearOutEntry],
    outcomes: Mapping[int, tuple[str, datetime | None]],
    ref: Reference,
) -> dict[str, Any] | None:
    """Count the outcomes of the last list's rows by unit code (empty: no unit), so that subtrees can be summed."""
    if last is None:
        return None
    by_unit: dict[str, Counter[str]] = {}
    for row in rows:
        unit = ref.units.get(row.unit_id) if row.unit_id is not None else None
        by_unit.setdefault(unit.code if unit else "", Counter())[outcomes[row.ticket_id][0]] += 1
    return {"period": last.month, "by_unit": {code: dict(counts) for code, counts in sorted(by_unit.items())}}


def summary_of(
    items: list[dict[str, Any]], last: Mapping[str, Any] | None, codes: frozenset[str] | None = None
) -> dict[str, Any]:
    """Count the listed tickets by reason and by unit, and the share of the last list that was cleared.

    ``codes`` narrows the counts to those units. A ticket may have several reasons, so the reasons do not add up to the
    number listed.
    """
    by_reason = Counter(reason["code"] for item in items for reason in item["reasons"])
    by_unit = Counter(item["unit"]["code"] if item["unit"] else "" for item in items)
    units = {item["unit"]["code"]: item["unit"] for item in items if item["unit"]}
    nowhere = {"code": "", "name": "未派单", "name_en": "Not dispatched"}
    found: dict[str, Any] = {
        "listed": len(items),
        "by_reason": [
            {"code": code, "name": zh, "name_en": en, "count": by_reason[code]}
            for code, (zh, en) in CLEAR_OUT_REASON.items()
            if by_reason[code]
        ],
        "by_unit": [
            {**units.get(code, nowhere), "count": count}
            for code, count in sorted(by_unit.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
        "last": None,
    }
    if last is not None:
        wanted = {code: counts for code, counts in last["by_unit"].items() if codes is None or code in codes}
        account = settle(what for counts in wanted.values() for what, n in counts.items() for _ in range(n))
        rate = (
            (2 * account.cleared * 10_000 + account.listed) // (2 * account.listed) / 10_000 if account.listed else None
        )
        found["last"] = {
            "period": last["period"],
            **asdict(account),
            "rate": {"value": rate, "numerator": account.cleared, "denominator": account.listed},
            "by_unit": wanted,
        }
    return found


def narrowed(body: Mapping[str, Any], root: Node, ref: Reference) -> dict[str, Any]:
    """Narrow a list's document to the subtree of ``root``: its rows and its own summary."""
    codes = frozenset(node.code for node in ref.units.values() if node.path.startswith(root.path))
    items = [item for item in body["items"] if item["unit"] and item["unit"]["code"] in codes]
    summary = summary_of(items, body["summary"]["last"], codes)
    return {**body, "scope": {"unit": root.code}, "summary": summary, "items": items}


# ---------------------------------------------------------------------------------------------------------- freezing


def frozen(session: Session, month: str) -> Report | None:
    """Return the sealed list of ``month``, or None if it is not frozen yet."""
    query = select(Report).where(
        col(Report.kind) == "clear-out", col(Report.period) == month, col(Report.scope) == "", col(Report.edition) == 1
    )
    return session.execute(query).scalar_one_or_none()


def freeze(session: Session, listed: ListDraft, now: datetime, actor: str) -> tuple[Report, bool]:
    """Store the list once: its rows, its sealed document, and the outcomes of the previous list.

    If the month already has a list, return (that report, False). Concurrent callers are serialized.
    """
    month = listed.report.period.key
    if listed.report.running:
        raise Conflict(
            f"{month} 尚未结束，清零清单在次月 1 日冻结",
            f"{month} has not ended; its list is frozen on the first day of the next",
        )
    write = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    kept = write(ClearOutList).values(
        month=month, as_of=listed.report.as_of, created_at=now, created_by=actor, settings=dict(listed.settings),
        summary={"listed": len(listed.entries), "last": listed.last.month if listed.last else None},
    )  # fmt: skip
    mine = session.execute(
        kept.on_conflict_do_nothing(index_elements=["month"]).returning(col(ClearOutList.month))
    ).first()
    if mine is None:
        there = frozen(session, month)
        if there is None:
            raise Conflict(f"{month} 的清零清单不完整", f"the list of {month} has no sealed document")
        return there, False
    session.add_all(listed.entries)
    if listed.last is not None:
        _settle(session, listed, month)
    report = editions.seal(listed.report, 1, now, actor)
    session.add(report)
    session.flush()
    return report, True


def _settle(session: Session, listed: ListDraft, month: str) -> None:
    """Store the outcomes of the last list's rows, unless an earlier freeze has done so."""
    assert listed.last is not None
    last = session.get_one(ClearOutList, listed.last.month)
    if last.summary.get("settled_by"):
        return
    last.summary = {**last.summary, "settled_by": month}
    session.add(last)
    for row in session.execute(select(ClearOutEntry).where(col(ClearOutEntry.month) == last.month)).scalars():
        row.state, row.cleared_at = listed.outcomes[row.ticket_id]
        session.add(row)


# ------------------------------------------------------------------------------------------------------ mutable part


def overlay(session: Session, body: dict[str, Any], now: datetime, zone: Any) -> dict[str, Any]:
    """Return a list's document with the mutable part of each row: leader, measures, condition, state and version.

    The state is ``open``, ``cleared``, ``put_back`` or, once the next list has settled the row, ``carried_over``.
    """
    month = body["period"]
    rows = {
        row.ticket_id: row
        for row in session.execute(select(ClearOutEntry).where(col(ClearOutEntry.month) == month)).scalars()
    }
    states = _states(session, month, rows, now)
    items = []
    for item in body["items"]:
        row = rows.get(item["ticket_id"])
        state, cleared_at = states.get(item["ticket_id"], ("open", None))
        items.append(
            {
                **item,
                "leader": row.leader if row else None,
                "measures": row.measures if row else None,
                "condition": row.condition if row else None,
                "state": state,
                "cleared_at": moment(cleared_at, zone),
                "version": row.version if row else None,
            }
        )
    return {**body, "items": items}


def _states(
    session: Session, month: str, rows: Mapping[int, ClearOutEntry], now: datetime
) -> dict[int, tuple[str, datetime | None]]:
    listed = session.get(ClearOutList, month)
    if listed is None:
        return {}
    if listed.summary.get("settled_by"):
        return {key: (row.state, row.cleared_at) for key, row in rows.items()}
    found = outcomes_since(session, rows.values(), listed.as_of, now + _INSTANT)
    still = outcome(completed=False, reported_again=False)
    return {key: ("open" if state == still else state, at) for key, (state, at) in found.items()}


def amend(
    session: Session,
    ref: Reference,
    who: Principal,
    month: str,
    ticket_id: int,
    fields: Mapping[str, Any],
    *,
    if_match: int | None,
) -> ClearOutEntry:
    """Set ``leader``, ``measures`` or ``condition`` of a row (None clears it; absent fields are unchanged).

    Raises Forbidden, NotFound, Stale if the row's version is not ``if_match``, Conflict once the next list has settled
    this one, Invalid for a text that is too long.
    """
    require(who, "clear_out.edit")
    row = session.get(ClearOutEntry, (month, ticket_id), with_for_update=True)
    if row is None:
        raise NotFound(f"{month} 的清零清单上没有工单 {ticket_id}", f"ticket {ticket_id} is not on the list of {month}")
    if if_match is not None and row.version != if_match:
        raise Stale(
            f"该行现为版本 {row.version}，所依据的是 {if_match}", f"the row is at version {row.version}, not {if_match}"
        )
    settled_by = session.get_one(ClearOutList, month).summary.get("settled_by")
    if settled_by:
        raise Conflict(
            f"{month} 的清单已由 {settled_by} 的清单结清，不能再改",
            f"the list of {month} was settled by that of {settled_by}",
        )
    unknown = sorted(set(fields) - set(TEXT_LENGTH))
    if unknown:
        raise Invalid.at(f"/{unknown[0]}", "不可修改", f"only {', '.join(TEXT_LENGTH)} can be changed")
    for name, value in fields.items():
        setattr(row, name, _text(name, value))
    row.version += 1
    session.add(row)
    session.flush()
    return row


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or "\x00" in value:
        raise Invalid.at(f"/{name}", "应为文字", "text required")
    if len(value.strip()) > TEXT_LENGTH[name]:
        raise Invalid.at(f"/{name}", f"最多 {TEXT_LENGTH[name]} 字", f"at most {TEXT_LENGTH[name]} characters")
    return value.strip() or None
