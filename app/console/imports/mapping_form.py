"""The form of the mapping page: a profile draft to form fields and back.

col.TARGET  col.TARGET.2  col.TARGET.3    c:COLUMN, k:CODE (the same for every ticket), t: (from the times), empty
word.FIELD.N  code.FIELD.N                a word of the source and its code; code.FIELD.* for every other word
time.N  auto_times  time_zone  missing    how times are written; what means nothing
keep_rest  shorten  live  replace         boxes to tick
title  name  source                       what the profile is called; whose tickets it brings
sheet  encoding  base                     which sheet; how the file is read; the profile that it began with
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.errors import Invalid
from ingest.profile_wizard.draft import ALL_TARGETS, JOINED, Identity, ProfileDraft, draft_of
from ingest.profile_wizard.vocabulary import CODES, code_of
from ingest.rows.profile import LENGTHS, Profile

REJECT = "!"
"""The choice for a word that has no code: its rows are refused."""
OTHERS = "*"
JOINABLE = frozenset({"external_id", *LENGTHS})
_COLUMN, _CONSTANT, _TIMES = "c:", "k:", "t:"
Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MappingForm:
    """A submitted form: the draft, the profile's identity, and the options ticked."""

    draft: ProfileDraft
    title: str
    name: str
    source: str
    auto_times: bool
    live: bool
    replace: bool

    def identity(self, base: Profile | None) -> Identity:
        """Return the profile's identity; one that keeps its name keeps what its form cannot express.

        Raises Invalid for a missing name.
        """
        if not self.name:
            raise Invalid.at("/name", "请填写配置代号", "give the profile a short name")
        title = self.title or self.name
        if base is not None and base.name == self.name and title in (base.title.zh, base.title.en):
            source = base.source
            return Identity(base.name, base.title.zh, base.title.en, source.code, source.zh, source.en)
        return Identity(self.name, title, title, self.name, title, title)


def choice_of(draft: ProfileDraft, target: str, part: int = 1) -> str:
    """Return the value of the select of ``target``; ``part`` numbers the columns that are joined."""
    columns = draft.columns.get(target, ())
    if part <= len(columns):
        return _COLUMN + columns[part - 1]
    if part > 1:
        return ""
    if target in draft.constants:
        return _CONSTANT + draft.constants[target]
    return _TIMES if target == "status" and draft.status_from_times else ""


def asked_of(fields: Fields, columns: Sequence[str], base: Profile | None) -> MappingForm:
    """Parse a form over the ``columns`` of a file into a draft; unknown columns are dropped."""
    there = set(columns)
    draft = ProfileDraft(
        time_zone=fields.get("time_zone", "").strip(),
        missing=tuple(dict.fromkeys(fields.get("missing", "").split())),
        keep_rest="keep_rest" in fields,
        shorten="shorten" in fields,
        times=tuple(text for name, text in fields.items() if name.startswith("time.") and text) or ("iso",),
        sheet=fields.get("sheet") or None,
        encoding=fields.get("encoding") or None,
    )
    for target in ALL_TARGETS:
        chosen = [fields.get(f"col.{target}" + (f".{part}" if part > 1 else ""), "") for part in range(1, JOINED + 1)]
        names = [each[2:] for each in chosen if each.startswith(_COLUMN) and each[2:] in there]
        if names:
            draft.columns[target] = tuple(dict.fromkeys(names))
        elif chosen[0].startswith(_CONSTANT) and target in CODES and chosen[0][2:] in CODES[target]:
            draft.constants[target] = chosen[0][2:]
        elif chosen[0] == _TIMES and target == "status":
            draft.status_from_times = True
    draft.words = _words(fields, draft, base)
    return MappingForm(
        draft, fields.get("title", "").strip()[:100], fields.get("name", "").strip().lower(),
        fields.get("source", "").strip(), "auto_times" in fields, "live" in fields, "replace" in fields,
    )  # fmt: skip


def _words(fields: Fields, draft: ProfileDraft, base: Profile | None) -> dict[str, dict[str, str]]:
    before = draft_of(base, ()).words if base else {}
    found: dict[str, dict[str, str]] = {}
    for field in CODES:
        if field not in draft.columns:
            continue
        table = dict(before.get(field, {}))
        for name, word in fields.items():
            if name.startswith(f"word.{field}."):
                _set(table, word, fields.get(name.replace("word.", "code.", 1), REJECT), field)
        others = fields.get(f"code.{field}.{OTHERS}")
        if others is not None:
            _set(table, OTHERS, others, field)
        found[field] = table
    return found


def _set(table: dict[str, str], word: str, code: str, field: str) -> None:
    table.pop(word, None)
    if word and code != REJECT and (code == "" or code in CODES[field]):
        table[word] = code


def with_new_words(draft: ProfileDraft, seen: Mapping[str, Iterable[str]], asked: Fields) -> bool:
    """Give words that the form does not list yet their most likely code; return whether there were any."""
    known = {(name.split(".")[1], word) for name, word in asked.items() if name.startswith("word.")}
    new = False
    for field, words in seen.items():
        table = draft.words.setdefault(field, {})
        for word in words:
            if word in table or (field, word) in known or OTHERS in table:
                continue
            code = code_of(field, word)
            if code is not None:
                table[word] = code
                new = True
    return new


def missing_text(words: Iterable[str]) -> str:
    """Return the words for "nothing" as one line of a form; they contain no blanks."""
    return " ".join(word for word in words if word and not any(c.isspace() for c in word))
