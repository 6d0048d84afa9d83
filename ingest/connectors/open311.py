"""A client of Open311 GeoReport v2: services, requests, tokens and errors, in XML and in JSON.

XML is parsed without document types, so no entity can swell or reach outside; JSON answers come as an array or wrapped
in an object. A span that holds as many requests as a server gives at most is cut off there: it is halved and asked
for again. GeoReport finds requests by the day they were made, in spans of 90 days at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import model_validator

from app.validation import objection
from ingest.connectors.base import Page, PageConnector, Position, Record
from ingest.connectors.http import UnreadableBody, Upstream, UpstreamError, plain_text
from ingest.connectors.rest import MOST_PARTS, RestSpec, read_json, spans, window_params
from ingest.connectors.spec import FeedSpec

DEPTH = 20
SHORTEST = timedelta(seconds=1)
ROUND = frozenset({50, 100, 200, 250, 500, 1000})
"""So many rows are taken for a server's own limit, whether or not it is known to have one: its halves are asked for too,
which costs two requests where it was chance."""
_LISTS = frozenset({"services", "service_requests", "requests", "errors", "attributes", "values", "endpoints",
                    "formats", "notes"})  # fmt: skip
_ITEMS = frozenset({"service", "request", "error", "attribute", "value", "endpoint", "format", "note"})


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of request that the server takes."""

    code: str
    name: str
    group: str | None
    description: str | None
    has_definition: bool


@dataclass(frozen=True, slots=True)
class GeoReportError:
    """One error in the format of GeoReport."""

    code: str
    description: str


