"""Additions to ``/openapi.json`` beyond the routes' declarations: authentication, and schemas of bodies that routes read
themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from app.schemas.alert import AlertEventOut
from app.schemas.common import Answer, Problem
from ingest.rows.ticket_in import TicketIn

PREFIX: Final = "/api/v1"
SCHEMAS: Final = ((Problem, "serialization"), (AlertEventOut, "serialization"), (TicketIn, "validation"))
BEARER: Final = {"type": "http", "scheme": "bearer", "description": "An API key (`dbk_…`) or a session (`dbs_…`)."}


def install(app: FastAPI) -> None:
    """Complete ``app.openapi()``, which ``/openapi.json``, ``/docs`` and ``duban openapi`` show."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain())
        return plain()  # kept by the framework, and completed in place

    app.openapi = document  # type: ignore[method-assign]  # the framework's own way to do this


def _complete(document: dict[str, Any]) -> None:
    _, found = models_json_schema(SCHEMAS, ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= {**found["$defs"], "TicketPatch": _patch_of(found["$defs"]["TicketIn"])}
    for model in _models(Answer):
        if (
            model.__name__ in document["components"]["schemas"]
            and "json_schema_extra" in model.__dict__["model_config"]
        ):
            document["components"]["schemas"][model.__name__] |= model.model_config["json_schema_extra"]
    document["components"]["securitySchemes"] = {"bearer": BEARER}
    for path, operations in document["paths"].items():
        if path.startswith(PREFIX):
            for operation in operations.values():
                operation["security"] = [{"bearer": []}]
                for body in operation.get("requestBody", {}).get("content", {}).values():
                    _without_null(body)


def _without_null(body: dict[str, Any]) -> None:
    """Declare an optional body as not required; the alternative null, which works too, confuses generators."""
    wanted = [one for one in body["schema"].get("anyOf", ()) if one != {"type": "null"}]
    if len(wanted) == 1:
        body["schema"] = wanted[0]


def _models(base: type[Answer]) -> Iterator[type[Answer]]:
    """Return all response models. Their examples are set again: the framework drops every null from its document."""
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _patch_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) of a pushed ticket: every field is optional, and null removes it."""
    fields = {
        name: {"anyOf": [*field.get("anyOf", [{k: v for k, v in field.items() if k != "default"}]), {"type": "null"}]}
        for name, field in schema["properties"].items()
    }
    return {"title": "TicketPatch", "type": "object", "additionalProperties": False, "properties": fields,
            "examples": [{"priority": "urgent", "reporter": {"phone": None}}]}  # fmt: skip
