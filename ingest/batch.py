"""A batch pushed at once: a JSON array, or NDJSON. Each row is answered by itself; a bad one is kept as a reject.

The body is split first (``ingest.splitting``), so that what is no batch is refused before anything is stored; then it is
read a chunk of rows at a time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from app.domain.errors import Busy, DubanError, FieldProblem, Invalid
from app.runtime import Runtime
from app.services.rejects import Place
from ingest.ahead import ahead
from ingest.chunks import Door, Fate, Line, Tally, take_in
from ingest.garbage import held_off
from ingest.schema import TICKET_BYTES, validate_ticket
from ingest.splitting import Body, Span, array_elements, split_lines

MOST_ROWS = 10_000
MOST_BYTES = 32 * 1024 * 1024
NDJSON = "application/x-ndjson"
JSON = "application/json"
CHUNK = 2_500
"""Rows of one transaction: a push that comes meanwhile waits for one of them, not for the whole batch."""
AT_ONCE, IN_LINE = 2, 30
"""Batches of one process that are taken in at a time, and that may wait; beyond, 503. Waiting ones are on disk."""


class Batches:
    """Who may take a batch in now. To be used from one event loop."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._there = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[asyncio.Semaphore]:
        """A place in the line; what is given is to be held while the batch is taken in. Raises Busy where the line is
        full."""
        if self._there >= AT_ONCE + IN_LINE:
            raise Busy(
                "正在接收的批次过多，请稍后重试", "too many batches are being taken in, try again", retry_after=5
            )
        self._there += 1
        try:
            yield self._slots
        finally:
            self._there -= 1


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
    runtime: Runtime, body: Body, kind: str, source_code: str, source_id: int, actor: str, now: datetime
) -> Batch:
    """Take in the batch ``body`` of media type ``kind``, from one source.

    Blocks. Raises BadRequest for what is no JSON array, with its place, and TooLarge beyond ``MOST_ROWS`` rows, before
    anything is stored; a row that is no JSON is a reject.
    """
    door = Door(Place("batch", source_id), source_code, actor)
    tally = Tally()
    fates: list[Fate] = []
    spans = (split_lines if kind == NDJSON else array_elements)(body, MOST_ROWS)
    with held_off(), ahead(_chunks(body, spans, now)) as chunks:
        for chunk in chunks:
            for _, done in take_in(runtime, door, chunk, now):
                tally = tally.count(done)
                fates += done
    return Batch(tally, fates)


def _chunks(body: Body, spans: Sequence[Span], now: datetime) -> Iterator[list[Line]]:
    for start in range(0, len(spans), CHUNK):
        part = enumerate(spans[start : start + CHUNK], start + 1)
        yield [_line(number, body, span, now) for number, span in part]


def _line(number: int, body: Body, span: Span, now: datetime) -> Line:
    begin, end = span
    if end - begin > TICKET_BYTES:
        longest = f"{TICKET_BYTES // 1024} KiB"
        too_long = FieldProblem("", f"一行最多 {longest}", f"a row has at most {longest}", "record_too_long")
        kept, left_out = body[begin : begin + TICKET_BYTES], end - begin - TICKET_BYTES
        return Line(number, None, (too_long,), lambda: f"{raw_of(kept)}… (+{left_out})")
    raw = body[begin:end]
    try:
        return Line(number, validate_ticket(raw, now=now), (), lambda: raw_of(raw))
    except Invalid as error:
        return Line(number, None, error.problems, lambda: raw_of(raw))
    except DubanError as error:
        unreadable = FieldProblem("", error.zh, error.en, "json_invalid")
        return Line(number, None, (unreadable,), lambda: raw_of(raw))


def raw_of(raw: Any) -> str:
    """A row (bytes, or an object already read) as text that any database can keep: what is no text stands escaped."""
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
