"""Whether answers are what ``/openapi.json`` declares: their status, their media type, and every field of their content."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

PREFIX = "/api/v1"
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
    "null": (type(None),),
}  # fmt: skip


class Contract:
    """The declarations of an OpenAPI document, to which answers are compared."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Every operation: its method, its path and its declaration."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method, path, operation

    @cached_property
    def _routes(self) -> list[tuple[re.Pattern[str], str, dict[str, Any]]]:
        """Fixed paths first, then those with a parameter in one segment, then those whose last parameter holds slashes."""
        ordered = sorted(self.operations(), key=lambda one: one[1].count("{"))
        found = []
        for last in (r"[^/]+", r".+"):
            for method, path, operation in ordered:
                pattern = re.sub(r"\{\w+\}$", last, path)
                found.append((re.compile(re.sub(r"\{\w+\}", "[^/]+", pattern)), method, operation))
        return found

    def operation(self, method: str, address: str) -> dict[str, Any] | None:
        """The operation of a request; none where the document has none."""
        found = (one for pattern, own, one in self._routes if own == method.lower() and pattern.fullmatch(address))
        return next(found, None)

    def breaches(self, method: str, address: str, status: int, media: str, content: Any) -> list[str]:
        """How an answer differs from its declaration; ``content`` is None for what is not JSON."""
        operation = self.operation(method, address.partition("?")[0])
        if operation is None:
            return []
        declared = operation["responses"].get(str(status))
        if declared is None and status >= 400:
            declared = operation["responses"].get("default")
        if declared is None:
            return [f"{method} {address}: status {status} is not declared"]
        media = media.partition(";")[0]
        kinds = {kind.partition(";")[0]: part for kind, part in declared.get("content", {}).items()}
        if media not in kinds:
            return [f"{method} {address}: {status} as {media!r} is not declared, only {sorted(kinds)}"]
        if not media.endswith("json"):
            return []
        found = self.differences(content, kinds[media].get("schema", {}))
        return [f"{method} {address}: {status} {each}" for each in found]

    def differences(self, value: Any, schema: Mapping[str, Any], where: str = "") -> list[str]:
        """Where ``value`` does not conform to ``schema``. Fields that the schema does not name are differences too."""
        if "$ref" in schema:
            return self.differences(
                value, self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], where
            )
        if "anyOf" in schema:
            tried = [self.differences(value, one, where) for one in schema["anyOf"]]
            return [] if any(not found for found in tried) else min(tried, key=len)
        if "enum" in schema and value not in schema["enum"]:
            return [f"{where}: {value!r} is none of {schema['enum']}"]
        if "const" in schema and value != schema["const"]:
            return [f"{where}: {value!r} is not {schema['const']!r}"]
        kind = schema.get("type")
        if kind is not None and (
            not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
        ):
            return [f"{where}: {value!r:.60} is no {kind}"]
        if schema.get("format") == "date-time" and not _is_moment(value):
            return [f"{where}: {value!r} is no moment with an offset"]
        if kind == "array":
            return self._in_array(value, schema, where)
        return self._in_object(value, schema, where) if kind == "object" else []

    def _in_array(self, value: list[Any], schema: Mapping[str, Any], where: str) -> list[str]:
        fixed = schema.get("prefixItems", ())
        rest = schema.get("items", {})
        found = [] if len(value) >= schema.get("minItems", 0) else [f"{where}: too few items"]
        for n, each in enumerate(value):
            found += self.differences(each, fixed[n] if n < len(fixed) else rest or {}, f"{where}/{n}")
        return found

    def _in_object(self, value: dict[str, Any], schema: Mapping[str, Any], where: str) -> list[str]:
        known = schema.get("properties")
        rest = schema.get("additionalProperties", known is None)
        found = [f"{where}/{name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, each in value.items():
            if known and name in known:
                found += self.differences(each, known[name], f"{where}/{name}")
            elif isinstance(rest, dict):
                found += self.differences(each, rest, f"{where}/{name}")
            elif not rest:
                found.append(f"{where}/{name} is not declared")
        return found


def _is_moment(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
