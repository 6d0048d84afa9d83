"""Known headings and coded words of offices, from ``vocabulary.toml`` and the profile ``duban``.

A *target* is what a column maps to: a field of the ticket, or a level of a tree, such as ``category.2.name`` (the name of
the second level) or ``unit.1.code``.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from rapidfuzz import fuzz, process

from app.domain.words import KIND, PRIORITY, SATISFACTION, SEVERITY, STATUS, Words
from ingest.rows.profile import load_profile
from ingest.rows.ticket_in import HistoricalTicket

FILE = Path(__file__).with_suffix(".toml")
TREES = {"unit": 2, "category": 4, "grid": 4}
"""Trees that columns can map to, and their maximum number of levels."""
STATUSES = ("received", "dispatched", "accepted", "completed", "closed", "void")
"""The statuses of a historical ticket."""
CODES: Mapping[str, Words] = {
    "kind": KIND,
    "status": {code: STATUS[code] for code in STATUSES},
    "priority": PRIORITY,
    "severity": SEVERITY,
    "satisfaction": SATISFACTION,
}
"""Coded fields, and the names of their codes."""
assert set(CODES) <= set(HistoricalTicket.model_fields)

_NAMELESS = re.compile(r"column \d+")
_BRACKETS = re.compile(r"[(\[{【〔<].*?[)\]}】〕>]")
_JOINTS = re.compile(r"[_\-./:：*★、,，]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HAN = re.compile(r"[\u3400-\u9fff]")
_HAN_GAP = re.compile(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])")
_CODE_END = re.compile(r"^(.+?) ?(编码|代码|编号|序号|code|id|no|num|number)$")
_NAME_END = re.compile(r"^(.+?) ?(名称|名|name)$")

EXACT, PART, END, WITHIN, LIKE = 1.0, 0.92, 0.8, 0.62, 0.75
"""Weights of a heading: it is a known one; its last part is; it ends in one; it contains one; it resembles one."""
_ALIKE = 82.0
_WORD_ALIKE = 86.0


class HeadingMatch(NamedTuple):
    """One match of a heading: the target, its weight (0 to 1), and the known heading that matched."""

    target: str
    weight: float
    known: str


def normal(text: str) -> str:
    """Return the normalized form of a heading or of a word for a code."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", text).replace("\ufeff", ""))
    text = _JOINTS.sub(" ", _BRACKETS.sub(" ", text) or text)
    return _HAN_GAP.sub("", " ".join(text.split())).casefold()


@lru_cache(maxsize=1)
def _file() -> Mapping[str, Any]:
    return tomllib.loads(FILE.read_text("utf-8"))


@lru_cache(maxsize=1)
def empty_words() -> frozenset[str]:
    """Return the words that mean an empty value."""
    return frozenset(_file()["nothing"]["words"])


@lru_cache(maxsize=1)
def _headings() -> Mapping[str, tuple[str, ...]]:
    """Map each known heading, normalized, to its possible targets, the most likely first."""
    found: dict[str, list[str]] = {}

    def add(heading: str, target: str) -> None:
        targets = found.setdefault(normal(heading), [])
        if target not in targets:
            targets.append(target)

    document = _file()
    lone = {"unit": "unit.1.name", "category": "category.1.name", "grid": "grid.4.name"}
    for field, place in load_profile("duban").fields.items():
        for name in place.all_names:
            add(name, lone.get(field, field))
    for field, names in document["headings"].items():
        for name in names:
            add(name, field)
    for tree, levels in document["trees"].items():
        for level, names in levels.items():
            for name in names:
                add(name, f"{tree}.{level}.name")
    return {heading: tuple(targets) for heading, targets in found.items()}


@lru_cache(maxsize=4096)
def match_heading(heading: str) -> tuple[HeadingMatch, ...]:
    """Return the possible targets of a column with this heading, each once, the most likely first."""
    best: dict[str, HeadingMatch] = {}
    for match in _readings(heading):
        if match.target not in best or match.weight > best[match.target].weight:
            best[match.target] = match
    return tuple(sorted(best.values(), key=lambda match: -match.weight))


