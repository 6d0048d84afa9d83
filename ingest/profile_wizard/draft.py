"""A mapping being edited: the columns chosen for each target, and the profile built from them.

A draft is flat: *target* → columns, where a target is a field of the ticket or a level of a tree (``category.2.name``).
A profile can hold more than a draft (verdicts, named attributes, alternative column names): what the user has not
changed is copied from the base profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.profile_wizard.vocabulary import CODES, TREES
from ingest.rows.profile import LENGTHS, TARGETS, ColumnMapping, Profile, Tree, check_profile, column_key

JOINED = 3
"""Maximum columns joined into one field in a draft."""
FIELDS = tuple(name for name in TARGETS if name not in TREES)
TREE_TARGETS = tuple(
    f"{tree}.{level}.{part}"
    for tree, levels in TREES.items()
    for level in range(1, levels + 1)
    for part in ("name", "code")
)
ALL_TARGETS = (*FIELDS, *TREE_TARGETS)


@dataclass
class ProfileDraft:
    """A draft. ``columns``: target → one column, or several to be joined. ``constants``: field → value of every ticket.
    ``words``: field → the source's word → code (empty: omit the field; ``*``: every other word). ``sheet``: the sheet,
    where it is not the first non-empty one; ``encoding``: the encoding, where the detected one is wrong."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    words: dict[str, dict[str, str]] = field(default_factory=dict)
    status_from_times: bool = False
    times: tuple[str, ...] = ("iso",)
    time_zone: str = "Asia/Shanghai"
    missing: tuple[str, ...] = ()
    keep_rest: bool = True
    shorten: bool = False
    sheet: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of a profile and of its source."""

    name: str
    title_zh: str
    title_en: str
    source_code: str
    source_zh: str
    source_en: str


def profile_of(draft: ProfileDraft, identity: Identity, base: Profile | None = None) -> Profile:
    """Build the profile of ``draft``. Raises ``Invalid``, with a pointer for each mistake."""
    return check_profile(content_of(draft, identity, base))


def content_of(draft: ProfileDraft, identity: Identity, base: Profile | None = None) -> dict[str, Any]:
    """Return the profile of ``draft`` as unvalidated content, which may be incomplete."""
    content: dict[str, Any] = document_of(base) if base else {}
    content |= {
        "name": identity.name,
        "title": {"zh": identity.title_zh, "en": identity.title_en},
        "source": {"code": identity.source_code, "zh": identity.source_zh, "en": identity.source_en},
        "time_zone": draft.time_zone,
        "times": list(draft.times),
        "missing": list(draft.missing),
        "keep_rest": draft.keep_rest,
        "status_from_times": draft.status_from_times,
        "constants": {**content.get("constants", {}), **draft.constants},
        "fields": _fields(draft, base),
    }
    content["constants"] = {f: c for f, c in content["constants"].items() if f not in CODES or f in draft.constants}
    hints = {**content.get("file", {}), "sheet": draft.sheet, "encoding": draft.encoding}
    content["file"] = {name: hint for name, hint in hints.items() if hint is not None}
    words = {name: table for name, table in content.get("values", {}).items() if name not in CODES}
    content["values"] = words | {name: dict(table) for name, table in draft.words.items() if table}
    for tree in TREES:
        levels = _levels(draft, tree, getattr(base, tree) if base else None)
        content.pop(tree, None)
        if levels and tree not in content["fields"]:
            given: Tree | None = getattr(base, tree) if base else None
            content[tree] = {"codes": given.codes if given else _codes_of(tree, levels), "levels": levels}
    return {name: value for name, value in content.items() if value not in ({}, [], False) or name == "fields"}


def _fields(draft: ProfileDraft, base: Profile | None) -> dict[str, Any]:
    given = base.fields if base else {}
    turned = base is not None and draft.shorten is not any(given[name].shorten for name in LENGTHS if name in given)
    found: dict[str, Any] = {}
    for name in FIELDS:
        columns = draft.columns.get(name)
        if not columns:
            continue
        before = given.get(name)
        place = _place(columns, before, shorten=_long_code(name, columns))
        if name in LENGTHS and (turned or before is None or not _same(columns, before)):
            place = _written(_as_place(place).model_copy(update={"shorten": draft.shorten}))
        found[name] = place
    for tree in TREES:
        if _as_field(draft, tree, base):
            found[tree] = _written(given[tree])
    return found


def _as_field(draft: ProfileDraft, tree: str, base: Profile | None) -> bool:
    """Return whether the base profile maps this tree as a field and the draft still has only that column."""
    chosen = {target: names for target, names in draft.columns.items() if target.startswith(f"{tree}.")}
    if base is None or tree not in base.fields or list(chosen) != [f"{tree}.1.name"]:
        return False
    return _same(next(iter(chosen.values())), base.fields[tree])


def _as_place(place: Any) -> ColumnMapping:
    return place if isinstance(place, ColumnMapping) else ColumnMapping.model_validate(_as_table(place))


def _as_table(place: Any) -> dict[str, Any]:
    if isinstance(place, dict):
        return place
    return {"columns": (place,) if isinstance(place, str) else tuple(place)}


def _long_code(name: str, columns: Sequence[str]) -> bool:
    return name == "external_id" and len(columns) > 1


def _levels(draft: ProfileDraft, tree: str, given: Tree | None) -> list[dict[str, Any]]:
    levels: list[dict[str, Any]] = []
    for number in range(1, TREES[tree] + 1):
        level = {}
        for part in ("code", "name"):
            columns = draft.columns.get(f"{tree}.{number}.{part}")
            if columns:
                before = given.levels[number - 1] if given and number <= len(given.levels) else None
                level[part] = _place(columns, getattr(before, part) if before else None)
        if level:
            levels.append(level)
    return levels


def _codes_of(tree: str, levels: Sequence[Mapping[str, Any]]) -> str:
    """Return how codes are unique: names, and numbers of a city's categories, may repeat under several parents."""
    alone = any("code" not in level for level in levels)
    return "path" if len(levels) > 1 and (tree == "category" or alone) else "own"


