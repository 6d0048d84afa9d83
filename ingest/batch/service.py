"""Batch push: a JSON array or NDJSON. Each row has its own result; an invalid row is stored as a reject.

The body is split first (``ingest.formats.split``), so that a malformed batch is refused before anything is stored; then
it is imported in chunks of rows.
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

MAX_ROWS = 10_000
MAX_BYTES = 32 * 1024 * 1024
NDJSON = "application/x-ndjson"
JSON = "application/json"
MAX_RUNNING, MAX_WAITING = 2, 30
"""Concurrent and waiting batches per process; more are answered 503. The bodies of waiting batches are on disk."""


class Batches:
    """Admission control for batches. Use it from one event loop only."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MAX_RUNNING)
        self._admitted = 0

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[asyncio.Semaphore]:
        """Enter the queue; hold the yielded semaphore while the batch is imported. Raises Busy where the queue is
        full."""
        if self._admitted >= MAX_RUNNING + MAX_WAITING:
            raise Busy("正在接收的批次过多，请稍后重试", "too many batches in progress, try again later", retry_after=5)
        self._admitted += 1
        try:
            yield self._slots
        finally:
            self._admitted -= 1


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a batch: the counts, and the outcome of each row in order."""

    counts: RowCounts
    outcomes: Sequence[RowOutcome]

    def view(self, lang: str) -> dict[str, Any]:
        """Return the response body of the contract, with messages in ``lang``."""
        return {
            "created": self.counts.created,
            "unchanged": self.counts.unchanged,
            "rejected": self.counts.rejected,
            "results": [_result(index, outcome, lang) for index, outcome in enumerate(self.outcomes)],
        }


def _result(index: int, outcome: RowOutcome, lang: str) -> dict[str, Any]:
    result: dict[str, Any] = {"index": index, "status": outcome.status}
    if outcome.ticket_id is not None:
        result["id"] = outcome.ticket_id
    if outcome.errors:
        result["errors"] = [{"pointer": p.pointer, "detail": p.text(lang)} for p in outcome.errors]
    return result


def import_batch(
    runtime: Runtime, body: Body, kind: str, source_code: str, source_id: int, actor: str, now: datetime
) -> BatchResult:
    """Import the batch ``body`` of media type ``kind`` from one source. Blocking.

    Raises BadRequest, with the position, where the body is not a JSON array, and TooLarge beyond ``MAX_ROWS`` rows,
    before anything is stored. A row that is not valid JSON is a reject.
    """
    context = IngestContext(RejectOrigin("batch", source_id), source_code, actor)
    counts = RowCounts()
    outcomes: list[RowOutcome] = []
    spans = (split_lines if kind == NDJSON else array_elements)(body, MAX_ROWS)
    with gc_paused(), ahead(prepare_chunks(runtime, context, batch_chunks(body, spans, now), now)) as chunks:
        for chunk, _ in chunks:
            for _, outcomes_of_chunk in commit_rows(runtime, chunk):
                counts = counts.count(outcomes_of_chunk)
                outcomes += outcomes_of_chunk
    return BatchResult(counts, outcomes)