def _readings(heading: str) -> Iterator[HeadingMatch]:
    name = normal(heading)
    if not name:
        return
    yield from _known(name, EXACT)
    parts = [normal(part) for part in unicodedata.normalize("NFKC", heading).split()]
    if len(parts) > 1:  # a header of several rows: the last row is the most specific
        yield from _known(parts[-1], PART)
        yield from _known("".join(reversed(parts)), PART)  # 时间 over 受理 is 受理时间
    for ending, kind in ((_CODE_END, "code"), (_NAME_END, "name")):
        stem = ending.match(name)
        if stem:
            yield from _in_tree(stem[1], kind)
    yield from _resembling(name)


def _known(name: str, weight: float) -> Iterator[HeadingMatch]:
    for place, target in enumerate(_headings().get(name, ())):
        yield HeadingMatch(target, weight - 0.12 * place, name)


def _in_tree(base: str, kind: str) -> Iterator[HeadingMatch]:
    """Match ``base`` as a tree level whose code or name is in the column: ``dispose unit`` of ``dispose unit id``."""
    found = [*_known(base, EXACT), *(match for match in _ending(base) if match.weight >= END)]
    for match in found:
        if match.target.partition(".")[0] in TREES:
            yield HeadingMatch(f"{match.target.rpartition('.')[0]}.{kind}", match.weight, match.known)


def _resembling(name: str) -> Iterator[HeadingMatch]:
    headings = _headings()
    if _HAN.search(name):
        yield from _ending(name)
        close = process.extract(name, headings, scorer=fuzz.ratio, score_cutoff=_ALIKE, limit=5)
    else:
        close = process.extract(name, headings, scorer=fuzz.token_sort_ratio, score_cutoff=_WORD_ALIKE, limit=5)
    for known in close:
        # rapidfuzz gives (value, score, key) for a mapping: the targets, the likeness, the heading
        for place, target in enumerate(known[0]):
            yield HeadingMatch(target, LIKE * known[1] / 100 - 0.12 * place, str(known[2]))


def _ending(name: str) -> Iterator[HeadingMatch]:
    """Match the end of a Chinese heading, which is its head noun: ``市民来电时间`` is a time, whatever precedes it."""
    for known, targets in _headings().items():
        if len(known) < 2 or known == name or not _HAN.search(known) or known not in name:
            continue
        weight = END if name.endswith(known) else WITHIN
        share = len(known) / len(name)
        for place, target in enumerate(targets):
            yield HeadingMatch(target, weight * (0.75 + 0.25 * share) - 0.12 * place, known)


# -------------------------------------------------------------------------------------------------------------- words


@lru_cache(maxsize=8)
def known_words(field: str) -> Mapping[str, str]:
    """Map the words that offices use for a code of ``field``, normalized, to the code."""
    found: dict[str, str] = {}
    for code, names in CODES[field].items():
        for word in (code, *names):
            found.setdefault(normal(word), code)
    for word, code in load_profile("duban").values.get(field, {}).items():
        found.setdefault(normal(word), code)
    for code, words in _file()["words"].get(field, {}).items():
        for word in words:
            found.setdefault(normal(word), code)
    return found


@lru_cache(maxsize=4096)
def code_of(field: str, word: str) -> str | None:
    """Return the most likely code of ``field`` for ``word``; None where unknown."""
    known = known_words(field)
    name = normal(word)
    if name in known:
        return known[name]
    within = [each for each in known if len(each) >= 2 and _HAN.search(each) and each in name]
    if within:  # of 满意 and 不满意, which are both part of 很不满意, the longer
        return known[max(within, key=len)]
    close = process.extractOne(name, list(known), scorer=fuzz.ratio, score_cutoff=_WORD_ALIKE)
    return known[close[0]] if close and len(name) > 2 else None


def heading_fit(names: Sequence[str]) -> float:
    """Score these names as the header of an unknown table: known headings count most, heading-like text a little, and
    data-like text counts against. A single cell over many columns is a title, not a header."""
    if len(names) > 1 and sum(_NAMELESS.fullmatch(name) is None for name in names) < 2:
        return 0.0
    return sum(map(_heading_like, names))


def _heading_like(name: str) -> float:
    if _NAMELESS.fullmatch(name):
        return 0.0
    first = next(iter(match_heading(name)), None) if len(name) <= 60 else None
    if first is not None and first.weight >= EXACT:
        return 3.0
    if first is not None and first.weight >= PART:
        return 2.5
    if len(name) > 40 or not re.search(r"[^\W\d_]", name) or re.search(r"[。！？；]|\d{4}[-/年]\d", name):
        return -1.0
    return 1.0
