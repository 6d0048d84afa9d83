"""A batch pushed at once: a JSON array, or NDJSON. Each row is answered by itself; a bad one is kept as a reject.

The body is split first (``ingest.formats.split``), so that what is no batch is refused before anything is stored; then it is
read a chunk of rows at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.errors import Busy
from app.runtime import Runtime
from app.services.intake.rejects import RejectOrigin
from ingest.formats.split import Body, array_elements, split_lines
from ingest.rows.ahead import ahead
from ingest.rows.garbage import gc_paused
from ingest.rows.prepare import IngestContext, RowOutcome
from ingest.rows.row import batch_chunks
from ingest.rows.write import RowCounts, commit_rows, prepare_chunks

MOST_ROWS = 10_000
MOST_BYTES = 32 * 1024 * 1024
NDJSON = "application/x-ndjson"
JSON = "application/json"
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
class BatchResult:
    """What became of a batch: the tally, and the fate of each row in its order."""

    tally: RowCounts
    fates: Sequence[RowOutcome]

    def view(self, lang: str) -> dict[str, Any]:
        """The answer of the contract, its messages in ``lang``."""
        return {
            "created": self.tally.created,
            "unchanged": self.tally.unchanged,
            "rejected": self.tally.rejected,
            "results": [_result(index, fate, lang) for index, fate in enumerate(self.fates)],
        }


def _result(index: int, fate: RowOutcome, lang: str) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index, "status": fate.status}
    if fate.ticket_id is not None:
        found["id"] = fate.ticket_id
    if fate.errors:
        found["errors"] = [{"pointer": p.pointer, "detail": p.text(lang)} for p in fate.errors]
    return found


def import_batch(
    runtime: Runtime, body: Body, kind: str, source_code: str, source_id: int, actor: str, now: datetime
) -> BatchResult:
    """Take in the batch ``body`` of media type ``kind``, from one source.

    Blocks. Raises BadRequest for what is no JSON array, with its place, and TooLarge beyond ``MOST_ROWS`` rows, before
    anything is stored; a row that is no JSON is a reject.
    """
    door = IngestContext(RejectOrigin("batch", source_id), source_code, actor)
    tally = RowCounts()
    fates: list[RowOutcome] = []
    spans = (split_lines if kind == NDJSON else array_elements)(body, MOST_ROWS)
    with gc_paused(), ahead(prepare_chunks(runtime, door, batch_chunks(body, spans, now), now)) as parts:
        for part, _ in parts:
            for _, done in commit_rows(runtime, part):
                tally = tally.count(done)
                fates += done
    return BatchResult(tally, fates)
