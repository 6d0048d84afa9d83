"""The incoming ticket: one model for every entry point (push, batch, import, feed, form).

``TicketIn`` is a pushed ticket with the fields of the contract. ``HistoricalTicket`` adds what a file of past tickets
holds: names from which units, categories and grids are created, the moments of the lifecycle, the source's verdict.
Unknown fields are refused, so that a misspelt ``recieved_at`` is reported; a source's own fields go in ``attributes``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from app.domain.tickets.fields import CONTENT, REPORTER
from app.errors import BadRequest, FieldProblem, Invalid
from app.schemas.moment import Moment
from app.validation import problem, refusal, validated

KIND_WORDS: Mapping[str, str] = {
    "咨询": "consult",
    "求助": "help",
    "投诉": "complaint",
    "举报": "report",
    "建议": "suggestion",
    "表扬": "praise",
    "纠纷": "dispute",
}
"""The Chinese word of each kind, accepted by every entry point besides the English code."""

TICKET_BYTES = 256 * 1024
"""Maximum bytes of a ticket as JSON. The longest valid ticket, with every character escaped, is well below."""
ATTRIBUTES_BYTES = 16 * 1024
ATTRIBUTES_DEPTH = 5
CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far an upstream's clock may be ahead of ours before its ``received_at`` is refused."""

_INT64 = range(-(2**63), 2**63)
_NO_NUL = r"^[^\x00]*$"
_MASK = re.compile("[*＊∗﹡✱•●]")
_MASKED_DIGITS = re.compile("[xX×]{2}")


def _attributes(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return the attributes unchanged, or None where empty; refuse values that a JSON column cannot store."""
    if not value:
        return None
    size = _size_of_texts(value)
    if size is None:
        for key, inner in value.items():
            _check_attribute({key: inner}, [], ATTRIBUTES_DEPTH)
        size = len(orjson.dumps(value))
    if size > ATTRIBUTES_BYTES:
        raise refusal("attributes_size", limit=ATTRIBUTES_BYTES, actual=size)
    return value


def _size_of_texts(value: dict[str, Any]) -> int | None:
    """Return the length of the attributes as JSON where all are storable strings (the common case); None otherwise."""
    for key, inner in value.items():
        if type(inner) is not str or type(key) is not str or "\0" in inner or "\0" in key:
            return None
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return None  # a lone surrogate: the slow check reports its place


def _check_attribute(value: Any, path: list[str | int], levels: int) -> None:
    if isinstance(value, str):
        _check_text(value, path)
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        if not (value in _INT64 if isinstance(value, int) else math.isfinite(value)):
            raise refusal("attributes_number", path)
    elif not isinstance(value, dict | list):
        raise refusal("attributes_type", path)
    elif levels == 0:
        raise refusal("attributes_depth", limit=ATTRIBUTES_DEPTH)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise refusal("string_type", path)
            _check_text(key, path)
            _check_attribute(inner, [*path, key], levels - 1)
    else:
        for index, inner in enumerate(value):
            _check_attribute(inner, [*path, index], levels - 1)


def _check_text(value: str, path: list[str | int]) -> None:
    if "\0" in value:
        raise refusal("string_pattern_mismatch", path)
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise refusal("string_unicode", path) from error


def _none_if_empty(value: str) -> str | None:
    return value or None


def _normal_if_null(value: object) -> object:
    return "normal" if value is None else value


def _unmasked(value: str | None) -> str | None:
    if value is not None and _MASK.search(value):
        raise refusal("value_masked")
    return value


def _unmasked_number(value: str | None) -> str | None:
    if value is not None and _MASKED_DIGITS.search(value):
        raise refusal("value_masked")
    return _unmasked(value)


def _kind(value: str) -> str:
    return KIND_WORDS.get(value, value)


_Required = StringConstraints(strip_whitespace=True, min_length=1, pattern=_NO_NUL)
_Optional = StringConstraints(strip_whitespace=True, pattern=_NO_NUL)
_Empty = AfterValidator(_none_if_empty)

Text40 = Annotated[str, _Optional, Field(max_length=40), _Empty]
Text64 = Annotated[str, _Optional, Field(max_length=64), _Empty]
Text100 = Annotated[str, _Optional, Field(max_length=100), _Empty]
Text200 = Annotated[str, _Optional, Field(max_length=200), _Empty]
Text500 = Annotated[str, _Optional, Field(max_length=500), _Empty]
Text10000 = Annotated[str, _Optional, Field(max_length=10_000), _Empty]
Attributes = Annotated[dict[str, Any], AfterValidator(_attributes)]
Kind = Annotated[
    Literal[
        "consult", "help", "complaint", "report", "suggestion", "praise", "dispute",
        "咨询", "求助", "投诉", "举报", "建议", "表扬", "纠纷",
    ],
    AfterValidator(_kind),
]  # fmt: skip
Satisfaction = Literal["very_satisfied", "satisfied", "basically_satisfied", "dissatisfied", "very_dissatisfied"]


class Reporter(BaseModel):
    """Who reported: each part may be missing; all are personal data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Text100, AfterValidator(_unmasked)] | None = None
    phone: Annotated[Text40, AfterValidator(_unmasked_number)] | None = None
    id_number: Annotated[Text40, AfterValidator(_unmasked_number)] | None = None


