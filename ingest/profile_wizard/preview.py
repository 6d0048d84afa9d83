"""Preview an import without storing anything: tickets, rejects by reason, and the words of coded fields."""

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
"""Maximum rows of a preview."""
SHOWN = 10
"""Maximum tickets, and rejects of each reason, shown."""
MOST_WORDS = 200
"""Maximum distinct words of a coded field that are counted."""


@dataclass(slots=True)
class RejectReason:
    """The rejects of one reason: their count and the first of them."""

    code: str
    count: int = 0
    examples: list[tuple[int, Sequence[FieldProblem]]] = field(default_factory=list)


@dataclass(slots=True)
class ImportPreview:
    """The result of importing the first ``rows`` rows.

    ``repeated``: rows equal to an earlier row of the same ticket; a later row with other content is rejected. ``words``:
    coded field → count of each of the source's words. ``broken``: the error where the file cannot be read to its end.
    """

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
        """Number of rows that would be rejected."""
        return sum(reason.count for reason in self.reasons.values())

    @property
    def by_reason(self) -> list[RejectReason]:
        """The reasons, the most common first."""
        return sorted(self.reasons.values(), key=lambda reason: (-reason.count, reason.code))


def preview(
    path: Path, profile: Profile, now: datetime, *, limits: FileLimits | None = None, most: int = ROWS
) -> ImportPreview:
    """Preview the first ``most`` rows of the file at ``path`` with ``profile``. Raises BadRequest, TooLarge or Invalid for
    a file that cannot be read with it at all."""
    preview_result = ImportPreview()
    seen: dict[str, tuple[int, str]] = {}
    with open_mapped(path, profile, limits=limits) as source:
        columns = _coded_columns(profile, source.file.columns)
        preview_result.words = {name: Counter() for name in columns}
        results = map_rows(source, now=now)
        while True:
            try:
                result = next(results, None)
            except (BadRequest, TooLarge) as error:
                preview_result.broken = error
                return preview_result
            if result is None:
                return preview_result
            if preview_result.rows >= most:
                preview_result.whole = False
                return preview_result
            preview_result.rows += 1
            _count(preview_result, result, seen)
            _count_words(preview_result, result, columns, profile.missing)


def _count(preview_result: ImportPreview, result: MappedRow | RejectedRow, seen: dict[str, tuple[int, str]]) -> None:
    number = result.row.number
    if isinstance(result, RejectedRow):
        _refuse(preview_result, number, result.errors)
        return
    ticket, content = result.ticket, historical_fingerprint(result.ticket)
    if ticket.external_id not in seen:
        seen[ticket.external_id] = (number, content)
        preview_result.tickets += 1
        if len(preview_result.shown) < SHOWN:
            preview_result.shown.append((number, ticket))
        return
    earlier_row, earlier_content = seen[ticket.external_id]
    if earlier_content == content:
        preview_result.repeated += 1
    else:
        zh = f"与第 {earlier_row} 行编号相同而内容不同（{ticket.external_id}）"
        en = f"has the identifier of row {earlier_row} and other content ({ticket.external_id})"
        _refuse(preview_result, number, [FieldProblem("/external_id", zh, en, "differs")])


def _refuse(preview_result: ImportPreview, number: int, errors: Sequence[FieldProblem]) -> None:
    reason = preview_result.reasons.setdefault(errors[0].code, RejectReason(errors[0].code))
    reason.count += 1
    if len(reason.examples) < SHOWN:
        reason.examples.append((number, errors))


def _coded_columns(profile: Profile, columns: Sequence[str]) -> Mapping[str, int]:
    """Map each coded field to the position of its column in the file."""
    places = {column_key(name): place for place, name in reversed(list(enumerate(columns)))}
    preview_result: dict[str, int] = {}
    for name in CODES:
        known: Iterable[str] = profile.fields[name].columns if name in profile.fields else ()
        place = next((places[key] for each in known if (key := column_key(each)) in places), None)
        if place is not None:
            preview_result[name] = place
    return preview_result


def _count_words(
    preview_result: ImportPreview, result: MappedRow | RejectedRow, columns: Mapping[str, int], missing: Sequence[str]
) -> None:
    if result.row.fault is not None:
        return
    for name, place in columns.items():
        word = text_of(result.row.cells[place])
        words = preview_result.words[name]
        if word and word not in missing and (word in words or len(words) < MOST_WORDS):
            words[word] += 1
