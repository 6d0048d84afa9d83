"""A batch pushed at once: a JSON array, or NDJSON. Each row is answered by itself; a bad one is kept as a reject."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from app.domain.errors import BadRequest, DubanError, FieldProblem, Invalid, TooLarge
from app.runtime import Runtime
from app.services.rejects import Place
from ingest.chunks import Door, Fate, Line, Tally, take_in
from ingest.garbage import held_off
from ingest.problems import problem
from ingest.schema import TicketIn, parse_json, validate_ticket

MOST_ROWS = 10_000
MOST_BYTES = 32 * 1024 * 1024
NDJSON = "application/x-ndjson"
JSON = "application/json"
CHUNK = 2_500
"""Rows of one transaction: a push that comes meanwhile waits for one of them, not for the whole batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a batch: the tally, and the fate of each row in its order."""

    tally: Tally
    fates: Sequence[Fate]

    def view(self, lang: str) -> dict[str, Any]:
        """The answer of the contract, its messages in ``lang``."""
        return {
            "created": self.tally.created,
            "unchanged": self.tally.unchanged,
            "rejected": self.tally.rejected,
            "results": [_result(index, fate, lang) for index, fate in enumerate(self.fates)],
        }


def _result(index: int, fate: Fate, lang: str) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index, "status": fate.status}
    if fate.ticket_id is not None:
        found["id"] = fate.ticket_id
    if fate.errors:
        found["errors"] = [{"pointer": p.pointer, "detail": p.text(lang)} for p in fate.errors]
    return found


def take_batch(
    runtime: Runtime, body: bytes, kind: str, source_code: str, source_id: int, actor: str, now: datetime
) -> Batch:
    """Take in the batch ``body`` of media type ``kind``, from one source.

    Blocks. Raises BadRequest for what is no JSON array (with its place; a broken line of NDJSON is a reject instead)
    and TooLarge beyond ``MOST_ROWS`` rows, before anything is stored.
    """
    door = Door(Place("batch", source_id), source_code, actor)
    tally = Tally()
    fates: list[Fate] = []
    with held_off():
        rows = _rows(body, kind)
        for start in range(0, len(rows), CHUNK):
            lines = [_line(number, raw, now) for number, raw in enumerate(rows[start : start + CHUNK], start + 1)]
            for _, done in take_in(runtime, door, lines, now):
                tally = tally.count(done)
                fates += done
    return Batch(tally, fates)


def _rows(body: bytes, kind: str) -> list[Any]:
    rows = list(_ndjson_lines(body)) if kind == NDJSON else _array(body)
    if len(rows) > MOST_ROWS:
        raise TooLarge(
            f"一批最多 {MOST_ROWS} 行，现有 {len(rows)} 行", f"a batch has at most {MOST_ROWS} rows, not {len(rows)}"
        )
    return rows


def _ndjson_lines(body: bytes) -> Iterator[bytes]:
    text = body.removeprefix(b"\xef\xbb\xbf")
    return (line for line in text.split(b"\n") if line.strip())


def _array(body: bytes) -> list[Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = parse_json(body)  # reads what the fast one does not (lone surrogates), and names the place else
    if not isinstance(found, list):
        raise BadRequest(
            "应为 JSON 数组 [ {…}, {…} ]；逐行的 JSON 请用 application/x-ndjson",
            "must be a JSON array [ {…}, {…} ]; for one object a line send application/x-ndjson",
        )
    return found


def _line(number: int, raw: Any, now: datetime) -> Line:
    """One row: an element of the array, or a line of NDJSON as bytes."""
    ticket: TicketIn | None = None
    errors: Sequence[FieldProblem] = ()
    try:
        if isinstance(raw, bytes | dict):
            ticket = validate_ticket(raw, now=now)
        else:
            errors = (problem("model_type"),)
    except Invalid as error:
        errors = error.problems
    except DubanError as error:
        errors = (FieldProblem("", error.zh, error.en, "json_invalid"),)
    return Line(number, ticket, errors, lambda: raw_of(raw))


def raw_of(raw: Any) -> str:
    """A row as text that any database can keep: what is no text stands escaped."""
    if isinstance(raw, bytes):
        return raw.strip().decode("utf-8", "backslashreplace").replace("\0", "\\u0000")
    try:
        return orjson.dumps(raw).decode()
    except (orjson.JSONEncodeError, TypeError):
        return _patiently(raw)  # lone surrogates, numbers of more than 64 bits, deep nesting


def _patiently(raw: Any) -> str:
    try:
        return json.dumps(raw)
    except (ValueError, TypeError, RecursionError):
        return str(raw).encode("utf-8", "backslashreplace").decode()
