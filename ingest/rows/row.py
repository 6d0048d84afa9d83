"""Rows on their way in, before any database is asked: read, mapped, validated and fingerprinted, a chunk at a time.

All of it is pure but for the file that is read, and can cross from one process to another (``ingest.files.reader_process``).
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
"""Rows of one transaction: enough that a commit costs little, few enough that a push, which comes meanwhile, waits for a
tenth of a second and not for the whole file or batch."""
WEIGHT = 5 * 2**20
"""About how many bytes of rows one transaction takes at most: a file of fat rows needs no more memory than others. Three
chunks are held at a time (``ingest.rows.ahead``)."""
_LIFE = tuple(field.name for field in LIFE)
_NODES = tuple(field.name for field in NODES)


class InputRow(NamedTuple):
    """One row on its way in: a ticket, or why it is none. ``raw`` gives the whole row as text, should it be kept;
    ``external_id`` by whose id, where a feed's record says so; ``fingerprint`` is that of the ticket, where it was worked
    out already."""

    number: int
    ticket: TicketIn | None
    errors: Sequence[FieldProblem]
    raw: Callable[[], str]
    external_id: str | None = None
    fingerprint: str | None = None


class Chunk(NamedTuple):
    """Lines of one transaction, at least one; and how much of the file has been read by then, of how much."""

    lines: Sequence[InputRow]
    consumed: int = 0
    total: int = 0


# -- a file ------------------------------------------------------------------------------------------------------------


def file_chunks(file: MappedFile, now: datetime, *, after: int = 0, size: int = CHUNK) -> Iterator[Chunk]:
    """The rows below number ``after``, ``size`` at a time, or fewer where they weigh more. Where the file breaks off,
    what stands before comes first, and then BadRequest or TooLarge."""
    lines = _file_lines(file, now, after)
    chunk: list[InputRow] = []
    held = 0
    broken: BadRequest | TooLarge | None = None
    while broken is None:
        try:
            line, weight = next(lines, (None, 0))
        except (BadRequest, TooLarge) as error:
            line, weight, broken = None, 0, error
        if line is not None:
            chunk.append(line)
            held += weight
        if chunk and (line is None or len(chunk) == size or held > WEIGHT):
            yield Chunk(chunk, file.file.consumed, file.file.total)
            chunk, held = [], 0
        if line is None and broken is None:
            return
    raise broken


def _file_lines(file: MappedFile, now: datetime, after: int) -> Iterator[tuple[InputRow, int]]:
    columns = tuple(file.file.columns)
    for result in map_rows(file, now=now, after=after):
        row = result.row
        if isinstance(result, MappedRow):
            ticket = fitted(result.ticket)
            # What a line was parsed to is much larger than the line.
            raw = partial(raw_text, row if row.line is None else row._replace(cells=()), columns)
            line = InputRow(row.number, ticket, (), raw, None, historical_fingerprint(ticket))
        else:
            line = InputRow(row.number, None, result.errors, partial(str, result.raw))
        yield line, weight_of(row)


# -- a batch -----------------------------------------------------------------------------------------------------------


def batch_chunks(body: Body, spans: Sequence[Span], now: datetime) -> Iterator[Chunk]:
    """The rows of a batch, each a JSON document at one of ``spans``, numbered from 1."""
    for start in range(0, len(spans), CHUNK):
        part = enumerate(spans[start : start + CHUNK], start + 1)
        yield Chunk([_batch_line(number, body, span, now) for number, span in part])


def _batch_line(number: int, body: Body, span: Span, now: datetime) -> InputRow:
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


def _document(content: bytes, left_out: int = 0) -> str:
    return raw_of(content) + (f"… (+{left_out})" if left_out else "")


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


# -- what a ticket says ------------------------------------------------------------------------------------------------


def fitted(ticket: HistoricalTicket) -> HistoricalTicket:
    """The ticket, with codes that Duban can hold: what a file gives as a unit may be a long name."""
    said = ticket.__dict__
    changes: dict[str, Any] = {}
    for name in _NODES:
        code = said[name]
        if code is not None and len(code) > CODE_LENGTH and not said[f"{name}_path"]:
            changes[name] = fitting_code(code)
            changes[f"{name}_path"] = (NewNode(fitting_code(code), code),)
    return ticket.model_copy(update=changes) if changes else ticket


def ticket_fingerprint(ticket: TicketIn) -> str:
    """The fingerprint of a ticket as its source said it, pushed or of the past."""
    return historical_fingerprint(fitted(ticket)) if isinstance(ticket, HistoricalTicket) else fingerprint(ticket)


def historical_fingerprint(ticket: HistoricalTicket) -> str:
    """The fingerprint of a ticket of the past: of its content as pushed and of its life. One that has only been
    received so far has that of the push, so that a push of the same ticket later is known as the same."""
    life = _life_of(ticket.__dict__)
    content = fingerprint(ticket)
    if not life:
        return content
    return hashlib.sha256(content.encode() + orjson.dumps(life, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _life_of(said: Mapping[str, Any]) -> dict[str, Any]:
    life = {name: said[name] for name in _LIFE if said[name] is not None}
    if life.get("status") == "received":
        del life["status"]
    return life


def differing_lifecycle_fields(there: Any, incoming: HistoricalTicket) -> list[str]:
    """In what of its life a stored ticket differs from what is said of it now."""
    stored = [field for field in LIFE if field.stored]
    return [field.name for field in stored if getattr(there, field.column) != getattr(incoming, field.name)]