def read_document(body: bytes) -> Any:
    """An answer as plain objects and lists, whichever of the two encodings it came in. Raises ``UnreadableBody``."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start != b"<":
        return read_json(body)
    if body.count(b"<") > 2 * MOST_PARTS:
        raise UnreadableBody(f"more than {MOST_PARTS} elements")
    try:
        root = fromstring(body.lstrip(b" \t\r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UnreadableBody(f"not acceptable XML: {str(error)[:120]}") from error
    return _plain(root, DEPTH)


def _plain(element: Element, levels: int) -> Any:
    if levels == 0:
        raise UnreadableBody(f"XML nested deeper than {DEPTH} levels")
    children = list(element)
    tag = _tag(element)
    if not children:
        text = (element.text or "").strip()
        return [] if tag in _LISTS and not text else (text or None)
    if tag in _LISTS and all(_tag(child) in _ITEMS for child in children):
        return [_plain(child, levels - 1) for child in children]
    found: dict[str, Any] = {}
    for child in children:
        name, value = _tag(child), _plain(child, levels - 1)
        if name in found:
            before = found[name]
            found[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            found[name] = value
    return found


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def read_requests(body: bytes) -> list[Record]:
    """Return the requests of a response, each as an object; other elements are returned unchanged."""
    document = read_document(body)
    if isinstance(document, Mapping):
        for name in ("service_requests", "requests", "request"):
            if name in document:
                inner = document[name]
                return inner if isinstance(inner, list) else [inner]
        return [document] if "service_request_id" in document or "token" in document else _none(document)
    return document if isinstance(document, list) else _none(document)


def _none(document: Any) -> list[Record]:
    raise UnreadableBody("no list of requests")


def read_services(body: bytes) -> list[Service]:
    """The services of an answer. Raises ``UnreadableBody`` for what is none."""
    document = read_document(body)
    rows = document.get("services") if isinstance(document, Mapping) else document
    if not isinstance(rows, list):
        raise UnreadableBody("no list of services")
    return [
        Service(
            str(row["service_code"]),
            str(row.get("service_name") or row["service_code"]),
            row.get("group") or None,
            row.get("description") or None,
            str(row.get("metadata")).lower() == "true",
        )
        for row in rows
        if isinstance(row, Mapping) and row.get("service_code")
    ]


def read_errors(body: bytes) -> list[GeoReportError]:
    """The errors of an answer: a list of code and description, or a single text, as older servers have it."""
    document = read_document(body)
    rows = document.get("errors", [document]) if isinstance(document, Mapping) else document
    if not isinstance(rows, list):
        rows = [rows]
    return [
        GeoReportError(str(row.get("code") or ""), str(row.get("description") or ""))
        if isinstance(row, Mapping)
        else GeoReportError("", str(row))
        for row in rows
    ]


class Open311Spec(RestSpec):
    """A feed of ``kind = open311``."""

    @model_validator(mode="after")
    def _has_window(self) -> Open311Spec:
        if self.window is None:
            raise objection("kind = open311 须有 [window]", "kind = open311 needs [window]")
        return self


class Open311Feed(PageConnector):
    """Reads a feed of ``kind = open311``."""

    name = "open311"
    spec_type = Open311Spec
    lists_ids = True

    def __init__(self, spec: FeedSpec, upstream: Upstream, widen: timedelta = timedelta(0)) -> None:
        """As every ``PageConnector``."""
        super().__init__(spec, upstream, widen)
        self._groups: dict[str, str | None] | None = None

    @staticmethod
    def explain(body: bytes) -> str:
        """The message of an error response: GeoReport's list of errors, else the body as text."""
        try:
            errors = read_errors(body)
        except UnreadableBody:
            return plain_text(body)
        message = "; ".join(f"{error.code} {error.description}".strip() for error in errors)
        return message if any(error.description for error in errors) else plain_text(body)

    def services(self) -> list[Service]:
        """The services of the server."""
        return self.upstream.get(self._path("/services"), self._params(), read_services)

    def definition(self, service_code: str) -> Mapping[str, Any]:
        """What the server asks for besides, of one service."""

        def read(body: bytes) -> Mapping[str, Any]:
            found = read_document(body)
            if isinstance(found, list) and len(found) == 1:
                found = found[0]
            if not isinstance(found, Mapping):
                raise UnreadableBody("no service definition")
            return found

        return self.upstream.get(self._path(f"/services/{quote(service_code, safe='')}"), self._params(), read)

    def id_of_token(self, token: str) -> str | None:
        """The id of the request that a token was given for; None while it has none."""
        rows = self._found(f"/tokens/{quote(token, safe='')}")
        found = rows[0].get("service_request_id") if rows and isinstance(rows[0], Mapping) else None
        return str(found) if found else None

    def pages(self, position: Position, now: datetime) -> Iterator[Page]:
        """Every request made from ``position`` to ``now``, a span at a time. Raises ``UpstreamError``."""
        window = self.spec.window
        assert window is not None, "checked when the spec was read"
        back = timedelta(minutes=window.overlap_minutes)
        begun = {key: position[key] for key in ("since",) if key in position}
        for since, until in spans(window, begun, now, self.widen):
            for end, rows in self._parts(since, until):
                # Behind a part that does not reach to now the next begins at its own end, whatever the overlap.
                reached = end if end >= now else end + back
                yield Page([self._whole(row) for row in rows], {"since": reached.isoformat()})

    def one(self, external_id: str) -> Record | None:
        """The request of one id; None where the server has none."""
        rows = self._found(f"{self.spec.request.path}/{quote(external_id, safe='')}")
        return self._whole(rows[0]) if rows else None

    def _found(self, path: str) -> list[Record]:
        """The requests at ``path``; none where the server answers 404."""
        try:
            return self.upstream.get(self._path(path), self._params(), read_requests)
        except UpstreamError as error:
            if error.http == 404:
                return []
            raise

    def ids_between(self, since: datetime, until: datetime) -> list[str]:
        """The ids of the requests made in a span, for the reconciliation."""
        found = (self._whole(row) for _, rows in self._parts(since, until) for row in rows)
        ids = (
            str(row["service_request_id"])
            for row in found
            if isinstance(row, Mapping) and row.get("service_request_id")
        )
        return list(dict.fromkeys(ids))

    def _parts(
        self, since: datetime, until: datetime, rows: list[Record] | None = None
    ) -> Iterator[tuple[datetime, list[Record]]]:
        """The requests of a span, in one part or several, each with its end. What may have been cut off is halved; where
        the halves are no less than the whole, the server knows no finer times."""
        given = self._requests(since, until) if rows is None else rows
        if not self._is_cut(given, since, until):
            yield until, given
            return
        middle = since + (until - since) / 2
        first, second = self._requests(since, middle), self._requests(middle, until)
        if first == given == second:
            self._refuse_if_full(given)
            yield until, given
            return
        yield from self._parts(since, middle, first)
        yield from self._parts(middle, until, second)

    def _is_cut(self, rows: list[Record], since: datetime, until: datetime) -> bool:
        """Whether the server may have more of this span than it gave. Raises ``UpstreamError`` where it surely has, and
        the span cannot be halved any more."""
        if until - since > SHORTEST:
            return self._is_full(rows) or len(rows) in ROUND
        self._refuse_if_full(rows)
        return False

    def _is_full(self, rows: list[Record]) -> bool:
        window = self.spec.window
        return window is not None and window.most_rows is not None and len(rows) >= window.most_rows

    def _refuse_if_full(self, rows: list[Record]) -> None:
        if self._is_full(rows):
            raise UpstreamError(
                f"上游一次只给 {len(rows)} 件诉求，其余的无法取到",
                f"the upstream gives {len(rows)} requests at once, and there is no way to the others",
            )

    def _requests(self, since: datetime, until: datetime) -> list[Record]:
        window = self.spec.window
        assert window is not None, "checked when the spec was read"
        params = {**self._params(), **window_params(window, since, until)}
        return self.upstream.get(self._path(self.spec.request.path), params, read_requests)

    def _whole(self, row: Record) -> Record:
        """Return a request with its token resolved to an id, and with the group of its service."""
        if not isinstance(row, Mapping):
            return row
        found = dict(row)
        if not found.get("service_request_id") and found.get("token"):
            found["service_request_id"] = self.id_of_token(str(found["token"]))
        if self._groups is None:
            self._groups = {service.code: service.group for service in self.services()}
        group = self._groups.get(str(found.get("service_code") or ""))
        if group:
            found["service_group"] = group
        return found

    def _path(self, path: str) -> str:
        return f"{path}.{self.spec.request.encoding}"

    def _params(self) -> dict[str, str]:
        return {"jurisdiction_id": self.spec.jurisdiction} if self.spec.jurisdiction else {}
