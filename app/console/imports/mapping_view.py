"""View models of the mapping page: fields by group with their choice and its reason, coded words, time formats, first rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from app.console.imports.mapping_form import JOINABLE, choice_of
from app.domain.tickets.fields import IMPORTED
from app.security.masking import MASKS
from ingest.files.uploads import LIMITS
from ingest.profile_wizard.draft import JOINED, ProfileDraft, used_columns
from ingest.profile_wizard.proposal import MappingProposal, TargetGuess, propose
from ingest.profile_wizard.sampling import Sample, read_sample
from ingest.profile_wizard.sniffing import FORMATS, formats_of
from ingest.profile_wizard.views import level
from ingest.profile_wizard.vocabulary import CODES, TREES
from ingest.rows.profile import MOMENT_FIELDS, REPORTER_FIELDS, Profile
from ingest.rows.values import text_of

GROUPS: Mapping[str, tuple[str, ...]] = {
    group: tuple(field.name for field in IMPORTED if field.group == group)
    for group in ("needed", "matter", "times", "handling", "reporter", "place")
}
"""The fields, in the order in which a person thinks of them; a tree stands for its levels."""
SELDOM = frozenset(field.name for field in IMPORTED if not field.common)
"""Fields that few files have; folded away where nothing is proposed for them."""
ENCODINGS = ("utf-8", "gb18030", "big5hkscs", "utf-16", "cp1252")
_EXAMPLE = {"Y": "2026", "y": "26", "m": "3", "d": "15", "I": "2", "M": "05", "S": "09", "f": "000", "z": "+08:00"}
_CELL, _HINT = 60, 22
ROWS = 5


@dataclass(frozen=True, slots=True)
class Select:
    """One select: its form name, its value, and, for a tree, whether it is for a level's code."""

    name: str
    chosen: str
    code: bool = False


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field, or one level of a tree: its selects, and the proposal behind it."""

    field: str
    level: int
    selects: tuple[Select, ...]
    joined: tuple[Select, ...]
    codes: tuple[str, ...]
    guess: TargetGuess | None
    level_of_guess: str
    folded: bool


def lines_of(draft: ProfileDraft, proposal: MappingProposal, *, proposed: bool) -> dict[str, list[FieldRow]]:
    """Return the rows of each group. ``proposed``: the draft is the proposal, so its reasons are shown."""
    guesses = proposal.guesses if proposed else {}
    found: dict[str, list[FieldRow]] = {}
    for group, names in GROUPS.items():
        lines: list[FieldRow] = []
        for name in names:
            lines += _tree(name, draft, guesses) if name in TREES else [_field(name, draft, guesses)]
        found[group] = lines
    return found


def _field(name: str, draft: ProfileDraft, guesses: Mapping[str, TargetGuess]) -> FieldRow:
    chosen = choice_of(draft, name)
    joined = tuple(Select(f"col.{name}.{part}", choice_of(draft, name, part)) for part in range(2, JOINED + 1))
    guess = guesses.get(name)
    return FieldRow(
        name, 0, (Select(f"col.{name}", chosen),), joined if name in JOINABLE else (), tuple(CODES.get(name, ())),
        guess, level(guess.confidence) if guess else "", not chosen and name in SELDOM,
    )  # fmt: skip


def _tree(tree: str, draft: ProfileDraft, guesses: Mapping[str, TargetGuess]) -> list[FieldRow]:
    lines: list[FieldRow] = []
    for number in range(1, TREES[tree] + 1):
        targets = (f"{tree}.{number}.name", f"{tree}.{number}.code")
        selects = tuple(Select(f"col.{each}", choice_of(draft, each), each.endswith("code")) for each in targets)
        guess = next((guesses[each] for each in targets if each in guesses), None)
        nothing = not any(select.chosen for select in selects)
        certain = level(guess.confidence) if guess else ""
        lines.append(FieldRow(tree, number, selects, (), (), guess, certain, nothing and number > 1))
    return lines


@dataclass(frozen=True, slots=True)
class FieldWords:
    """A coded field with the words of its column: each with its frequency, and its code (None: not placed)."""

    field: str
    column: str
    rows: tuple[tuple[str, int, str | None], ...]
    others: str | None
    codes: tuple[str, ...]
    key: str


def words_of(draft: ProfileDraft, words: Mapping[str, Counter[str]]) -> list[FieldWords]:
    """Return the words that the form lists."""
    found: list[FieldWords] = []
    for field, codes in CODES.items():
        columns = draft.columns.get(field)
        if not columns or field not in words:
            continue
        table = draft.words.get(field, {})
        rows = tuple((word, count, table.get(word)) for word, count in words[field].most_common())
        key = f"{field}:{columns[0]}:{len(rows)}"
        found.append(FieldWords(field, columns[0], rows, table.get("*"), tuple(codes), key))
    return found


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """A time format: its pattern, an example (empty: see the pattern), and whether it is accepted."""

    format: str
    example: str
    chosen: bool


def times_of(draft: ProfileDraft) -> list[TimeFormat]:
    """Return the selectable time formats, accepted ones first."""
    every = [*draft.times, *(each for each in FORMATS if each not in draft.times)]
    return [TimeFormat(each, _example(each), each in draft.times) for each in every]


def _example(written: str) -> str:
    """Format 15 March 2026, 14:05:09 with the pattern; empty for serial numbers, which do not look like a date."""
    if written == "iso":
        return "2026-03-15 14:05:09 · 2026/3/15"
    if written == "excel":
        return ""
    parts = {**_EXAMPLE, "p": "PM" if "/" in written else "下午", "H": "2" if "%p" in written else "14"}
    return re.sub(r"%([A-Za-z])", lambda found: parts.get(found[1], found[0]), written)


def formats_for(draft: ProfileDraft, sample: Sample) -> tuple[str, ...]:
    """Return the formats needed to read the columns that the draft reads times from."""
    places = {name: place for place, name in enumerate(sample.columns)}
    missing = {"", *draft.missing}
    found: set[str] = set()
    for field in MOMENT_FIELDS:
        for column in draft.columns.get(field, ()):
            cells = [row.cells[places[column]] for row in sample.rows]
            found.update(formats_of([cell for cell in cells if text_of(cell) not in missing])[1])
    return tuple(sorted(found, key=FORMATS.index)) or ("iso",)


@dataclass(frozen=True, slots=True)
class ColumnOption:
    """A column of the file as an option of a select: its name, and a sample value."""

    name: str
    example: str


def columns_of(sample: Sample, draft: ProfileDraft) -> list[ColumnOption]:
    """Return the columns of the file, in its order."""
    found: list[ColumnOption] = []
    hidden = _hidden(draft)
    missing = {"", *draft.missing}
    for place, name in enumerate(sample.columns):
        texts = (text_of(row.cells[place]) for row in sample.rows[:200])
        example = next((text for text in texts if text not in missing), "")
        found.append(ColumnOption(name, cut(hidden.get(name, str)(example) or "", _HINT)))
    return found


def _hidden(draft: ProfileDraft) -> dict[str, Callable[[str], str | None]]:
    """Map each column to the mask of the reporter field that it holds."""
    return {
        column: MASKS[field.partition(".")[2]]
        for field in REPORTER_FIELDS
        for column in draft.columns.get(field, ())
    }  # fmt: skip


def first_rows(sample: Sample, draft: ProfileDraft) -> list[tuple[int, list[str]]]:
    """Return the first rows, each with its number and its cells as text, reporters masked, cut to fit a table."""
    hidden = _hidden(draft)
    hides = [hidden.get(name, str) for name in sample.columns]
    return [
        (row.number, [cut(hide(text_of(cell)) or "", _CELL) for hide, cell in zip(hides, row.cells, strict=False)])
        for row in sample.rows[:ROWS]
    ]


def cut(text: str, length: int) -> str:
    """Return ``text`` on one line, of ``length`` characters at most."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def unused_columns(sample: Sample, draft: ProfileDraft, base: Profile | None) -> list[str]:
    """Return the columns that nothing reads: they become attributes, or are dropped."""
    used = used_columns(draft)
    if base is not None:  # for its verdict, or as attributes under names of their own
        used |= {name for place in base.attributes.values() for name in place.all_names}
        flags = (base.verdict.on_time, base.verdict.late) if base.verdict else ()
        used |= {name for flag in flags for name in flag.column.all_names}
    return [name for name in sample.columns if name not in used]


