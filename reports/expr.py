"""The small language in which figures are defined: a subset of SQL's conditions, the same on every engine.

    condition  := all { OR all }            all     := one { AND one }
    one        := NOT one | ( condition ) | name | value IS [NOT] NULL | value IN ( 'a', 'b' ) | value op value
    value      := name | :parameter | 'text' | number            op := = | < | <= | > | >=

A name is a column of the facts or another condition of the registry. Two-valued logic: an unknown value is
not true, and ``NOT x`` means "x is not true"; ``sql`` spells that out, so that NULL never spreads. There is no ``<>``.
One parser, two back ends: ``FactColumns`` evaluates over a pandas frame, ``sql`` generates the condition for a database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Name:
    """A column, or a condition of the registry."""

    name: str


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the period: start, end, as_of."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A text or a whole number."""

    value: str | int


Value = Name | Param | Literal


@dataclass(frozen=True, slots=True)
class Compare:
    """``left op right``; not true where either is missing."""

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class IsNull:
    """``value IS NULL``, or ``IS NOT NULL``."""

    value: Name
    negated: bool


@dataclass(frozen=True, slots=True)
class In:
    """``value IN ('a', 'b')``."""

    value: Name
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """``NOT part``: the part is not true."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Combination:
    """``AND`` or ``OR`` of two or more parts."""

    word: str
    parts: tuple[Condition, ...]


Condition = Name | Compare | IsNull | In | Not | Combination

_TOKEN = re.compile(r"\s*(?:(?P<text>'[^']*')|(?P<number>\d+)|(?P<param>:\w+)|(?P<word>\w+)|(?P<sign><=|>=|[=<>(),]))")
_WORDS = {"AND", "OR", "NOT", "IS", "NULL", "IN"}


@lru_cache(maxsize=512)
def parse(text: str) -> Condition:
    """Parse ``text`` as a condition. Raises ValueError with the position of a syntax error."""
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the grammar above."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"unexpected {text[at : at + 20]!r} in {text!r}")
            kind = str(match.lastgroup)
            word = match[kind]
            self.tokens.append(("key", word) if kind == "word" and word in _WORDS else (kind, word))
            at = match.end()
        self.at = 0

    def whole(self) -> Condition:
        found = self.joined("OR", lambda: self.joined("AND", self.one))
        if self.at < len(self.tokens):
            raise ValueError(f"unexpected {self.tokens[self.at][1]!r} in {self.text!r}")
        return found

    def joined(self, word: str, part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Combination(word, tuple(parts))

    def one(self) -> Condition:
        if self.take("NOT"):
            return Not(self.one())
        if self.take("("):
            inner = self.joined("OR", lambda: self.joined("AND", self.one))
            self.need(")")
            return inner
        value = self.value()
        if self.take("IS"):
            negated = self.take("NOT")
            self.need("NULL")
            return IsNull(self.as_name(value), negated)
        if self.take("IN"):
            self.need("(")
            options = [self.option()]
            while self.take(","):
                options.append(self.option())
            self.need(")")
            return In(self.as_name(value), tuple(options))
        for op in ("<=", ">=", "=", "<", ">"):
            if self.take(op):
                return Compare(op, value, self.value())
        return self.as_name(value)

    def value(self) -> Value:
        if self.at >= len(self.tokens):
            raise ValueError(f"unexpected end of {self.text!r}")
        kind, word = self.tokens[self.at]
        self.at += 1
        if kind == "word":
            return Name(word)
        if kind == "param":
            return Param(word[1:])
        if kind == "text":
            return Literal(word[1:-1])
        if kind == "number":
            return Literal(int(word))
        raise ValueError(f"expected a value, found {word!r} in {self.text!r}")

    def option(self) -> str:
        value = self.value()
        if isinstance(value, Literal) and isinstance(value.value, str):
            return value.value
        raise ValueError(f"IN needs quoted texts in {self.text!r}")

    def as_name(self, value: Value) -> Name:
        if isinstance(value, Name):
            return value
        raise ValueError(f"{value} cannot stand alone in {self.text!r}")

    def take(self, word: str) -> bool:
        if (
            self.at < len(self.tokens)
            and self.tokens[self.at][1] == word
            and self.tokens[self.at][0] in {"key", "sign"}
        ):
            self.at += 1
            return True
        return False

    def need(self, word: str) -> None:
        if not self.take(word):
            raise ValueError(f"expected {word!r} in {self.text!r}")


def names(condition: Condition) -> set[str]:
    """Return every name used in a condition, columns and conditions alike."""
    match condition:
        case Name(name):
            return {name}
        case Compare(_, left, right):
            return {side.name for side in (left, right) if isinstance(side, Name)}
        case IsNull(value, _) | In(value, _):
            return {value.name}
        case Not(part):
            return names(part)
        case Combination(_, parts):
            return set().union(*(names(part) for part in parts))


def sql(condition: Condition, conditions: Mapping[str, str]) -> str:
    """Return the condition as SQL over a table of facts, with the registry's conditions expanded; parameters stay ``:name``."""
    match condition:
        case Name(name):
            return f"({sql(parse(conditions[name]), conditions)})" if name in conditions else name
        case Compare(op, left, right):
            return f"{_sql_value(left)} {op} {_sql_value(right)}"
        case IsNull(value, negated):
            return f"{value.name} IS {'NOT ' if negated else ''}NULL"
        case In(value, options):
            return f"{value.name} IN ({', '.join(repr(option) for option in options)})"
        case Not(part):
            return f"(CASE WHEN {sql(part, conditions)} THEN 0 ELSE 1 END) = 1"
        case Combination(word, parts):
            return f" {word} ".join(
                f"({sql(part, conditions)})" if isinstance(part, Combination) else sql(part, conditions)
                for part in parts
            )


