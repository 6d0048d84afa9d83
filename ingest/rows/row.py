"""Input rows before any database access: read, mapped, validated and fingerprinted in chunks.

Apart from reading the file this is pure, and can run in a child process (``ingest.files.reader_process``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from app.domain.tickets.fields import LIFE, NODES
from app.errors import BadRequest, DubanError, FieldProblem, Invalid, TooLarge
from ingest.formats.base import raw_text, weight_of
from ingest.formats.split import Body, Span
from ingest.rows.mapper import CODE_LENGTH, fitting_code
from ingest.rows.ticket_in import TICKET_BYTES, HistoricalTicket, NewNode, TicketIn, fingerprint, validate_ticket
from ingest.rows.validate import MappedFile, MappedRow, map_rows

CHUNK = 2_500
"""Maximum rows of one transaction: enough to amortize the commit, few enough that a concurrent push waits about a tenth
of a second instead of for the whole file or batch."""
WEIGHT = 5 * 2**20
"""Approximate maximum bytes of rows of one transaction, which bounds memory for files with large rows. Up to three
chunks are in memory at a time (``ingest.rows.ahead``)."""
_LIFECYCLE_FIELDS = tuple(field.name for field in LIFE)
_NODES = tuple(field.name for field in NODES)


class InputRow(NamedTuple):
    """One input row: the parsed ticket or its validation errors.

    ``raw`` returns the whole row as text, for a reject. ``external_id`` is the identifier of a feed's record, where
    known. ``fingerprint`` is that of the ticket, where it has been computed already.
    """

    number: int
    ticket: TicketIn | None
    errors: Sequence[FieldProblem]
    raw: Callable[[], str]
    external_id: str | None = None
    fingerprint: str | None = None


class Chunk(NamedTuple):
    """Lines of one transaction, at least one; and how much of the file has been read by then, of how much."""

    rows: Sequence[InputRow]
    consumed: int = 0
    total: int = 0


# -- a file ------------------------------------------------------------------------------------------------------------


def file_chunks(file: MappedFile, now: datetime, *, after: int = 0, size: int = CHUNK) -> Iterator[Chunk]:
    """Yield the rows with numbers above ``after`` in chunks of at most ``size`` rows and about ``WEIGHT`` bytes.

    Where the file is damaged, the rows before the damage are yielded first; then BadRequest or TooLarge is raised.
    """
    rows = _file_rows(file, now, after)
    chunk: list[InputRow] = []
    weight_held = 0
    error_at_end: BadRequest | TooLarge | None = None
    while error_at_end is None:
        try:
            row, weight = next(rows, (None, 0))
        except (BadRequest, TooLarge) as error:
            row, weight, error_at_end = None, 0, error
        if row is not None:
            chunk.append(row)
            weight_held += weight
        if chunk and (row is None or len(chunk) == size or weight_held > WEIGHT):
            yield Chunk(chunk, file.file.consumed, file.file.total)
            chunk, weight_held = [], 0
        if row is None and error_at_end is None:
            return
    raise error_at_end


def _file_rows(file: MappedFile, now: datetime, after: int) -> Iterator[tuple[InputRow, int]]:
    columns = tuple(file.file.columns)
    for result in map_rows(file, now=now, after=after):
        source = result.row
        if isinstance(result, MappedRow):
            ticket = fitted(result.ticket)
            # The parsed cells are much larger than the line they were parsed from: keep the line where there is one.
            raw = partial(raw_text, source if source.line is None else source._replace(cells=()), columns)
            row = InputRow(source.number, ticket, (), raw, None, historical_fingerprint(ticket))
        else:
            row = InputRow(source.number, None, result.errors, partial(str, result.raw))
        yield row, weight_of(source)


# -- a batch -----------------------------------------------------------------------------------------------------------


def batch_chunks(body: Body, spans: Sequence[Span], now: datetime) -> Iterator[Chunk]:
    """Yield the rows of a batch, each a JSON document at one of ``spans``, numbered from 1."""
    for start in range(0, len(spans), CHUNK):
        part = enumerate(spans[start : start + CHUNK], start + 1)
        yield Chunk([_batch_row(number, body, span, now) for number, span in part])


def _batch_row(number: int, body: Body, span: Span, now: datetime) -> InputRow:
    begin, end = span
    if end - begin > TICKET_BYTES:
        longest = f"{TICKET_BYTES // 1024} KiB"
        too_long = FieldProblem("", f"一行最多 {longest}", f"a row has at most {longest}", "record_too_long")
        return InputRow(
            number,
            None,
            (too_long,),
            partial(_document, body[begin : begin + TICKET_BYTES], end - begin - TICKET_BYTES),
        )
    raw = body[begin:end]
    try:
        ticket = validate_ticket(raw, now=now)
    except Invalid as error:
        return InputRow(number, None, error.problems, partial(_document, raw))
    except DubanError as error:
        return InputRow(number, None, (FieldProblem("", *error.message, "json_invalid"),), partial(_document, raw))
    return InputRow(number, ticket, (), partial(_document, raw), None, fingerprint(ticket))


def _document(content: bytes, omitted_bytes: int = 0) -> str:
    return raw_of(content) + (f"… (+{omitted_bytes})" if omitted_bytes else "")


def raw_of(raw: Any) -> str:
    """Return a row (bytes or a parsed object) as text that any database can store; invalid characters are escaped."""
    if isinstance(raw, bytes):
        return raw.strip().decode("utf-8", "backslashreplace").replace("\0", "\\u0000")
    try:
        return orjson.dumps(raw).decode()
    except (orjson.JSONEncodeError, TypeError):
        return _lenient_json(raw)  # lone surrogates, numbers of more than 64 bits, deep nesting


def _lenient_json(raw: Any) -> str:
    try:
        return json.dumps(raw)
    except (ValueError, TypeError, RecursionError):
        return str(raw).encode("utf-8", "backslashreplace").decode()


# -- fingerprints ------------------------------------------------------------------------------------------------------


def fitted(ticket: HistoricalTicket) -> HistoricalTicket:
    """Return the ticket with node codes of at most ``CODE_LENGTH`` characters: a file may give a long name as a unit."""
    values = ticket.__dict__
    changes: dict[str, Any] = {}
    for name in _NODES:
        code = values[name]
        if code is not None and len(code) > CODE_LENGTH and not values[f"{name}_path"]:
            changes[name] = fitting_code(code)
            changes[f"{name}_path"] = (NewNode(fitting_code(code), code),)
    return ticket.model_copy(update=changes) if changes else ticket


def ticket_fingerprint(ticket: TicketIn) -> str:
    """Return the fingerprint of a ticket as its source sent it, pushed or historical."""
    return historical_fingerprint(fitted(ticket)) if isinstance(ticket, HistoricalTicket) else fingerprint(ticket)


def historical_fingerprint(ticket: HistoricalTicket) -> str:
    """Return the fingerprint of a historical ticket: of its content as pushed and of its lifecycle.

    A ticket that has only been received has the fingerprint of its push, so that a later push of it is a retry.
    """
    life = _lifecycle_of(ticket.__dict__)
    content = fingerprint(ticket)
    if not life:
        return content
    return hashlib.sha256(content.encode() + orjson.dumps(life, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _lifecycle_of(values: Mapping[str, Any]) -> dict[str, Any]:
    life = {name: values[name] for name in _LIFECYCLE_FIELDS if values[name] is not None}
    if life.get("status") == "received":
        del life["status"]
    return life


def differing_lifecycle_fields(stored_ticket: Any, incoming: HistoricalTicket) -> list[str]:
    """Return the lifecycle fields in which a stored ticket differs from the incoming one."""
    stored_fields = [field for field in LIFE if field.stored]
    return [
        field.name for field in stored_fields if getattr(stored_ticket, field.column) != getattr(incoming, field.name)
    ]
