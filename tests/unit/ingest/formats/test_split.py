"""Bodies of many documents taken apart without being read: the same elements as a parser finds, and no memory spent."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequest, TooLarge
from ingest.formats.split import array_elements, split_lines

MOST = 100
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def parts(body: bytes, most: int = MOST) -> list[bytes]:
    return [body[begin:end] for begin, end in array_elements(body, most)]


@given(
    st.lists(VALUES, max_size=8),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from([b"", b"\xef\xbb\xbf", b" \r\n"]),
)
def test_an_array_is_split_into_the_elements_a_parser_finds(
    values: list[Any], indent: int | None, ascii_only: bool, before: bytes
) -> None:
    body = before + json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + b" \n"
    assert [json.loads(part.decode("utf-8", "surrogatepass")) for part in parts(body)] == values


@given(st.binary(max_size=60) | st.text(alphabet='[]{},:"\\ 1a\n', max_size=40).map(str.encode))
def test_any_bytes_at_all_are_an_array_or_refused(body: bytes) -> None:
    try:
        found = parts(body)
    except (BadRequest, TooLarge):
        return
    assert all(part == part.strip() != b"" for part in found)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "line 1 byte 1"), (b"nope", "line 1 byte 1"), (b"[", "line 1 byte 2"), (b"[1,", "line 1 byte 4"),
        (b"[1,]", "line 1 byte 4"), (b"[,1]", "line 1 byte 2"), (b"[1 2]", "line 1 byte 4"), (b"[1]x", "line 1 byte 4"),
        (b'[\n{"a": 1},\n{"b": "]', "line 3 byte 9"), (b"[" * 100_000, "line 1 byte 100001"),
    ],
)  # fmt: skip
def test_what_is_no_array_is_refused_with_the_place(body: bytes, place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parts(body)
    assert place in caught.value.message.en


def test_a_broken_element_is_an_element_all_the_same() -> None:
    assert parts(b'[{"a": }, nope, {"b": 1}]') == [b'{"a": }', b"nope", b'{"b": 1}']


def test_one_element_too_many_is_refused_as_soon_as_it_is_met() -> None:
    assert len(parts(b"[" + b"1," * (MOST - 1) + b"1]")) == MOST
    with pytest.raises(TooLarge, match="at most 100 rows"):
        parts(b"[" + b"1," * MOST + b"1]")
    with pytest.raises(TooLarge, match="at most 100 rows"):
        split_lines(b"{}\n" * (MOST + 1), MOST)


def test_lines_are_those_that_are_not_blank() -> None:
    body = b"\xef\xbb\xbf\n  {} \r\n\r\n \t\n[]\n\nlast"
    assert [body[begin:end] for begin, end in split_lines(body, MOST)] == [b"{} \r", b"[]", b"last"]


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 3_000_000 + b"{}]",
        b"[[" + b"[]," * 3_000_000 + b"[]]]",
        b'["' + b"\\n" * 5_000_000 + b'"]',
        b"[" * 9_000_000,
    ],
    ids=["many objects", "many in one", "a long text", "depth"],
)
def test_what_is_made_to_burst_costs_next_to_no_memory(body: bytes) -> None:
    assert len(body) >= 9_000_000
    tracemalloc.start()
    with suppress(BadRequest, TooLarge):
        array_elements(body, 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_blank_lines_without_end_are_passed_over_at_once() -> None:
    assert split_lines(b"\n" * 5_000_000, MOST) == []
