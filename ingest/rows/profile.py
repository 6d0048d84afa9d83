"""Mapping profiles: TOML files that map the columns of a source's file to ticket fields.

A profile is data: no code runs from it. ``load_profile`` reads one and reports every mistake with its pointer;
``docs/intake.md`` describes the format. ``ingest.rows.mapper`` applies a profile to a row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from app.domain.tickets.fields import IMPORTED, REPORTER
from app.errors import Invalid, NotFound
from app.validation import TimeZone, objection, validated
from ingest.rows.toml_text import read_toml
from ingest.rows.values import MomentReader

BUNDLED = Path(__file__).parent / "profiles"
LONGEST = 256 * 1024
"""Bytes of a profile."""

MOMENT_FIELDS = tuple(field.name for field in IMPORTED if field.kind == "moment")
NUMBER_FIELDS = tuple(field.name for field in IMPORTED if field.kind == "number")
REPORTER_FIELDS = tuple(field.name for field in REPORTER)
TARGETS = tuple(field.name for field in IMPORTED)
"""Every field that a column can be mapped to. Units, categories and grids may be mapped as trees instead."""
LENGTHS = {field.name: field.length for field in IMPORTED if field.shortens}
"""Characters of each field whose values may be cut to fit."""


class _ProfilePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Wording(_ProfilePart):
    """A name in both languages."""

    zh: str
    en: str


class SourceNamed(_ProfilePart):
    """The default source of these tickets; an import may name another."""

    code: Annotated[str, Field(min_length=1, max_length=64)]
    zh: str
    en: str


class FileHints(_ProfilePart):
    """Format details that cannot be detected in the file, or should not be."""

    encoding: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    sheet: str | None = None


def _columns(value: object) -> object:
    if isinstance(value, str):
        return {"columns": (value,)}
    return {"columns": tuple(value)} if isinstance(value, list) else value


class ColumnMapping(_ProfilePart):
    """The columns that a value is read from.

    ``columns``: alternative names of one column; the first that the header has is used. ``join``: several columns whose
    non-empty values are joined. ``missing``: additional words for an empty value here. ``shorten``: cut to the field's
    length instead of rejecting the row; an identifier becomes its beginning and a hash of the whole, so that it stays
    unique.
    """

    columns: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    separator: str = " · "
    missing: tuple[str, ...] = ()
    shorten: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> ColumnMapping:
        if bool(self.columns) == bool(self.join):
            raise objection(
                "columns（取一列）与 join（几列相连）二者选一",
                "give either columns (one value) or join (several together)",
            )
        return self

    @property
    def all_names(self) -> tuple[str, ...]:
        """All column names that it may read."""
        return self.columns + self.join


Place = Annotated[ColumnMapping, BeforeValidator(_columns)]


class Level(_ProfilePart):
    """One level of a tree: its ``code`` and its ``name``. Where only a name is known it is the code too. One code with
    several names is one node, named by the first non-empty one."""

    code: Place | None = None
    name: Place | None = None

    @model_validator(mode="after")
    def _something(self) -> Level:
        if self.code is None and self.name is None:
            raise objection("每一级至少要有代码列或名称列", "a level needs a code column or a name column")
        return self


class Tree(_ProfilePart):
    """Levels from the root down. ``codes``: ``own`` where a level's code is globally unique, ``path`` where it is
    unique only under its parent and is prefixed by the parent's code and a slash."""

    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    codes: Literal["own", "path"] = "own"


class Flag(_ProfilePart):
    """True where the column holds one of ``is``."""

    column: Place
    words: Annotated[tuple[str, ...], Field(alias="is", min_length=1)]


class Verdict(_ProfilePart):
    """The source's on-time and late flags. ``use``: ``rest`` where Duban adopts them because moments are missing,
    ``compare`` where they are only compared with the moments (and ignored where there is no deadline). ``completes``:
    the flags also indicate completion: a row with either is completed, one with neither has the status ``otherwise``."""

    on_time: Flag
    late: Flag
    use: Literal["rest", "compare"]
    completes: bool = False
    otherwise: Literal["received", "dispatched", "accepted"] = "received"


