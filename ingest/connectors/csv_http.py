"""The connector ``csv_http``: a CSV file at an HTTP address, read again whenever it has changed.

Every row of the file is a record, by the names of its header, and the feed's mapping reads it. The position holds the
validators of the last file that was stored whole (``ETag``, ``Last-Modified``); an upstream that gives neither is read
whole by each pull, which leaves known records unchanged.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime

from pydantic import model_validator

from app.errors import BadRequest
from app.validation import objection
from ingest.connectors.base import Page, PageConnector, Position, Record
from ingest.connectors.http import UnreadableBody
from ingest.connectors.spec import HttpSpec, Paging
from ingest.formats.delimited import DelimitedRows
from ingest.formats.encoding import ESCAPE, detect_encoding

PAGE = 500
"""Rows that are stored in one transaction."""


class CsvHttpSpec(HttpSpec):
    """A feed of ``kind = csv_http``: one file at ``base_url`` and ``request.path``."""

    @model_validator(mode="after")
    def _is_one_file(self) -> CsvHttpSpec:
        if self.window is not None or self.reconcile is not None or self.paging != Paging():
            raise objection(
                "kind = csv_http 是一个完整的文件，不能有 [paging]、[window] 或 [reconcile]",
                "kind = csv_http is one whole file: no [paging], [window] or [reconcile]",
            )
        return self


class CsvHttpFeed(PageConnector):
    """Reads a feed of ``kind = csv_http``."""

    name = "csv_http"
    spec_type = CsvHttpSpec

    def pages(self, position: Position, now: datetime) -> Iterator[Page]:
        """The rows of the file, if it has changed; ``position`` moves with the last of them. Raises ``UpstreamError``."""
        request = self.spec.request
        found = self.upstream.get_changed(request.path, {}, self._read, position)
        if found is None:
            return
        records, validators = found
        for end in range(PAGE, len(records), PAGE):
            yield Page(records[end - PAGE : end], position)
        yield Page(records[(len(records) - 1) // PAGE * PAGE :] if records else [], validators)

    def _read(self, body: bytes) -> list[Record]:
        """The rows of a file, each by the names of its header; one that does not fit the header as it was received.
        Raises ``UnreadableBody`` for a body without the column of the tickets' ids, such as an error page."""
        text = io.TextIOWrapper(io.BytesIO(body), detect_encoding(io.BytesIO(body)), ESCAPE, newline="")
        try:
            table = DelimitedRows(text)
        except BadRequest as error:
            raise UnreadableBody(error.message.en) from error
        columns = table.columns
        wanted = self.spec.profile().fields["external_id"].columns
        if not set(wanted) & set(columns):
            raise UnreadableBody(f"no column {' or '.join(wanted)} in the header")
        return [
            dict(zip(columns, row.cells, strict=True)) if row.fault is None else row.line or list(row.cells)
            for row in table.rows()
        ]
