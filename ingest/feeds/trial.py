"""Try a feed before it is stored: request and parse its first page without storing anything; locate errors in its TOML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app import clock
from app.errors import FieldProblem
from ingest.connectors.http import RequestPace
from ingest.connectors.registry import connected
from ingest.connectors.spec import FeedSpec
from ingest.feeds.records import RecordReader, UpstreamRecord

SHOWN = 10
PATIENCE = {"attempts": 1, "connect_seconds": 5.0, "read_seconds": 15.0, "total_seconds": 20.0}
"""Limits of a trial, since a user waits for it."""
_TABLE = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"^\s*((?:\"[^\"]*\"|[\w-]+)(?:\s*\.\s*(?:\"[^\"]*\"|[\w-]+))*)\s*=")


@dataclass(frozen=True, slots=True)
class FeedTrial:
    """The first page: its number of records, the first of them parsed, and how many are refused."""

    records: int
    first: Sequence[UpstreamRecord]
    refused: int


def try_feed(spec: FeedSpec, now: datetime) -> FeedTrial:
    """Request the first page of the feed's upstream and parse it by its mapping. Blocking, twenty seconds at most.

    Nothing is stored and no cursor moves. Raises ``UpstreamError``, and ``Conflict`` where its secret is missing.
    """
    spec = spec.model_copy(update={"limits": spec.limits.model_copy(update=PATIENCE)})
    with connected(spec, RequestPace(clock.now), quote=True) as source:
        page = next(iter(source.pages({}, now)), None)
    records = page.records if page is not None else []
    upstream_records = RecordReader(spec).page(records, now)
    return FeedTrial(len(records), upstream_records[:SHOWN], sum(one.ticket is None for one in upstream_records))


def line_of(text: str, problem: FieldProblem) -> int | None:
    """Return the line of the TOML ``text``, from 1, that the pointer of ``problem`` refers to, or that of its table; None
    where there is none."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in problem.pointer.split("/")[1:]]
    found: tuple[int, int] | None = None
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            path = table = _parts(header[1])
        elif key := _KEY.match(line):
            path = [*table, *_parts(key[1])]
        else:
            continue
        if path and path == steps[: len(path)] and (found is None or len(path) > found[0]):
            found = (len(path), number)
    return found[1] if found else None


def _parts(dotted: str) -> list[str]:
    return [quoted or plain for quoted, plain in re.findall(r"\"([^\"]*)\"|([\w-]+)", dotted)]