class Profile(_ProfilePart):
    """A validated mapping profile. Tables are keyed by field, attribute or value.

    ``contract_names``: columns named like a field of the contract, or by its Chinese label, map to that field besides
    the columns in ``fields``. ``status_from_times``: a row without a status has that of its latest moment. In
    ``values`` the word ``*`` matches every other value, and an empty code omits the field."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    title: Wording
    source: SourceNamed
    time_zone: TimeZone
    times: Annotated[tuple[str, ...], Field(min_length=1)] = ("iso",)
    missing: tuple[str, ...] = ()
    file: FileHints = FileHints()
    contract_names: bool = False
    fields: dict[str, Place]
    constants: dict[str, str] = {}
    status_from_times: bool = False
    values: dict[str, dict[str, str]] = {}
    unit: Tree | None = None
    category: Tree | None = None
    grid: Tree | None = None
    verdict: Verdict | None = None
    attributes: dict[str, Place] = {}
    keep_rest: bool = False

    @field_validator("times")
    @classmethod
    def _readable_times(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            MomentReader(value, ZoneInfo("UTC"))
        except ValueError as error:
            raise objection(f"时间格式有误：{error}", str(error)) from error
        return value

    @field_validator("fields")
    @classmethod
    def _with_contract_names(cls, value: dict[str, ColumnMapping], info: ValidationInfo) -> dict[str, ColumnMapping]:
        if not info.data.get("contract_names"):
            return value
        nothing = ColumnMapping.model_construct(columns=())
        found = dict(value)
        for field in IMPORTED:
            place = value.get(field.name, nothing)
            if not place.join:
                names = (field.name, *place.columns, *field.headings)
                found[field.name] = place.model_copy(update={"columns": tuple(dict.fromkeys(names))})
        return found

    @model_validator(mode="after")
    def _known_targets(self) -> Profile:
        for table in ("fields", "constants", "values"):
            unknown = sorted(set(getattr(self, table)) - set(TARGETS))
            if unknown:
                names = ", ".join(unknown)
                raise objection(
                    f"[{table}] 中不是工单字段：{names}", f"[{table}] maps to no field of a ticket: {names}"
                )
        lacking = [name for name in ("external_id", "title") if name not in self.fields]
        if lacking:
            raise objection(f"[fields] 必须映射 {'、'.join(lacking)}", f"[fields] must map {' and '.join(lacking)}")
        twice = [name for name in ("unit", "category", "grid") if name in self.fields and getattr(self, name)]
        if twice:
            names = ", ".join(twice)
            raise objection(f"{names} 既映射为字段又映射为树", f"{names}: mapped both as a field and as a tree")
        return self

    def places(self) -> Iterator[ColumnMapping]:
        """Iterate over every column mapping of the profile."""
        yield from self.fields.values()
        yield from self.attributes.values()
        for tree in (self.unit, self.category, self.grid):
            for level in tree.levels if tree else ():
                yield from (place for place in (level.code, level.name) if place)
        if self.verdict:
            yield self.verdict.on_time.column
            yield self.verdict.late.column

    def column_names(self) -> list[str]:
        """Return every column name that the profile reads, without duplicates."""
        return list(dict.fromkeys(name for place in self.places() for name in place.all_names))

    def known_columns(self, names: Sequence[str]) -> int:
        """Return how many of these column names the profile reads; 0 where the identifier or the title is missing."""
        have = {column_key(name) for name in names}
        for field in ("external_id", "title"):
            if not any(column_key(name) in have for name in self.fields[field].all_names):
                return 0
        return len(have & {column_key(name) for name in self.column_names()})


_APART = re.compile(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])")
"""White space between Chinese characters: headings are spaced (``姓　　名``) and wrapped for layout."""


def column_key(name: str) -> str:
    """Return the normalized form of a column name: independent of width, case and white space."""
    plain = " ".join(unicodedata.normalize("NFKC", name).replace("\ufeff", "").split()).casefold()
    return _APART.sub("", plain)


def parse_profile(text: str) -> Profile:
    """Parse the profile in ``text``. Raises ``Invalid`` with a pointer for each mistake."""
    return check_profile(read_toml(text))


def check_profile(content: object) -> Profile:
    """Validate ``content``, parsed TOML or JSON, as a profile. Raises ``Invalid`` with a pointer for each mistake."""
    return validated(Profile.model_validate, content, Profile.model_fields)


def list_profiles(folders: Iterable[Path] = ()) -> list[Profile]:
    """Return the bundled profiles and those in ``folders``, by name; a profile in a folder overrides a bundled one."""
    found: dict[str, Profile] = {}
    for folder in (BUNDLED, *folders):
        for path in sorted(folder.glob("*.toml")):
            found[path.stem] = _read(path)
    return [found[name] for name in sorted(found)]


def load_profile(name: str, folders: Iterable[Path] = ()) -> Profile:
    """Return the profile called ``name``, or the one in the file ``name`` where that ends in ``.toml``. Raises
    ``NotFound``, listing the available ones, and ``Invalid`` for a profile with mistakes."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise NotFound(f"找不到配置文件 {path.name}", f"there is no profile file {path.name}")
        return _read(path)
    places = [*folders, BUNDLED]
    known = sorted({path.stem for folder in places for path in folder.glob("*.toml")})
    if name not in known:
        raise NotFound(
            f"没有名为 {name} 的映射配置，现有：{'、'.join(known)}",
            f"no profile {name!r}; there are: {', '.join(known)}",
        )
    return _read(next(path for folder in places if (path := folder / f"{name}.toml").is_file()))


def _read(path: Path) -> Profile:
    if path.stat().st_size > LONGEST:
        raise Invalid.at("", "映射配置文件过大", "the profile file is too large")
    try:
        return parse_profile(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Invalid.at("", "映射配置应为 UTF-8 编码", "a profile must be UTF-8") from error
