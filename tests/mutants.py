"""Requests that chance has spoilt: JSON with numbers, texts and nesting that no document should have, said twice, in another
encoding, cut off, under another name; for whoever wants to see what a door makes of it."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import strategies as st

JSON = "application/json"
ODD = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0.0", "1e-400", "9223372036854775807", "9223372036854775808",
    "-9223372036854775809", "18446744073709551616", "1" + "0" * 400, "9" * 5_000, "0.1", "1.0", "-1", "0", "01", "0x1",
    "null", "true", "false", "[]", "{}", "[[]]", '[{"a": []}]', '""', '" "', '"\\ud800"', '"\\udfff\\ud800"', '"a\\u0000b"',
    '"\\u202e\\ufeff"', '"\\"', "'x'", '"x', "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, "[" * 60_000,
    '"' + "长" * 12_000 + '"', '"9999-12-31T23:59:59Z"', '"0001-01-01T00:00:00+14:00"', '"2026-02-30T25:61:00Z"', '"2026-01-01"',
    '"2026-01-01T00:00:00+99:99"', '"24:00"', '"2026-13"', '"2026-W60"', '"../../etc/passwd"', "\"' OR 1=1 --\"", '"{{7*7}}"',
    '"%00"', '"=1+1"', '"mon"', '"GA"', "1", "2", "5", "400", "100000", '{"mon": [["09:00", "08:00"]]}', '[["24:00", "24:00"]]',
)  # fmt: skip
"""What may stand where something else should."""
KINDS = (
    None, "", "text/plain", "application/xml", "application/x-ndjson", "application/toml", "text/calendar", "text/csv",
    "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=XX", "application/octet-stream",
    "application/x-www-form-urlencoded", "application/json; charset=utf-16", "application/merge-patch+json", "json", "/", ";",
    "application/json, application/json", "APPLICATION/JSON;q=é", "a" * 300,
)  # fmt: skip
"""What it may be called."""
HEADERS = (
    ("Content-Encoding", "gzip"), ("Content-Encoding", "br"), ("Content-Encoding", "identity"), ("Expect", "100-continue"),
    ("Idempotency-Key", "x" * 5_000), ("Idempotency-Key", "é"), ("Idempotency-Key", "k"), ("Range", "bytes=0-"),
    ("If-Match", '"1"'), ("If-Match", "*"), ("If-Match", '"9' + "9" * 400 + '"'), ("If-Match", "W/x"),
    ("Accept-Language", "\xff"), ("Accept", "application/toml"), ("Cookie", "duban_session=\xff; ;;=;"),
    ("Authorization", "Bearer"), ("Authorization", "Basic \xff"), ("X-HTTP-Method-Override", "DELETE"),
)  # fmt: skip
"""What may be said besides."""


@cache
def bomb() -> bytes:
    """A body of 64 MiB in as many kilobytes."""
    return gzip.compress(b'{"title": "' + b"x" * 2**26 + b'"}')


def written(value: Any, odd: dict[int, str], twice: set[int]) -> str:
    """``value`` as JSON whose n-th value is ``odd[n]``, and whose n-th object says its members ``twice``."""
    count = 0

    def write(one: Any) -> str:
        nonlocal count
        number, count = count, count + 1
        if number in odd:
            return odd[number]
        if isinstance(one, dict):
            members = [f"{json.dumps(name)}: {write(inner)}" for name, inner in one.items()]
            return "{" + ", ".join(members * (2 if number in twice else 1)) + "}"
        if isinstance(one, list):
            return "[" + ", ".join(map(write, one)) + "]"
        return json.dumps(one)

    return write(value)


def size_of(value: Any) -> int:
    """How many values ``value`` is, itself among them."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(size_of, inner))


@dataclass(frozen=True, slots=True)
class Sent:
    """A body, what it is called, and what is said besides."""

    body: bytes
    kind: str | None = JSON
    headers: dict[str, str] = field(default_factory=dict)


@st.composite
def bodies(draw: st.DrawFn, good: Any, kind: str) -> Sent:
    """``good``, a document of ``kind`` or its text, spoilt."""
    if isinstance(good, str):
        text = draw(lines(good))
    else:
        places = st.integers(0, size_of(good) - 1)
        odd = draw(st.dictionaries(places, st.sampled_from(ODD), max_size=draw(st.integers(0, 2))))
        if isinstance(good, dict) and draw(st.integers(0, 5)) == 0:
            good = {**good, draw(st.sampled_from(["", "id", "\0", "$ref", "version", "at", "note", "名"])): 1}
        text = written(good, odd, draw(st.sets(places, max_size=draw(st.integers(0, 1)))))
    return draw(spoilt(text, kind))


@st.composite
def lines(draw: st.DrawFn, text: str) -> str:
    """A text of lines, as TOML and calendars are, one of them with another value, said twice or left out."""
    found = text.splitlines(keepends=True)
    at = draw(st.integers(0, max(0, len(found) - 1)))
    match draw(st.integers(0, 4)):
        case 0 if found:
            name, mark, _ = found[at].partition(draw(st.sampled_from(["=", ":", ","])))
            found[at] = f"{name}{mark}{draw(st.sampled_from((*ODD, 'nan', '-inf', '2026-01-01', '[[x]]')))}\n"
        case 1 if found:
            found[at] *= draw(st.sampled_from([0, 2, 300]))
        case 2:
            found.insert(
                at,
                draw(
                    st.sampled_from(
                        ["[a.b]\n", "[[policy]]\n", "x = 1\n", '"\\u0000" = 1\n', "\x85\u2028", "END:VCALENDAR\n"]
                    )
                ),
            )
    return "".join(found)


@st.composite
def spoilt(draw: st.DrawFn, text: str, kind: str) -> Sent:
    """``text`` as bytes, often as they should be, and else cut, torn, or in another encoding; under this or another name."""
    body = text.encode("utf-8", "surrogatepass")
    match draw(st.integers(0, 14)):
        case 0:
            body = body[: draw(st.integers(0, len(body)))]
        case 1:
            at = draw(st.integers(0, len(body)))
            torn = draw(
                st.sampled_from(
                    [b"\xff", b"\0", b"\xed\xa0\x80", b"\xc0\x80", b"\r", b'"', b"}", b"\n\n", b"\x1b", b"="]
                )
            )
            body = body[:at] + torn + body[at:]
        case 2:
            body = draw(
                st.sampled_from(
                    [b"\xef\xbb\xbf" + body, text.encode("utf-16", "surrogatepass"), body + body, b"", b" "]
                )
            )
        case 3:
            body = draw(st.binary(max_size=60))
        case 4:
            return Sent(draw(st.sampled_from([gzip.compress(body), bomb()])), kind, {"Content-Encoding": "gzip"})
    besides = dict(draw(st.lists(st.sampled_from(HEADERS), max_size=1)))
    return Sent(body, draw(st.one_of(st.just(kind), st.just(kind), st.sampled_from(KINDS))), besides)
