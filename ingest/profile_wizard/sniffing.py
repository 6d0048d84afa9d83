"""Detect what the values of a column are: dates and their formats, phones, id numbers, coordinates, identifiers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from ingest.rows.values import MomentReader, number_of, plain, text_of

FORMATS = (
    "iso",
    "%Y年%m月%d日 %H时%M分%S秒",
    "%Y年%m月%d日 %H时%M分",
    "%Y年%m月%d日 %H:%M:%S",
    "%Y年%m月%d日 %H:%M",
    "%Y年%m月%d日%p%H:%M",
    "%Y年%m月%d日",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%m/%d/%y %H:%M",
    "%m/%d/%y",
    "%Y%m%d%H%M%S",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d",
    "excel",
)
"""Detected formats of moments, in the order in which a profile tries them. Of two that read the same texts (2 March or
3 February), the earlier is used."""
_YEARS = range(1970, 2100)
_SERIALS = (20_000, 73_000)
"""Excel serial numbers from 1954 to 2099: only these are detected as dates."""
_SAMPLE_SIZE = 300
_PHONE = re.compile(r"(?:\+?86[- ]?)?1[3-9]\d{9}|0\d{2,3}[- ]?\d{7,8}|\(?\d{3}\)?[- ]\d{3}-\d{4}")
_ID_NUMBER = re.compile(r"[1-9]\d{16}[\dXx]")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_PLACE = re.compile(
    r"[路街道巷弄村镇区县号楼栋幢苑园]|\b(?:st|street|ave|avenue|rd|road|blvd|dr|drive|lane|ln|pl)\b", re.IGNORECASE
)
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class ColumnFacts:
    """Statistics of a column: its non-empty ``cells``, in order, of ``rows`` rows."""

    name: str
    place: int
    rows: int
    cells: Sequence[Any]

    @cached_property
    def texts(self) -> list[str]:
        """The cells as text."""
        return [text_of(cell) for cell in self.cells]

    @cached_property
    def words(self) -> Counter[str]:
        """Count of each text."""
        return Counter(self.texts)

    @property
    def filled(self) -> float:
        """The share of rows with a value."""
        return len(self.cells) / self.rows if self.rows else 0.0

    @property
    def distinct(self) -> float:
        """The share of distinct texts."""
        return len(self.words) / len(self.cells) if self.cells else 0.0

    @cached_property
    def few(self) -> list[str]:
        """The first distinct texts, a sample."""
        return list(self.words)[:_SAMPLE_SIZE]

    def share(self, pattern: re.Pattern[str]) -> float:
        """Return the share of texts that match ``pattern`` completely."""
        return _share(pattern.fullmatch(plain(text)) is not None for text in self.few)

    @cached_property
    def mean_length(self) -> float:
        """Characters of a text, on average."""
        return sum(map(len, self.few)) / len(self.few) if self.few else 0.0

    @cached_property
    def longest(self) -> int:
        """Characters of the longest text."""
        return max(map(len, self.words), default=0)

    @cached_property
    def phones(self) -> float:
        """The share that looks like telephone numbers."""
        return self.share(_PHONE)

    @cached_property
    def id_numbers(self) -> float:
        """The share that are Chinese id numbers (GB 11643), by their check digit."""
        return _share(is_id_number(plain(text)) for text in self.few)

    @cached_property
    def places(self) -> float:
        """The share that contains a road, a house or the like."""
        return _share(_PLACE.search(text) is not None for text in self.few)

    @cached_property
    def numbers(self) -> list[float]:
        """The numbers among the sampled texts."""
        return [number for text in self.few if (number := _number(text)) is not None]

    @cached_property
    def moments(self) -> tuple[float, tuple[str, ...]]:
        """The share of cells that are moments, and the formats needed to read those written as text."""
        return formats_of(self.cells)

    @cached_property
    def links(self) -> float:
        """The share of web addresses."""
        return _share(text.startswith(("http://", "https://")) for text in self.few)

    def within(self, low: float, high: float) -> bool:
        """Return whether these are numbers between ``low`` and ``high``, mostly not integers, like coordinates."""
        numbers = self.numbers
        if not numbers or len(numbers) < 0.9 * len(self.few):
            return False
        inside = _share(low <= number <= high for number in numbers)
        return inside >= 0.9 and _share(not number.is_integer() for number in numbers) >= 0.6


def _share(found: Iterable[bool]) -> float:
    listed = list(found)
    return sum(listed) / len(listed) if listed else 0.0


def _number(text: str) -> float | None:
    try:
        return number_of(text)
    except ValueError:
        return None


def is_id_number(text: str) -> bool:
    """Return whether ``text`` is an id number of 18 digits with the check digit of GB 11643-1999."""
    if not _ID_NUMBER.fullmatch(text):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text, _WEIGHTS, strict=False))
    return text[-1].upper() == "10X98765432"[total % 11]


def formats_of(cells: Sequence[Any]) -> tuple[float, tuple[str, ...]]:
    """Return the share of ``cells`` that are moments, and a minimal set of formats for them, in the order of
    ``FORMATS``."""
    looked = (
        cells if len(cells) <= _SAMPLE_SIZE else [cells[n * len(cells) // _SAMPLE_SIZE] for n in range(_SAMPLE_SIZE)]
    )
    left = [cell for cell in looked if not isinstance(cell, date)]
    real = len(looked) - len(left)
    read = {written: reads for written in FORMATS if (reads := [n for n, c in enumerate(left) if _reads(written, c)])}
    found: list[str] = []
    waiting = set(range(len(left)))
    while waiting and read:
        best = max(read, key=lambda written: (len(waiting & set(read[written])), -FORMATS.index(written)))
        if not waiting & set(read[best]):
            break
        waiting -= set(read.pop(best))
        found.append(best)
    share = (real + len(left) - len(waiting)) / len(looked) if looked else 0.0
    return share, tuple(sorted(found, key=FORMATS.index))


_READERS = {written: MomentReader((written,), _UTC) for written in FORMATS}


def _reads(written: str, cell: Any) -> bool:
    if written == "excel":
        number = cell if isinstance(cell, int | float) else _number(text_of(cell))
        return number is not None and not isinstance(cell, bool) and _SERIALS[0] <= number <= _SERIALS[1]
    if not isinstance(cell, str):
        return False
    text = text_of(cell)
    if written.startswith("%Y%m%d") and not re.match(r"\d{8}(?:\d{6}| |$)", plain(text)):
        return False  # digits alone are a date only where there are as many as a date has
    try:
        moment: datetime = _READERS[written](text)
    except ValueError:
        return False
    return moment.year in _YEARS
