"""Convert one cell of a file to text, a number or a moment.

Spreadsheets hold the same column as text, as dates and as serial numbers, with full-width digits and stray white space.
Functions return a value or raise ``ValueError`` whose argument is a code of ``app.validation``.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a wall clock without a zone, as Excel's serial numbers are
"""Day 0 of the 1900 date system, chosen so that serials after February 1900 (the only ones read here) are right."""
_SERIALS = (367.0, 109_205.0)  # 1901-01-01 to 2198-12-28: below, a number is more likely a count than a date
_REMEMBERED = 4_096
_BLANK = str.maketrans({"\u00a0": " ", "\u3000": " ", "\ufeff": None, "\u200b": None})
_ODD = tuple(map(chr, _BLANK))

_FIELDS = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[AaPp]\.?[Mm]\.?|上午|下午|凌晨|早上|中午|晚上)\s*",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
    "%": "%",
}
_AFTERNOON = ("p", "下", "晚")
_Wall = Callable[[str], datetime | None]


def text_of(cell: Any) -> str:
    """Return the cell as trimmed text: whole floats without ``.0``, dates as ISO, empty for an empty cell."""
    if isinstance(cell, str):
        odd = not cell.isascii() and any(letter in cell for letter in _ODD)
        return (cell.translate(_BLANK) if odd else cell).strip()
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, dict | list):
        return json.dumps(cell, ensure_ascii=False)
    return str(cell).strip()


def plain(text: str) -> str:
    """Return ``text`` with full-width letters, digits and marks normalized (NFKC), for codes, numbers and times."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text).strip()


def number_of(cell: Any) -> float:
    """Return a finite number from a number or its text. Raises ValueError("float_parsing") or ("finite_number")."""
    try:
        number = float(cell if isinstance(cell, int | float) else plain(cell).replace("_", "x"))
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ValueError("float_parsing") from error
    if not math.isfinite(number):
        raise ValueError("finite_number")
    return number


class MomentReader:
    """Reads moments written in any of several ``formats`` on the wall clock of ``zone``.

    Formats are those of ``strptime`` (``%Y %y %m %d %H %I %M %S %f %p %z``), or the words ``iso`` (2018-07-04 or
    2018-07-04 17:24:41, with ``-`` or ``/``; an offset, where written, is kept) and ``excel`` (a serial number). Of a
    local time that comes twice, when clocks go back, the first is taken; one that never comes, when clocks go forward,
    is read as the same span after the change. Raises ValueError for a format with an unknown letter.
    """

    def __init__(self, formats: Sequence[str], zone: ZoneInfo) -> None:
        self._zone = zone
        self._excel = "excel" in formats
        self._readers = [_reader(each) for each in formats if each != "excel"]
        self._lately: dict[str, datetime] = {}

    def __call__(self, cell: Any) -> datetime:
        """Return the moment in UTC. Raises ValueError("moment_written") where no format fits, ("moment_impossible")
        for dates such as 30 February."""
        if isinstance(cell, str):
            moment = self._lately.get(cell)
            if moment is None:
                moment = self._placed(self._from_text(cell))
                if len(self._lately) >= _REMEMBERED:
                    self._lately.clear()
                self._lately[cell] = (
                    moment  # moments repeat: closed often equals completed, and deadlines share an hour
                )
            return moment
        if isinstance(cell, datetime):
            return self._placed(cell)
        if isinstance(cell, date):
            return self._placed(datetime(cell.year, cell.month, cell.day))  # noqa: DTZ001 - the zone follows
        return self._placed(self._from_serial(cell))

    def _placed(self, wall: datetime) -> datetime:
        if wall.tzinfo is None:
            wall = wall.replace(tzinfo=self._zone)
        try:
            return wall.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("moment_impossible") from error

    def _from_text(self, text: str) -> datetime:
        text = plain(text)
        for read in self._readers:
            wall = read(text)
            if wall is not None:
                return wall
        if self._excel:
            try:
                serial = float(text)
            except ValueError:
                raise ValueError("moment_written") from None
            return self._from_serial(serial)
        raise ValueError("moment_written")

    def _from_serial(self, cell: Any) -> datetime:
        if not self._excel or not isinstance(cell, int | float) or not _SERIALS[0] <= cell <= _SERIALS[1]:
            raise ValueError("moment_written")
        # Serials are binary fractions of a day, often cut to five places: rounding to seconds restores what was typed.
        return EXCEL_EPOCH + timedelta(seconds=round(cell * 86_400))


_ISO = re.compile(
    r"(?P<Y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})"
    r"(?:[Tt ]+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?\s*(?P<z>[Zz]|[+-]\d{2}:?\d{2})?"
)


def _reader(written: str) -> _Wall:
    if written == "iso":
        return _read_iso
    pattern = re.compile(_pattern(written))
    return lambda text: _read(pattern, text)


def _read_iso(text: str) -> datetime | None:
    if len(text) in (19, 25) and text[4] == "-" and text[10] in " T":  # the common forms, with or without an offset
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return _read(_ISO, text)  # distinguishes a wrong format from an impossible date
    return _read(_ISO, text)


def _read(pattern: re.Pattern[str], text: str) -> datetime | None:
    match = pattern.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    try:
        return _build(parts)
    except ValueError as error:
        raise ValueError("moment_impossible") from error


def _build(parts: dict[str, str | None]) -> datetime:
    get = parts.get
    year = int(get("Y") or 2000 + int(get("y") or 0))
    hour, minute, second = int(get("H") or get("I") or 0), int(get("M") or 0), int(get("S") or 0)
    half, fraction, offset = get("p"), get("f"), get("z")
    if half:
        hour = _on_24_hours(hour, half.lower())
    ends_day = hour == 24 and not minute and not second  # 24:00 is the end of its day
    micro = int(fraction[:6].ljust(6, "0")) if fraction else 0
    wall = datetime(  # noqa: DTZ001 - the zone follows, from the text or the profile
        year, int(get("m") or 0), int(get("d") or 0), 0 if ends_day else hour, minute, second, micro
    )
    if offset:
        wall = wall.replace(tzinfo=datetime.fromisoformat("2000-01-01T00:00" + offset.upper()).tzinfo)
    return wall + timedelta(days=1) if ends_day else wall


def _on_24_hours(hour: int, half: str) -> int:
    if half[0] in _AFTERNOON or half == "中午":
        return hour + 12 if hour < 12 and not (half == "中午" and hour == 11) else hour
    return 0 if hour == 12 else hour


def _pattern(written: str) -> str:
    out, seen, index = [], set(), 0
    while index < len(written):
        letter = written[index]
        if letter == "%":
            index += 1
            field = written[index : index + 1]
            if field not in _FIELDS:
                raise ValueError(f"unknown time format %{field} in {written!r}")
            if field in seen:
                raise ValueError(f"%{field} occurs twice in {written!r}")
            seen.add(field)
            out.append(_FIELDS[field])
        elif letter.isspace():
            out.append(r"\s*" if index and written[index - 1] in "日号" else r"\s+")
        else:
            out.append(re.escape(letter))
        index += 1
    if not ({"Y", "y"} & seen and {"m", "d"} <= seen):
        raise ValueError(f"a time format needs year, month and day: {written!r}")
    return "".join(out)