def _place(columns: Sequence[str], given: ColumnMapping | None, *, shorten: bool = False) -> Any:
    """Return a place as written in TOML, with the options of ``given`` where it reads the same columns."""
    if given is not None and _same(columns, given):
        return _written(given.model_copy(update={"shorten": True}) if shorten else given)
    if len(columns) > 1:
        return {"join": list(columns), **({"shorten": True} if shorten else {})}
    return {"columns": [columns[0]], "shorten": True} if shorten else columns[0]


def _same(columns: Sequence[str], given: ColumnMapping) -> bool:
    if len(columns) == 1 and given.columns:
        return column_key(columns[0]) in map(column_key, given.columns)
    return [*map(column_key, columns)] == [*map(column_key, given.join)][:JOINED]


def _written(place: ColumnMapping) -> Any:
    """Return a place in its shortest form: one column name, alternative names, or a table."""
    rest = place.model_dump(exclude={"columns", "join"}, exclude_defaults=True)
    if place.join:
        return {"join": list(place.join), **rest}
    if rest:
        return {"columns": list(place.columns), **rest}
    return place.columns[0] if len(place.columns) == 1 else list(place.columns)


def document_of(profile: Profile) -> dict[str, Any]:
    """Return a profile as a JSON or TOML document, without default values."""
    content = profile.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for table in ("fields", "attributes"):
        if table in content:
            content[table] = {name: _written(place) for name, place in getattr(profile, table).items()}
    for tree in TREES:
        found: Tree | None = getattr(profile, tree)
        if found:
            content[tree]["levels"] = [
                {part: _written(place) for part in ("code", "name") if (place := getattr(level, part))}
                for level in found.levels
            ]
    if profile.verdict:
        for flag in ("on_time", "late"):
            content["verdict"][flag]["column"] = _written(getattr(profile.verdict, flag).column)
    return content


def draft_of(profile: Profile, columns: Sequence[str]) -> ProfileDraft:
    """Return a profile as a draft over the ``columns`` of a file; of alternative names, the one that the file has."""
    there = {column_key(name): name for name in reversed(columns)}
    draft = ProfileDraft(
        constants={name: code for name, code in profile.constants.items() if name in CODES},
        words={name: dict(table) for name, table in profile.values.items() if name in CODES},
        status_from_times=profile.status_from_times,
        times=profile.times,
        time_zone=profile.time_zone,
        missing=profile.missing,
        keep_rest=profile.keep_rest,
        sheet=profile.file.sheet,
        encoding=profile.file.encoding,
        shorten=any(place.shorten for name, place in profile.fields.items() if name in LENGTHS),
    )
    for name, place in profile.fields.items():
        target = name if name in FIELDS else f"{name}.1.name"
        _note(draft, target, place, there)
    for tree, levels in TREES.items():
        found: Tree | None = getattr(profile, tree)
        for number, level in enumerate(found.levels[:levels] if found else (), 1):
            for part in ("name", "code"):
                _note(draft, f"{tree}.{number}.{part}", getattr(level, part), there)
    return draft


def _note(draft: ProfileDraft, target: str, place: ColumnMapping | None, there: Mapping[str, str]) -> None:
    if place is None:
        return
    found = [there[key] for name in place.all_names if (key := column_key(name)) in there]
    if found:
        draft.columns[target] = tuple(found[:JOINED]) if place.join else (found[0],)


def used_columns(draft: ProfileDraft) -> set[str]:
    """Return every column that the draft reads."""
    return {name for names in draft.columns.values() for name in names}


def coded(draft: ProfileDraft) -> Iterable[tuple[str, str]]:
    """Return the coded fields, each with the column it is read from."""
    return [(name, draft.columns[name][0]) for name in CODES if draft.columns.get(name)]
