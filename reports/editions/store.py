"""Editions: a report sealed with its facts and a hash, read back unchanged, and compared with the current data.

The hash of an edition is SHA-256 over its body as canonical JSON (UTF-8, keys sorted, no white space), a line break, and
the SHA-256 of its facts (Parquet) in hexadecimal. ``verify`` recomputes it from what is stored.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import DubanError, Invalid
from app.models import Report
from app.text import Text
from reports.facts.frame import COLUMNS, conform
from reports.metrics import BY_KEY, definitions_version
from reports.period import Period, parse_period
from reports.render.xlsx import TicketList

RUNNING = 0
"""The number of the one edition that may be replaced: of a period that had not ended at its ``as_of``."""
TICKETS_TOLD = 1_000
"""So many changed tickets a difference spells out; it counts all of them."""

_FIELDS = (
    "kind", "period", "start", "end", "as_of", "time_zone", "scope", "running", "edition", "hash",
    "definitions_version", "settings", "summary",
    "figures", "by_unit", "by_category", "by_source", "by_kind", "by_grid", "by_priority", "series", "compare",
    "compared_with", "balance", "verdicts_from_source", "items", "ticket_id", "code", "name", "name_en", "parent", "depth",
    "received_directly", "previous", "last_year", "tier", "ranking", "value", "numerator", "denominator", "n",
)  # fmt: skip
_ORDER = {name: at for at, name in enumerate((*_FIELDS, *BY_KEY))}


class EditionBroken(DubanError):
    """A sealed report was altered: ``expected`` is its stored hash, ``found`` the recomputed one."""

    code = "edition-broken"
    title = Text("报表与封存时不符", "Sealed report was altered")

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(
            f"{name}：封存时校验码 {expected}，现为 {found}", f"{name}: sealed with {expected}, but it is {found} now"
        )
        self.expected, self.found = expected, found


@dataclass(frozen=True, slots=True)
class UnsealedReport:
    """A computed report that is not sealed. ``scope`` is the code of a unit, empty for the whole; ``body`` the document of
    the contract without ``edition`` and ``hash``; ``facts`` has one row per ticket concerned.
    """

    period: Period
    as_of: datetime
    scope: str
    body: dict[str, Any]
    facts: pd.DataFrame

    @property
    def running(self) -> bool:
        """Whether the period had not ended yet at ``as_of``."""
        return self.as_of.astimezone(UTC) < self.period.end.astimezone(UTC)


def seal(
    draft: UnsealedReport, edition: int, now: datetime, actor: str, difference: dict[str, Any] | None = None
) -> Report:
    """Return ``draft`` as an edition ready to be stored, with its hash."""
    facts = to_parquet(draft.facts)
    body = {**draft.body, "edition": edition}
    body.pop("hash", None)
    return Report(
        kind=draft.period.kind,
        period=draft.period.key,
        scope=draft.scope,
        edition=edition,
        start_at=draft.period.start.astimezone(UTC),
        end_at=draft.period.end.astimezone(UTC),
        as_of=draft.as_of.astimezone(UTC),
        definitions_version=definitions_version(),
        hash=hash_of(body, facts),
        body=body,
        difference=difference,
        facts=facts,
        created_at=now,
        created_by=actor,
    )


def hash_of(body: Mapping[str, Any], facts: bytes) -> str:
    """Return the hash of a body (without its own hash) and its facts, as 64 hexadecimal digits."""
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical + b"\n" + hashlib.sha256(facts).hexdigest().encode()).hexdigest()


def verify(report: Report) -> None:
    """Recompute the hash of a stored edition. Raises EditionBroken if it differs."""
    found = hash_of(report.body, report.facts)
    if found != report.hash:
        name = f"{report.kind} {report.period} {report.scope}".strip() + f" #{report.edition}"
        raise EditionBroken(name, report.hash, found)


def document(report: Report) -> dict[str, Any]:
    """Return the contract's document of a stored edition, its keys in the contract's order on every database."""
    return _in_order({**report.body, "hash": report.hash})  # type: ignore[no-any-return]


def sealed_facts(report: Report) -> TicketList:
    """Return the facts of a stored edition, with their scope."""
    zone = report.body["time_zone"]
    return TicketList(from_parquet(report.facts), parse_period(report.kind, report.period, zone), report.as_of)


def _in_order(value: Any) -> Any:
    """Restore the contract's key order: PostgreSQL's jsonb reorders keys."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=lambda key: _ORDER.get(key, len(_ORDER)))}
    return [_in_order(each) for each in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------------------ facts as Parquet


def to_parquet(facts: pd.DataFrame) -> bytes:
    """Serialize conforming facts as Parquet (zstd) by ascending ticket id: the same facts give the same bytes."""
    ordered = conform(facts.sort_values("ticket_id", kind="stable"))
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(ordered, preserve_index=False), buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(content: bytes) -> pd.DataFrame:
    """Read facts written by ``to_parquet``; columns added since are empty, removed ones are dropped."""
    frame = pq.read_table(io.BytesIO(content)).to_pandas()
    return conform(frame[[name for name in frame.columns if name in COLUMNS]])


# ------------------------------------------------------------------------------------------- comparison


def changed_tickets(old: pd.DataFrame, new: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry for each ticket added, removed or changed between ``old`` and ``new`` facts, by its id.

    An entry for a changed ticket names each column with its old and new value, moments in RFC 3339 (UTC).
    """
    left, right = (frame.set_index("ticket_id", drop=False).sort_index() for frame in (old, new))
    found = [_entry("added", right, key) for key in right.index.difference(left.index)]
    found += [_entry("removed", left, key) for key in left.index.difference(right.index)]
    both = left.index.intersection(right.index)
    left, right = left.loc[both], right.loc[both]
    differs = {name: _differs(left[name], right[name]) for name in COLUMNS}
    for at in np.flatnonzero(np.logical_or.reduce(list(differs.values()))).tolist():
        columns = {
            name: [_plain(left[name].iat[at]), _plain(right[name].iat[at])]
            for name, mask in differs.items()
            if mask[at]
        }
        found.append(_entry("changed", right, both[at]) | {"columns": columns})
    return sorted(found, key=lambda entry: entry["ticket_id"])


def _entry(change: str, frame: pd.DataFrame, key: int) -> dict[str, Any]:
    return {"ticket_id": int(key), "number": _plain(frame.at[key, "number"]), "change": change}


def _differs(left: pd.Series, right: pd.Series) -> Any:
    one, other = (column.astype(object).to_numpy() for column in (left, right))
    missing, other_missing = pd.isna(one), pd.isna(other)
    same = np.zeros(len(one), dtype=bool)
    there = ~missing & ~other_missing
    same[there] = (one[there] == other[there]).astype(bool)
    return ~(same | (missing & other_missing))


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def difference(before: Report, draft: UnsealedReport) -> dict[str, Any] | None:
    """Return what a correction (更正) changes against the edition ``before``: by figure and by ticket.

    None if facts and figures are equal. A ticket may change without changing a figure, and a figure without a ticket
    (a deadline has passed since).
    """
    old, new = before.body.get("figures") or {}, draft.body.get("figures") or {}
    figures = {
        key: {"old": old.get(key), "new": new.get(key)}
        for key in _in_order(dict.fromkeys([*old, *new]))
        if old.get(key) != new.get(key)
    }
    tickets = changed_tickets(from_parquet(before.facts), conform(draft.facts))
    if not figures and not tickets:
        return None
    return {
        "from_edition": before.edition,
        "from_as_of": before.body["as_of"],
        "figures": figures,
        "tickets": {"count": len(tickets), "items": tickets[:TICKETS_TOLD]},
    }


def row_of(body: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    """Return the row of ``group`` in a report. Raises Invalid for an unknown group."""
    dimension, _, code = group.partition(":")
    found = next((row for row in body.get(f"by_{dimension}") or () if row["code"] == code), None)
    if found is None:
        zh, en = f"报表中没有分组“{group}”", f"the report has no group {group!r}; expected e.g. unit:CODE"
        raise Invalid.at("/group", zh, en)
    return found  # type: ignore[no-any-return]  # JSON
