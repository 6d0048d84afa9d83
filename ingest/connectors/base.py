"""What a connector is: a protocol of pulled sources, reading pages of records or whole files.

A protocol is one module of this package with one subclass of ``PageConnector`` or ``FileConnector``; its ``name`` is the
``kind`` of its feeds, and ``spec_type`` their specification with what the protocol adds or requires.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from app.errors import Invalid
from ingest.connectors.http import Upstream, plain_text
from ingest.connectors.spec import FeedSpec, HttpSpec

Position = dict[str, Any]
"""Where to go on: a small JSON object that is committed with the page that led to it."""
Record = Any
"""What the upstream gives as one record: an object, or whatever else it sends in its place."""
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Page:
    """The records of one page, and the position once they are stored. ``unsettled``: a span before that position which
    changed each time it was read; something in it may have been missed."""

    records: list[Record]
    position: Position
    unsettled: Span | None = None


def no_list() -> Invalid:
    """The error for a feed that cannot be reconciled."""
    return Invalid.at("/reconcile", "该接入源没有配置对账清单", "this feed has no list to compare with ([reconcile])")


class Connector(ABC):
    """One protocol. ``lists_ids``: every upstream of it lists the ids of a day; else [reconcile] says how.
    ``reads_this_machine``: its feeds are added on the command line only."""

    name: ClassVar[str]
    spec_type: ClassVar[type[FeedSpec]]
    lists_ids: ClassVar[bool] = False
    reads_this_machine: ClassVar[bool] = False


class PageConnector(Connector):
    """Reads records over HTTP, page by page."""

    spec_type: ClassVar[type[FeedSpec]] = HttpSpec

    def __init__(self, spec: FeedSpec, upstream: Upstream, widen: timedelta = timedelta(0)) -> None:
        """``widen``: read so much further back than the overlap, since the upstream's clock is off by that."""
        self.spec = spec
        self.upstream = upstream
        self.widen = widen

    @staticmethod
    def explain(body: bytes) -> str:
        """The message of an error response."""
        return plain_text(body)

    @abstractmethod
    def pages(self, position: Position, now: datetime) -> Iterator[Page]:
        """Every page from ``position`` to the upstream's end as of ``now``; the next is requested once the caller has
        stored one. Raises ``UpstreamError``."""

    def one(self, external_id: str) -> Record | None:
        """The record of one id, for reconciliation; None where the upstream has none. Raises ``UpstreamError``, and
        ``Invalid`` where the feed cannot be reconciled."""
        raise no_list()

    def ids_between(self, since: datetime, until: datetime) -> list[str]:
        """The upstream's own list of the ids of a local day, from ``since`` to ``until``. Raises as ``one``."""
        raise no_list()


class FileConnector(Connector):
    """Reads whole files, each imported by a mapping profile."""

    profile: str
    """Name of the mapping profile."""
    live: bool
    """Whether open tickets of the files are supervised from now on."""

    @abstractmethod
    def __init__(self, spec: FeedSpec) -> None: ...

    @abstractmethod
    def files(self, now: datetime) -> Iterator[Path]:
        """The complete files to import, the oldest first. Raises ``Invalid`` where there is no such place."""

    @abstractmethod
    def finish(self, path: Path, now: datetime, *, failed: bool) -> None:
        """Put a file away so that it is not read again: imported, or ``failed``."""
