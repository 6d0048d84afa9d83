"""What an import would bring, without storing anything: tickets, rejects by reason, and what the words are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from app.errors import BadRequest, DubanError, FieldProblem, TooLarge
from ingest.formats.base import FileLimits
from ingest.profile_wizard.vocabulary import CODES
from ingest.rows.profile import Profile, column_key
from ingest.rows.row import historical_fingerprint
from ingest.rows.ticket_in import HistoricalTicket
from ingest.rows.validate import MappedRow, RejectedRow, map_rows, open_mapped
from ingest.rows.values import text_of

ROWS = 5_000
"""Rows that a preview goes through."""
SHOWN = 10
"""Tickets, and rejects of each reason, that it shows."""
MOST_WORDS = 200
"""Different words of a coded field that it counts."""


@dataclass(slots=True)
class RejectReason:
    """Rejects of one reason: how many, and the first of them."""

    code: str
    count: int = 0
    examples: list[tuple[int, Sequence[FieldProblem]]] = field(default_factory=list)


@dataclass(slots=True)
class ImportPreview:
    """What the first ``rows`` rows come to. ``repeated`` are rows of tickets that came before in the file and say the
    same, and change nothing; of one that says something else, the later row would be refused. ``words``: coded field
    → how often each of the source's words comes. ``broken``: what ends the file early, where it cannot be read to its
    end."""

    rows: int = 0
    whole: bool = True
    tickets: int = 0
    repeated: int = 0
    reasons: dict[str, RejectReason] = field(default_factory=dict)
    shown: list[tuple[int, HistoricalTicket]] = field(default_factory=list)
    words: dict[str, Counter[str]] = field(default_factory=dict)
    broken: DubanError | None = None

    @property
    def rejects(self) -> int:
        """Rows that would be refused."""
        return sum(reason.count for reason in self.reasons.values())

    @property
    def by_reason(self) -> list[RejectReason]:
        """The reasons, the commonest first."""
        return sorted(self.reasons.values(), key=lambda reason: (-reason.count, reason.code))


def preview(
    path: Path, profile: Profile, now: datetime, *, limits: FileLimits | None = None, most: int = ROWS
) -> ImportPreview:
    """What the first ``most`` rows of the file at ``path`` would come to under ``profile``. Raises BadRequest, TooLarge
    or Invalid for a file that cannot be read under it at all."""
    found = ImportPreview()
    seen: dict[str, tuple[int, str]] = {}
    with open_mapped(path, profile, limits=limits) as source:
        columns = _coded_columns(profile, source.file.columns)
        found.words = {name: Counter() for name in columns}
        results = map_rows(source, now=now)
        while True:
            try:
                result = next(results, None)
            except (BadRequest, TooLarge) as error:
                found.broken = error
                return found
            if result is None:
                return found
            if found.rows >= most:
                found.whole = False
                return found
            found.rows += 1
            _count(found, result, seen)
            _count_words(found, result, columns, profile.missing)


def _count(found: ImportPreview, result: MappedRow | RejectedRow, seen: dict[str, tuple[int, str]]) -> None:
    number = result.row.number
    if isinstance(result, RejectedRow):
        _refuse(found, number, result.errors)
        return
    ticket, content = result.ticket, historical_fingerprint(result.ticket)
    if ticket.external_id not in seen:
        seen[ticket.external_id] = (number, content)
        found.tickets += 1
        if len(found.shown) < SHOWN:
            found.shown.append((number, ticket))
        return
    before, said = seen[ticket.external_id]
    if said == content:
        found.repeated += 1
    else:
        zh = f"与第 {before} 行编号相同而内容不同（{ticket.external_id}）"
        en = f"has the identifier of row {before} and says something else ({ticket.external_id})"
        _refuse(found, number, [FieldProblem("/external_id", zh, en, "differs")])


def _refuse(found: ImportPreview, number: int, errors: Sequence[FieldProblem]) -> None:
    reason = found.reasons.setdefault(errors[0].code, RejectReason(errors[0].code))
    reason.count += 1
    if len(reason.examples) < SHOWN:
        reason.examples.append((number, errors))


def _coded_columns(profile: Profile, columns: Sequence[str]) -> Mapping[str, int]:
    """The place of each coded field's column in the file."""
    places = {column_key(name): place for place, name in reversed(list(enumerate(columns)))}
    found: dict[str, int] = {}
    for name in CODES:
        known: Iterable[str] = profile.fields[name].columns if name in profile.fields else ()
        place = next((places[key] for each in known if (key := column_key(each)) in places), None)
        if place is not None:
            found[name] = place
    return found


def _count_words(
    found: ImportPreview, result: MappedRow | RejectedRow, columns: Mapping[str, int], missing: Sequence[str]
) -> None:
    if result.row.fault is not None:
        return
    for name, place in columns.items():
        word = text_of(result.row.cells[place])
        words = found.words[name]
        if word and word not in missing and (word in words or len(words) < MOST_WORDS):
            words[word] += 1