def fitting(profiles: Sequence[Profile], sample: Sample) -> Profile | None:
    """Return the saved profile that fits this file best: one whose columns are nearly all present; None if there is none."""
    best: tuple[float, Profile] | None = None
    for profile in profiles:
        known = profile.known_columns(sample.columns)
        places = list(profile.places())
        there = sum(any(name in sample.columns for name in place.all_names) for place in places)
        if (
            known
            and there >= 0.9 * len(places)
            and known >= 0.4 * len(sample.columns)
            and (best is None or known > best[0])
        ):
            best = (known, profile)
    return best[1] if best else None


class SampleCache:
    """Recently read files, so that a live preview does not parse the file on each change. Holds a few."""

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._lock = Lock()
        self._held: dict[tuple[str, str | None, str | None, str], tuple[Sample, MappingProposal]] = {}

    def at(self, path: Path, sheet: str | None, encoding: str | None, time_zone: str) -> tuple[Sample, MappingProposal]:
        """Return the sample of a file and its proposed mapping. Raises what ``look`` raises."""
        key = (str(path), sheet, encoding, time_zone)
        with self._lock:
            if key in self._held:
                self._held[key] = self._held.pop(key)
                return self._held[key]
        sample = read_sample(path, sheet=sheet, encoding=encoding, limits=LIMITS)
        found = (sample, propose(sample, time_zone))
        with self._lock:
            self._held[key] = found
            while len(self._held) > self._most:
                del self._held[next(iter(self._held))]
        return found
