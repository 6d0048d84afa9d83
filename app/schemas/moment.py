"""Moments in requests and answers: read from RFC 3339 text with an offset, shown in the zone of the reader."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, PlainValidator, ValidationInfo

from app.validation import refusal

FIRST_YEAR, LAST_YEAR = 1970, 2100
"""Moments outside are slips of a keyboard or a database's "no date" (1900-01-01). From one end to the other is little more than
the span over which working days are counted (``app.domain.time.deadline_run``)."""

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?P<offset>[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)


def _any_moment(value: object) -> datetime:
    """An aware moment in UTC, from RFC 3339 text or an aware datetime."""
    if isinstance(value, str):
        match = _RFC3339.fullmatch(value.strip())
        if match is None:
            raise refusal("moment_format")
        if match["offset"] is None:
            raise refusal("moment_naive")
        try:
            value = datetime.fromisoformat(match[0].upper())
        except ValueError as error:
            raise refusal("moment_impossible") from error
    elif not isinstance(value, datetime):
        raise refusal("moment_type")
    if value.tzinfo is None:
        raise refusal("moment_naive")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise refusal("moment_range", first=FIRST_YEAR, last=LAST_YEAR) from error


def _moment(value: object) -> datetime:
    """The same, within ``FIRST_YEAR``..``LAST_YEAR``."""
    moment = _any_moment(value)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise refusal("moment_range", first=FIRST_YEAR, last=LAST_YEAR)
    return moment


def _shown(value: datetime, info: ValidationInfo) -> datetime:
    """The moment in the zone of the validation context, where it names one."""
    zone = (info.context or {}).get("zone")
    return value if zone is None else value.astimezone(zone)


Moment = Annotated[datetime, PlainValidator(_moment, json_schema_input_type=datetime)]
"""A moment in a request: RFC 3339 text with an offset; in UTC once validated."""
AnyMoment = Annotated[datetime, PlainValidator(_any_moment, json_schema_input_type=datetime)]
"""The same of any year, for the ends of a validity, which may be written as far off as 9999."""
ShownMoment = Annotated[AwareDatetime, AfterValidator(_shown)]
"""A moment in an answer: RFC 3339 text with the offset of the service's time zone."""