def _sql_value(value: Value) -> str:
    match value:
        case Name(name):
            return name
        case Param(name):
            return f":{name}"
        case Literal(literal):
            return repr(literal)


class FactColumns:
    """A facts frame that evaluates conditions; each column is unpacked and each named condition evaluated once."""

    def __init__(
        self, frame: pd.DataFrame, parameters: Mapping[str, np.datetime64], conditions: Mapping[str, str]
    ) -> None:
        self.frame = frame
        self.parameters = parameters
        self.conditions = conditions
        self._masks: dict[str, Mask] = {}
        self._arrays: dict[str, npt.NDArray[np.generic]] = {}

    def mask(self, text: str) -> Mask:
        """Return the boolean mask of the rows that satisfy the condition ``text``."""
        found = self._masks.get(text)
        if found is None:
            found = self._masks[text] = self._answer(parse(text))
        return found

    def array(self, name: str) -> npt.NDArray[np.generic]:
        """Return a column as a numpy array: moments as datetime64[us] in UTC, numbers with NaN for missing values."""
        found = self._arrays.get(name)
        if found is None:
            column = self.frame[name]
            if isinstance(column.dtype, pd.DatetimeTZDtype):
                found = column.dt.tz_convert(None).to_numpy()
            elif pd.api.types.is_extension_array_dtype(column.dtype):
                found = column.to_numpy(dtype="float64", na_value=np.nan)
            else:
                found = column.to_numpy()
            self._arrays[name] = found
        return found

    def _answer(self, condition: Condition) -> Mask:
        match condition:
            case Name(name):
                return self.mask(self.conditions[name]) if name in self.conditions else self._true(name)
            case Compare(op, left, right):
                return self._compare(op, left, right)
            case IsNull(value, negated):
                column = self.frame[value.name]
                return (column.notna() if negated else column.isna()).to_numpy()
            case In(value, options):
                return self._among(value.name, options)
            case Not(part):
                return ~self._answer(part)
            case Combination(word, parts):
                join = np.logical_and if word == "AND" else np.logical_or
                found: Mask = join.reduce([self._answer(part) for part in parts])
                return found

    def _true(self, name: str) -> Mask:
        column = self.frame[name]
        if str(column.dtype) == "boolean":
            return column.fillna(False).to_numpy(dtype=bool)
        if column.dtype != bool:
            raise ValueError(f"the column {name} is not boolean")
        return column.to_numpy()

    def _among(self, name: str, options: tuple[str, ...]) -> Mask:
        """Test membership on a categorical's few values, then by code: 1 million rows cost one lookup each."""
        column = self.frame[name]
        table = np.append(np.isin(column.cat.categories.astype(str).to_numpy(dtype=str), options), False)
        found: Mask = table[column.cat.codes.to_numpy()]
        return found

    def _compare(self, op: str, left: Value, right: Value) -> Mask:
        if isinstance(left, Name) and isinstance(right, Literal) and isinstance(right.value, str):
            if op != "=":
                raise ValueError(f"a text can only be compared by =, not by {op}")
            return self._among(left.name, (right.value,))
        operators = {"=": np.equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
        found: Mask = operators[op](self._operand(left), self._operand(right))  # NaT and NaN compare false
        return found

    def _operand(self, value: Value) -> npt.NDArray[np.generic] | np.datetime64 | int | str:
        match value:
            case Name(name):
                return self.array(name)
            case Param(name):
                return self.parameters[name]
            case Literal(literal):
                return literal
