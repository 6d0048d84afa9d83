"""A body of many documents → the span of each, without parsing any.

A JSON array is walked from bracket to bracket, with nothing kept but the places of its elements: an array of eleven million
empty objects, or one nested a hundred thousand deep, costs no more memory than its bytes. What an element says is read
later, one at a time, so that a broken one is refused by itself.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence

from app.errors import BadRequest, TooLarge

Body = bytes | mmap.mmap
Span = tuple[int, int]
"""Where a document begins, and where it ends."""

_TEXT = rb'"(?:[^"\\]++|\\.)*+"'
_NEXT_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _TEXT + rb")*+([\[\]{}])", re.DOTALL)
_SCALAR = re.compile(_TEXT + rb"|[^\s,\[\]{}\"]++", re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_MARK = b"\xef\xbb\xbf"
_OPENING = frozenset(b"[{")
MOST_BRACKETS = 1_000_000
"""Brackets of one array: a hundred a row of the largest batch. Each costs most of a microsecond."""


def array_elements(body: Body, most: int) -> Sequence[Span]:
    """The elements of the JSON array ``body``. Raises BadRequest, with the place, for what is no array or breaks off,
    and TooLarge beyond ``most`` elements."""
    at = _after_space(body, _begin(body))
    if body[at : at + 1] != b"[":
        raise _no_array(body, at)
    found: list[Span] = []
    brackets = MOST_BRACKETS
    at = _after_space(body, at + 1)
    if body[at : at + 1] == b"]":
        return _ended(body, at, found)
    while True:
        end, brackets = _end_of_element(body, at, brackets)
        found.append((at, end))
        if len(found) > most:
            raise too_many(most)
        at = _after_space(body, end)
        mark = body[at : at + 1]
        if mark == b"]":
            return _ended(body, at, found)
        if mark != b",":
            raise _broken(body, at)
        at = _after_space(body, at + 1)


def split_lines(body: Body, most: int) -> Sequence[Span]:
    """The lines of ``body`` that are not blank. Raises TooLarge beyond ``most``."""
    found: list[Span] = []
    at, length = _begin(body), len(body)
    while at < length:
        end = body.find(b"\n", at)
        end = length if end < 0 else end
        start = _after_space(body, at)
        if start < end:
            found.append((start, end))
            if len(found) > most:
                raise too_many(most)
            at = end + 1
        else:
            at = max(start, end + 1)  # blank lines, however many, in one step
    return found


def too_many(most: int) -> TooLarge:
    """Return the error of a batch with too many rows."""
    return TooLarge(f"一批最多 {most} 行，请分成几批", f"a batch has at most {most} rows; send it in several")


def _begin(body: Body) -> int:
    return len(_MARK) if body[: len(_MARK)] == _MARK else 0


def _after_space(body: Body, at: int) -> int:
    found = _SPACE.match(body, at)
    assert found is not None, "nothing at all is white space enough"
    return found.end()


def _end_of_element(body: Body, at: int, brackets: int) -> tuple[int, int]:
    """Where the element ends, and how many of the ``brackets`` allowed are left."""
    if body[at : at + 1] not in (b"[", b"{"):
        scalar = _SCALAR.match(body, at)
        if scalar is None:
            raise _broken(body, at)
        return scalar.end(), brackets
    depth, end = 1, at + 1
    while depth:
        bracket = _NEXT_BRACKET.match(body, end)
        if bracket is None:
            raise _broken(body, len(body))
        end = bracket.end()
        depth += 1 if body[end - 1] in _OPENING else -1
        brackets -= 1
        if brackets < 0:
            raise TooLarge(
                f"一批 JSON 中的括号超过 {MOST_BRACKETS} 个，请分成几批",
                f"the batch holds more than {MOST_BRACKETS} brackets; send it in several",
            )
    return end, brackets


def _ended(body: Body, at: int, found: list[Span]) -> list[Span]:
    after = _after_space(body, at + 1)
    if after < len(body):
        raise _broken(body, after)
    return found


def _no_array(body: Body, at: int) -> BadRequest:
    if body[at : at + 1] == b"{":
        return BadRequest(
            "应为 JSON 数组 [ {…}, {…} ]；逐行的 JSON 请用 application/x-ndjson",
            "must be a JSON array [ {…}, {…} ]; for one object a line send application/x-ndjson",
        )
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        return BadRequest("JSON 应为 UTF-8 编码", "JSON must be UTF-8")
    return _broken(body, at)


def _broken(body: Body, at: int) -> BadRequest:
    begin = body.rfind(b"\n", 0, at) + 1
    line, column = _count_lines(body, begin) + 1, at - begin + 1
    return BadRequest(
        f"不是合法的 JSON 数组（第 {line} 行第 {column} 字节）", f"not a valid JSON array (line {line} byte {column})"
    )


def _count_lines(body: Body, end: int) -> int:
    count, at = 0, body.find(b"\n", 0, end)
    while at >= 0:
        count, at = count + 1, body.find(b"\n", at + 1, end)
    return count