class TicketIn(BaseModel):
    """A pushed ticket (contract: "A ticket as pushed"). Validated moments are aware and in UTC. Text is trimmed, and
    empty optional text is None, so that a retry with another spelling of an empty value is still a retry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    external_id: Annotated[str, _Required, Field(max_length=64)]
    title: Annotated[str, _Required, Field(max_length=200)]
    content: Text10000 | None = None
    kind: Kind | None = None
    category: Text200 | None = Field(default=None, description="code, or name where no code is known")
    priority: Annotated[Literal["normal", "urgent", "emergency"], BeforeValidator(_normal_if_null)] = "normal"
    severity: Literal["ordinary", "major", "grave"] | None = None
    received_at: Moment | None = None
    source_due_at: Moment | None = None
    reporter: Reporter | None = None
    address: Text500 | None = None
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, strict=True)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, strict=True)] | None = None
    grid: Text200 | None = Field(default=None, description="code, or name where no code is known")
    unit: Text200 | None = Field(default=None, description="code, or name where no code is known")
    parent_external_id: Text64 | None = None
    attributes: Attributes | None = None


class NewNode(NamedTuple):
    """A tree node that the importer creates where its code does not exist."""

    code: str
    name: str


class HistoricalTicket(TicketIn):
    """A historical ticket with its lifecycle as recorded by its source.

    ``unit_path``, ``category_path`` and ``grid_path`` run from the root to the node whose code is in ``unit``,
    ``category`` or ``grid``; missing nodes are created from them. ``status`` is the current status.

    ``source_flag`` is the source's on-time or late flag, stored for comparison. ``source_verdict`` is the same flag
    where Duban adopts it: the ticket is completed and its times do not decide (metrics, "Facts").
    ``completed_at`` is missing on a completed ticket only where the source gives no such moment.
    """

    status: Literal["received", "dispatched", "accepted", "completed", "closed", "void"] = "received"
    dispatched_at: Moment | None = None
    accepted_at: Moment | None = None
    completed_at: Moment | None = None
    closed_at: Moment | None = None
    voided_at: Moment | None = None
    source_flag: Literal["on_time", "late"] | None = None
    source_verdict: Literal["on_time", "late"] | None = None
    result: Text10000 | None = None
    satisfaction: Satisfaction | None = None
    unit_path: tuple[NewNode, ...] = ()
    category_path: tuple[NewNode, ...] = ()
    grid_path: tuple[NewNode, ...] = ()

    def verdict(self) -> Literal["on_time", "late"] | None:
        """Return on time or late by the source's deadline and moments, else by its verdict; None where neither
        decides or the ticket is not completed."""
        if self.status not in ("completed", "closed"):
            return None
        if self.completed_at is not None and self.source_due_at is not None:
            return "on_time" if self.completed_at <= self.source_due_at else "late"
        return self.source_verdict


Packed = tuple[type[TicketIn], dict[str, Any]]


def pack(ticket: TicketIn) -> Packed:
    """Return the ticket as plain values, for transfer to another process."""
    values = ticket.__dict__
    reporter = values["reporter"]
    return type(ticket), values if reporter is None else {**values, "reporter": reporter.__dict__}


def unpack(kind: type[TicketIn], values: dict[str, Any]) -> TicketIn:
    """Return the ticket of ``pack``, without validating it again. Takes ownership of ``values``."""
    if values["reporter"] is not None:
        values["reporter"] = _rebuild(Reporter, values["reporter"])
    return _rebuild(kind, values)


_Model = TypeVar("_Model", bound=BaseModel)
_PYDANTIC_STATE: Mapping[Any, Any] = {
    "__pydantic_fields_set__": set(),  # one for all: these models are frozen
    "__pydantic_extra__": None,
    "__pydantic_private__": None,
}


def _rebuild(kind: type[_Model], values: dict[str, Any]) -> _Model:
    model = kind.__new__(kind)
    model.__setstate__({"__dict__": values, **_PYDANTIC_STATE})
    return model


def validate_ticket(raw: bytes | str | Mapping[str, Any], *, now: datetime | None = None) -> TicketIn:
    """Validate the ticket in ``raw``: a JSON document, or a parsed object.

    With ``now``, a ``received_at`` more than ``CLOCK_TOLERANCE`` after it is refused too. Raises ``Invalid`` with a JSON
    pointer for each problem, and ``BadRequest`` where ``raw`` is not JSON.
    """
    ticket = validated(_validate, raw, TicketIn.model_fields)
    if now is not None:
        early = future_problem(ticket, now)
        if early is not None:
            raise Invalid([early])
    return ticket


def future_problem(ticket: TicketIn, now: datetime) -> FieldProblem | None:
    """Return the problem of a ``received_at`` more than ``CLOCK_TOLERANCE`` after ``now``; None otherwise."""
    if ticket.received_at is None or ticket.received_at <= now + CLOCK_TOLERANCE:
        return None
    return problem("moment_future", ["received_at"], minutes=CLOCK_TOLERANCE // timedelta(minutes=1))


def _validate(raw: bytes | str | Mapping[str, Any]) -> TicketIn:
    if not isinstance(raw, bytes | str):
        return TicketIn.model_validate(raw)
    try:
        return TicketIn.model_validate_json(raw)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
            raise
    # The fast parser refuses a lone surrogate, or nesting beyond its own limit, without naming the field. The standard
    # library's parser reads them, so that validation can name the place; what it refuses too is not JSON.
    return TicketIn.model_validate(parse_json(raw))


def parse_json(raw: bytes | str) -> Any:
    """Parse the JSON document ``raw``. Raises BadRequest with the position of the error."""
    try:
        return json.loads(raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        where = (error.lineno, error.colno)
        raise BadRequest(
            f"不是合法的 JSON（第 {where[0]} 行第 {where[1]} 列）",
            f"not valid JSON (line {where[0]} column {where[1]})",
        ) from error
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"JSON 应为 UTF-8 编码（第 {error.start} 字节处不是）", f"JSON must be UTF-8 (byte {error.start} is not)"
        ) from error
    except (RecursionError, ValueError) as error:
        raise BadRequest("JSON 嵌套过深或数字过长", "JSON nested too deeply, or with a number too long") from error


def canonical(ticket: TicketIn) -> dict[str, Any]:
    """Return the content of ``ticket`` as a flat object of the given fields: no nulls, no defaults, moments as UTC text,
    the reporter's parts as ``reporter.phone`` and so on. Equal canonical contents are the same content."""
    values = ticket.__dict__
    flat: dict[str, Any] = {name: values[name] for name in _PLAIN_FIELDS if values[name] is not None}
    for name in _MOMENT_FIELDS:
        if values[name] is not None:
            flat[name] = values[name].isoformat()
    if values["priority"] != "normal":
        flat["priority"] = values["priority"]
    if values["reporter"] is not None:
        parts = values["reporter"].__dict__
        flat.update((f"reporter.{part}", parts[part]) for part in _REPORTER_FIELDS if parts[part] is not None)
    return flat


_REPORTER_FIELDS: Sequence[str] = tuple(field.part for field in REPORTER)
_MOMENT_FIELDS: Sequence[str] = tuple(field.name for field in CONTENT if field.kind == "moment")
_PLAIN_FIELDS: Sequence[str] = tuple(
    field.name
    for field in CONTENT
    if field.kind != "moment" and field.member == field.name and field.name != "priority"
)


def fingerprint(ticket: TicketIn) -> str:
    """Return the SHA-256, in hex, of the canonical content: distinguishes a retry (equal) from a change (different)."""
    return hashlib.sha256(orjson.dumps(canonical(ticket), option=orjson.OPT_SORT_KEYS)).hexdigest()


def differing_fields(one: TicketIn | Mapping[str, Any], other: TicketIn | Mapping[str, Any]) -> list[str]:
    """Return the names of the fields in which two tickets (or canonical contents) differ, such as ``reporter.phone``."""
    a = canonical(one) if isinstance(one, TicketIn) else one
    b = canonical(other) if isinstance(other, TicketIn) else other
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
