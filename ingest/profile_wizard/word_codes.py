"""Words of rejected rows that a profile has no code for, and the profile extended with codes for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from ingest.profile_wizard.vocabulary import CODES
from ingest.rows.profile import Profile, column_key
from ingest.rows.values import plain, text_of


def uncoded_words(profile: Profile, raws: Iterable[str]) -> dict[str, Counter[str]]:
    """Map each coded field to the words in these raw rows that have no code, with their counts."""
    tables = {name: profile.values[name] for name in CODES if name in profile.values and name in profile.fields}
    known = {
        name: {*(plain(word) for word in table), *table.values(), "", *profile.missing, *profile.fields[name].missing}
        for name, table in tables.items()
        if "*" not in table
    }
    found: dict[str, Counter[str]] = {name: Counter() for name in known}
    for raw in raws:
        row = _row(raw)
        for name, words in known.items():
            word = _word(row, profile.fields[name].columns)
            if word not in words:
                found[name][word] += 1
    return {name: words for name, words in found.items() if words}


def _row(raw: str) -> dict[str, object]:
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return {column_key(name): value for name, value in content.items()} if isinstance(content, dict) else {}


def _word(row: Mapping[str, object], names: Iterable[str]) -> str:
    return next((plain(text_of(row[key])) for name in names if (key := column_key(name)) in row), "")


def with_codes(profile: Profile, words: Mapping[str, Mapping[str, str]]) -> Profile:
    """Return the profile with codes for these words added; an empty code omits the field."""
    values = {**profile.values}
    for name, table in words.items():
        values[name] = {**values.get(name, {}), **table}
    return profile.model_copy(update={"values": values})
