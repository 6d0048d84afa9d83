"""Propose a mapping for an unknown file from its headings and values.

Each column is scored against each target by heading and values; the best pairs are chosen first, each column and each
target once. Every guess has its reasons and a confidence, since a user decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.text import Text
from ingest.profile_wizard.draft import FIELDS, ProfileDraft, coded
from ingest.profile_wizard.sampling import Sample
from ingest.profile_wizard.sniffing import FORMATS, ColumnFacts
from ingest.profile_wizard.vocabulary import CODES, TREES, code_of, empty_words, match_heading
from ingest.rows.profile import LENGTHS, MOMENT_FIELDS, NUMBER_FIELDS
from ingest.rows.values import text_of

SURE, LIKELY, LEAST = 0.8, 0.55, 0.4
"""Minimum confidence of a sure guess, of a likely guess, and of any guess."""
MOST_WORDS = 40
"""Maximum distinct words of a column of codes."""
_TITLE, _IDENTIFIER = "title", "external_id"


@dataclass(frozen=True, slots=True)
class TargetGuess:
    """The proposed columns of one target, their confidence (0 to 1), and the reasons."""

    target: str
    columns: tuple[str, ...]
    confidence: float
    reasons: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class MappingProposal:
    """A proposed mapping: the draft, its guesses, general notes, and the words in columns of codes."""

    draft: ProfileDraft
    guesses: Mapping[str, TargetGuess]
    notes: tuple[Text, ...]
    words: Mapping[str, Sequence[str]]


class _ValueFit(NamedTuple):
    """How well the values of a column fit a target: a factor and its reason."""

    fit: float
    why: Text | None = None


def propose(sample: Sample, time_zone: str) -> MappingProposal:
    """Propose a mapping for the file of ``sample``; times without an offset are in ``time_zone``."""
    missing = _missing(sample)
    facts = [_facts(sample, place, missing) for place in range(len(sample.columns))]
    guesses = _assign(facts)
    notes: list[Text] = []
    _find_identifier(facts, guesses, notes)
    _find_title(facts, guesses, notes)
    if "closed_at" in guesses and "completed_at" not in guesses:
        why = Text("没有办结时间：取归档时间", "no time of completion: that of the closing")
        guesses["completed_at"] = TargetGuess("completed_at", guesses["closed_at"].columns, LIKELY, (why,))
    draft = ProfileDraft(
        columns={target: guess.columns for target, guess in guesses.items()},
        time_zone=time_zone,
        missing=missing,
    )
    by_name = {fact.name: fact for fact in facts}
    draft.times = _times([by_name[g.columns[0]] for t, g in guesses.items() if t in MOMENT_FIELDS])
    words = {name: list(by_name[column].words) for name, column in coded(draft)}
    draft.words = {name: words_for(name, column_words) for name, column_words in words.items()}
    draft.shorten = any(
        by_name[column].longest > limit for name, limit in LENGTHS.items() for column in draft.columns.get(name, ())
    )
    steps = [name for name in ("dispatched_at", "accepted_at", "completed_at", "closed_at") if name in guesses]
    if steps and "status" not in guesses:
        draft.status_from_times = True
        notes.append(Text("没有状态列：按各时间推断状态", "no status column: the status is derived from the times"))
    return MappingProposal(draft, guesses, tuple(notes), words)


def words_for(field: str, words: Iterable[str]) -> dict[str, str]:
    """Map the source's words of a coded field to their most likely codes; unknown words are omitted, for a user to
    decide."""
    return {word: code for word in words if (code := code_of(field, word)) is not None}


def _missing(sample: Sample) -> tuple[str, ...]:
    known = empty_words()
    present = {
        text for row in sample.rows for cell in row.cells if isinstance(cell, str) and (text := text_of(cell)) in known
    }
    return tuple(sorted(present))


def _facts(sample: Sample, place: int, missing: Sequence[str]) -> ColumnFacts:
    cells = [row.cells[place] for row in sample.rows]
    column_words = [cell for cell in cells if (text := text_of(cell)) and text not in missing]
    return ColumnFacts(sample.columns[place], place, len(cells), column_words)


# ------------------------------------------------------------------------------------------------- a column, a target


def _identifier(of: ColumnFacts) -> _ValueFit:
    if not of.cells or of.longest > 64 or any(" " in text.strip() for text in of.few[:50]):
        return _ValueFit(0.2)
    if of.filled < 1:
        return _ValueFit(0.5, Text("有的行没有值", "some rows have none"))
    doubles = len(of.cells) - len(of.words)
    if doubles == 0:
        return _ValueFit(1.0, Text(f"{len(of.cells)} 行各不相同", f"all {len(of.cells)} rows differ"))
    if of.distinct > 0.95:
        return _ValueFit(0.9, Text(f"有 {doubles} 行重复", f"{doubles} rows repeat one"))
    return _ValueFit(0.15, Text("很多行相同", "many rows are the same"))


def _moment(of: ColumnFacts) -> _ValueFit:
    share, formats = of.moments
    if share < 0.5:
        return _ValueFit(0.1, Text("多数不是时间", "most are no times"))
    kinds = len(formats) + (1 if any(not isinstance(cell, str) for cell in of.cells) else 0)
    mixed = Text(f"（{kinds} 种写法混用）", f" ({kinds} ways of writing, mixed)") if kinds > 1 else Text("", "")
    return _ValueFit(
        0.7 + 0.3 * share,
        Text(f"{share:.0%} 能读作时间{mixed.zh}", f"{share:.0%} can be read as times{mixed.en}"),
    )


def _coordinate(low: float, high: float) -> Callable[[ColumnFacts], _ValueFit]:
    def judge(of: ColumnFacts) -> _ValueFit:
        if of.within(low, high):
            return _ValueFit(1.0, Text(f"都是 {low:g} 至 {high:g} 的小数", f"decimals between {low:g} and {high:g}"))
        return _number(of)

    return judge


def _number(of: ColumnFacts) -> _ValueFit:
    return _ValueFit(0.9 if len(of.numbers) >= 0.9 * len(of.few) > 0 else 0.1)


def _code(field: str) -> Callable[[ColumnFacts], _ValueFit]:
    def judge(of: ColumnFacts) -> _ValueFit:
        if not of.cells or len(of.words) > MOST_WORDS:
            return _ValueFit(0.2, Text(f"有 {len(of.words)} 种不同的值", f"{len(of.words)} different values"))
        known = sum(count for word, count in of.words.items() if code_of(field, word)) / len(of.cells)
        if known < 0.5:
            return _ValueFit(
                0.45,
                Text(f"{len(of.words)} 种值，多数不认识", f"{len(of.words)} values, most of them unknown"),
            )
        words = "、".join(list(of.words)[:4])
        return _ValueFit(0.7 + 0.3 * known, Text(f"值为 {words}", f"values such as {words}"))

    return judge


def _phone(of: ColumnFacts) -> _ValueFit:
    return _shares(of.phones, "像电话号码", "look like telephone numbers")


def _id_number(of: ColumnFacts) -> _ValueFit:
    return _shares(of.id_numbers, "是校验位正确的身份证号", "are id numbers with the right check digit")


def _address(of: ColumnFacts) -> _ValueFit:
    return (
        _ValueFit(0.75 + 0.25 * of.places, Text(f"{of.places:.0%} 像地名", f"{of.places:.0%} name a place"))
        if of.cells
        else _ValueFit(0.5)
    )


def _shares(share: float, zh: str, en: str) -> _ValueFit:
    if share < 0.2:
        return _ValueFit(0.6)
    return _ValueFit(0.6 + 0.4 * share, Text(f"{share:.0%} {zh}", f"{share:.0%} {en}"))


def _title(of: ColumnFacts) -> _ValueFit:
    if not of.cells:
        return _ValueFit(0.1)
    fits = of.longest <= 200 and 3 <= of.mean_length <= 80
    return _ValueFit(
        1.0 if fits else 0.6,
        Text(f"平均 {of.mean_length:.0f} 字", f"{of.mean_length:.0f} characters on average"),
    )


def _content(of: ColumnFacts) -> _ValueFit:
    if of.mean_length < 12:
        return _ValueFit(0.5)
    return _ValueFit(1.0, Text(f"平均 {of.mean_length:.0f} 字", f"{of.mean_length:.0f} characters on average"))


def _level(of: ColumnFacts) -> _ValueFit:
    if not of.cells:
        return _ValueFit(0.3)
    if of.mean_length > 60 or (of.distinct > 0.9 and len(of.cells) > 30):
        return _ValueFit(0.3, Text("几乎每行不同，不像分类", "nearly every row differs, unlike a tree's"))
    return _ValueFit(1.0, Text(f"共 {len(of.words)} 种", f"{len(of.words)} different ones"))


_JUDGES: Mapping[str, Callable[[ColumnFacts], _ValueFit]] = {
    _IDENTIFIER: _identifier,
    _TITLE: _title,
    "content": _content,
    "result": _content,
    "address": _address,
    "reporter.phone": _phone,
    "reporter.id_number": _id_number,
    **dict.fromkeys(NUMBER_FIELDS, _number),
    "latitude": _coordinate(-90, 90),
    "longitude": _coordinate(-180, 180),
    **dict.fromkeys(MOMENT_FIELDS, _moment),
    **{name: _code(name) for name in CODES},
}


def _judge(target: str, of: ColumnFacts) -> _ValueFit:
    if target in _JUDGES:
        return _JUDGES[target](of)
    return _level(of) if target.partition(".")[0] in TREES else _ValueFit(1.0)


def _from_values(of: ColumnFacts) -> Iterable[tuple[str, float]]:
    """Yield the targets that the values alone suggest, independent of the heading, with their weights."""
    if of.phones >= 0.8:
        yield "reporter.phone", 0.8
    if of.id_numbers >= 0.8:
        yield "reporter.id_number", 0.85
    if of.within(3, 54):
        yield "latitude", 0.5
    if of.within(73, 136):
        yield "longitude", 0.5
    if of.cells and len(of.words) <= MOST_WORDS and any(re.search(r"[^\W\d_]", word) for word in of.words):
        for field in ("kind", "status", "satisfaction"):
            known = sum(count for word, count in of.words.items() if code_of(field, word)) / len(of.cells)
            if known >= 0.75 and len(of.words) > 1:
                yield field, 0.8 * known
    if of.moments[0] >= 0.95 and of.moments[1] != ("excel",):
        yield "received_at", 0.45
    if of.filled == 1 and of.distinct == 1 and len(of.cells) >= 5 and of.longest <= 64 and _identifier(of).fit == 1:
        yield _IDENTIFIER, 0.5
    if of.mean_length >= 40 and of.distinct > 0.8 and of.links < 0.5:
        yield "content", 0.5


# -------------------------------------------------------------------------------------------------- all columns, once


def _assign(facts: Sequence[ColumnFacts]) -> dict[str, TargetGuess]:
    pairs: list[tuple[float, int, TargetGuess]] = []
    for of in facts:
        weights: dict[str, tuple[float, tuple[Text, ...]]] = {}
        for match in match_heading(of.name):
            values = _judge(match.target, of)
            reasons = (_heading_reason(of.name, match.known), *([values.why] if values.why else []))
            weights[match.target] = (match.weight * values.fit, reasons)
        for target, weight in _from_values(of):
            values = _judge(target, of)
            if weight * values.fit > weights.get(target, (0.0, ()))[0]:
                weights[target] = (weight * values.fit, (values.why,) if values.why else ())
        empty = 0.6 if not of.cells else 1.0
        pairs += [
            (weight * empty, -of.place, TargetGuess(target, (of.name,), round(min(weight * empty, 1.0), 2), reasons))
            for target, (weight, reasons) in weights.items()
        ]
    taken: dict[str, TargetGuess] = {}
    used: set[str] = set()
    for weight, _, guess in sorted(pairs, key=lambda pair: (-pair[0], -pair[1])):
        if weight >= LEAST and guess.target not in taken and guess.columns[0] not in used:
            taken[guess.target] = guess
            used.add(guess.columns[0])
    _renumber_levels(taken)
    return taken


def _heading_reason(name: str, known: str) -> Text:
    return (
        Text(f"表头“{name}”", f"headed {name!r}")
        if known == name
        else Text(f"表头“{name}”即“{known}”", f"{name!r} is {known!r}")
    )


def _renumber_levels(taken: dict[str, TargetGuess]) -> None:
    """Renumber the levels of each tree from 1 without gaps."""
    for tree, most in TREES.items():
        levels = [n for n in range(1, most + 1) if f"{tree}.{n}.name" in taken or f"{tree}.{n}.code" in taken]
        for number, level in enumerate(levels, 1):
            for part in ("name", "code"):
                guess = taken.pop(f"{tree}.{level}.{part}", None)
                if guess:
                    target = f"{tree}.{number}.{part}"
                    taken[target] = TargetGuess(target, guess.columns, guess.confidence, guess.reasons)


def _find_identifier(facts: Sequence[ColumnFacts], guesses: dict[str, TargetGuess], notes: list[Text]) -> None:
    """Combine two or three columns into an identifier where no column identifies the rows."""
    if _IDENTIFIER in guesses or not facts or not facts[0].rows:
        return
    order = ("received_at", "reporter.phone", "reporter.name", _TITLE, "content", "address", "category.1.name")
    names = [guesses[target].columns[0] for target in order if target in guesses]
    by_name = {of.name: of for of in facts}
    full = [name for name in names if by_name[name].filled == 1]
    for count in (2, 3):
        chosen = [by_name[name] for name in full[:count]]
        if len(chosen) < count:
            break
        rows = list(zip(*(of.texts for of in chosen), strict=True))
        if len(set(rows)) > 0.98 * len(rows):
            columns = tuple(of.name for of in chosen)
            why = Text(
                f"没有编号列；{'、'.join(columns)} 合起来各行不同",
                f"no column of numbers; together {', '.join(columns)} tell rows apart",
            )
            guesses[_IDENTIFIER] = TargetGuess(_IDENTIFIER, columns, 0.45, (why,))
            return
    notes.append(Text("没有找到能区分各行的编号列，请指定", "no column identifies the rows; choose one"))


def _find_title(facts: Sequence[ColumnFacts], guesses: dict[str, TargetGuess], notes: list[Text]) -> None:
    """Use the beginning of the content or the category as the title where there is no title column."""
    if _TITLE in guesses:
        return
    by_name = {of.name: of for of in facts}
    if "content" in guesses and by_name[guesses["content"].columns[0]].filled > 0.9:
        why = Text("没有标题列：取内容的开头", "no column of titles: the beginning of the content")
        guesses[_TITLE] = TargetGuess(_TITLE, guesses["content"].columns, 0.5, (why,))
        return
    levels = [guesses[f"category.{n}.name"].columns[0] for n in (1, 2) if f"category.{n}.name" in guesses]
    if levels:
        why = Text("没有标题列：取分类", "no column of titles: what it is filed under")
        guesses[_TITLE] = TargetGuess(_TITLE, tuple(levels), 0.5, (why,))
        return
    notes.append(Text("没有找到标题列，请指定", "no column of titles was found; choose one"))


def _times(facts: Sequence[ColumnFacts]) -> tuple[str, ...]:
    found = {written for of in facts for written in of.moments[1]}
    return tuple(sorted(found, key=FORMATS.index)) or ("iso",)


assert set(_JUDGES) <= set(FIELDS)
