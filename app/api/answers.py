"""Declarations of responses: models for successes, problem documents for refusals, media types for files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from fastapi import Response

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
Responses = dict[int | str, dict[str, Any]]

REFUSALS: Final[Mapping[int | str, str]] = {
    400: "The request cannot be read, or a cursor or header in it is not valid.",
    401: "No valid credential.",
    403: "The caller may not do this.",
    404: "No such thing, or none that the caller may see.",
    409: "The present state does not allow it.",
    412: "It has moved on since the version in `If-Match`.",
    413: "The body is too large.",
    415: "The body is of a media type that is not supported here.",
    422: "Refused; `errors` names each place.",
    503: "Overloaded or without its database: try again after `Retry-After` seconds.",
    "default": "Any other refusal.",
}


def refuses(*statuses: int | str, **words: str) -> Responses:
    """Declare problem documents for these statuses; ``s409="…"`` gives a status its own description."""
    own = {int(name[1:]): text for name, text in words.items()}
    return {
        status: {
            "description": own.get(status, REFUSALS[status]) if isinstance(status, int) else REFUSALS[status],
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in dict.fromkeys((*statuses, *own))
    }


ALWAYS: Final[Responses] = refuses(400, 401, 403, 404, 422, 503, "default")
"""What every route of the API may answer besides its own."""
CHANGES: Final[Responses] = refuses(409, 413)
"""What a route that changes something may answer besides."""
VERSIONED: Final[Responses] = refuses(409, 412, 413)
"""The same for one that honours ``If-Match``."""


def shows(model: Any, status: int = 200, description: str = "Done.") -> Responses:
    """Declare a response of ``model`` that the route serialises itself (``as_json``)."""
    return {status: {"model": model, "description": description}}


def file_of(*media: str, description: str = "The file.") -> Responses:
    """Declare a file response of one of these media types."""
    return {200: {"description": description, "content": {kind: {"schema": _file_schema(kind)} for kind in media}}}


def _file_schema(media: str) -> dict[str, Any]:
    if media.startswith(JSON):
        return {"type": "object"}
    return {"type": "string"} if media.startswith("text/") else {"type": "string", "format": "binary"}


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``content``, of plain values, as JSON, without a second validation; tests compare it with its declaration."""
    return Response(orjson.dumps(content), status, headers, JSON)
